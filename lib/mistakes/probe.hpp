#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "lib/mistakes/blindspots.hpp"

namespace attn {

/// The input that is wanted.
struct ProbeAsk {
    Index tokens = 6, width = 8, heads = 2, kv_heads = 0;  ///< kv_heads 0: as many as heads
    std::string causal = "true";                           ///< true, false, top_left, bottom_right
    std::optional<Index> window;                           ///< keys to the left
    std::optional<double> softcap;
    bool rope = false;
    bool gradient = false;  ///< with what enters the backward pass
    std::uint64_t seed = 1;
};

/// Sizes that do not fit one another.
enum class ProbeMisfit { width_and_heads, heads_and_kv_heads, odd_heads_with_rope };
std::optional<ProbeMisfit> misfit_of(const ProbeAsk& ask);

struct Probe {
    std::string document;  ///< JSON
    std::string arrays;    ///< its embeddings and weights alone, JSON: one object of nested arrays
    Blindspots found;
    std::optional<Blindspots> gradients{};  ///< of the backward pass
    /// The two mistakes that are nearest to one another.
    const Blindspots& nearest() const {
        return gradients && gradients->nearest < found.nearest ? *gradients : found;
    }
    std::uint64_t seed = 0;  ///< the first from the one asked for with which all pairs are apart
    bool apart = false;      ///< every pair differs by more than least_apart, or not at all
    static constexpr double least_apart = 1e-2;
};

/// An input that tells every pair of known mistakes apart by more than 1e-2 of its output (of
/// its gradients, where it has some, those of the backward pass); where none of many
/// seeds does, the one that does it best. The sizes have to fit one another (misfit_of).
Probe make_probe(const ProbeAsk& ask);

}  // namespace attn
