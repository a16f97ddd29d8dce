#pragma once
#include <array>
#include <cmath>
#include <optional>

#include "lib/input/problem.hpp"
#include "lib/shape.hpp"

namespace attn {

/// Differential attention: the weights of the first half of a head, less lambda times those of its second
/// half. Ye et al. 2024 (Differential Transformer), section 2.1. Scores and weights are of half heads, of
/// which there are twice as many as heads; so are keys, but not values.
struct PlannedDifferential {
    Pairing pairing = Pairing::interleaved;
    std::optional<double> lambda;          ///< as given; else exp(q1 · k1) - exp(q2 · k2) + init
    double init = 0;                       ///< contexts are multiplied by 1 - init
    std::array<std::size_t, 4> vectors{};  ///< tensors [width]: q1, k1, q2, k2
    Index width = 0;

    /// The head, of so many, that a half head belongs to.
    Index head_of(Index half, Index heads) const {
        return pairing == Pairing::halves ? half % heads : half / 2;
    }
    /// The first half head of a head, or the second.
    Index half_of(Index head, bool second, Index heads) const {
        const Index k = second ? 1 : 0;
        return pairing == Pairing::halves ? head + k * heads : 2 * head + k;
    }
    /// The factor of the second half's weights; `number(tensor, k)` is a number of a tensor.
    template <class F>
    double factor(F&& number) const {
        if (lambda) return *lambda;
        const auto power = [&](std::size_t first) {
            double sum = 0;
            for (Index k = 0; k < width; ++k)
                sum += number(vectors[first], k) * number(vectors[first + 1], k);
            return std::exp(sum);
        };
        return power(0) - power(2) + init;
    }
};

}  // namespace attn
