#pragma once
#include <array>
#include <optional>

#include "lib/input/problem.hpp"
#include "lib/plan/stage.hpp"
#include "lib/shape.hpp"

namespace attn {

/// Convolutions over tokens: number c of a token is the sum over k of taps[c, k] times number c of the token
/// taps - 1 - k before.
struct PlannedConv {
    struct Part {
        std::size_t weight = 0;  ///< tensor [width, 1, taps]
        std::optional<std::size_t> bias;
        Index first = 0;  ///< the row of the first channel
        Index past = 0;   ///< the same in `past`
    };
    bool silu = true;
    Index taps = 0, width = 0;        ///< of all channels together
    std::array<Part, 3> parts;        ///< queries, keys, values
    std::optional<std::size_t> past;  ///< tensor [batch, width, taps - 1]: what came before the first token

    const Part& of(Stage convolved) const { return parts[idx(convolved) - idx(Stage::convolved_queries)]; }
    Index tap(const Part& part, Index channel, Index k) const { return (part.first + channel) * taps + k; }
    /// Number of `past` that tap k meets at a token.
    Index before(const Part& part, Index item, Index channel, Index token, Index k) const {
        return (item * width + part.past + channel) * (taps - 1) + token + k;
    }
};

/// What a head carries from token to token in place of scores.
struct PlannedState {
    bool delta = false;  ///< the delta rule, else a sum
    std::optional<FeatureMap> feature_map;
    bool map_values = false;  ///< too
    double beta_factor = 1;
    bool normalizer = false;
    bool decays = false, has_beta = false;
    bool decay_by_column = false, beta_by_column = false;  ///< one for each column of keys, of values
    std::optional<std::size_t> decay, beta;     ///< tensors, where they are given and not projected
    std::optional<std::size_t> log_rate, bias;  ///< tensors: one number per head
    std::optional<std::size_t> past;            ///< tensor [batch, kv head, dim, value dim]
};

}  // namespace attn
