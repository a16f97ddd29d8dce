#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "lib/input/problem.hpp"
#include "lib/shape.hpp"

namespace attn {

/// A rotary embedding with everything decided.
struct PlannedRope {
    Index first_query = 0;  ///< the first column of a query that turns
    Index dims = 0;
    double base = 10000;
    bool interleaved = false;
    bool reverse = false;                   ///< turns by minus the angle
    Places query_positions, key_positions;  ///< of queries, of new keys; empty where tables are given
    RopeScalingType scaling = RopeScalingType::none;
    std::vector<double> frequency_factors;  ///< of each pair, on base^(-2n/dims); empty: 1
    double amplitude = 1;                   ///< a factor of cosines and sines
    std::string factor_not_read;  ///< why the scaling's "factor" was not; empty: it was, or is not there
    std::optional<std::size_t> cos, sin;  ///< tensors
    bool by_column = false;               ///< they are as wide as what turns: each column has its own

    Index pairs() const { return dims / 2; }
    /// The two columns of a pair, counted from the first that turns.
    Index first_of(Index pair) const { return interleaved ? 2 * pair : pair; }
    Index second_of(Index pair) const { return first_of(pair) + (interleaved ? 1 : pairs()); }
    Index pair_of(Index column) const { return interleaved ? column / 2 : column % pairs(); }
    Index table_width() const { return by_column ? dims : pairs(); }
    const Places& positions(bool of_queries) const { return of_queries ? query_positions : key_positions; }
    /// Radians a pair turns from one position to the next.
    double frequency(Index pair) const;
};

/// Writes base, factors of the frequencies and amplitude of a scaled rotary embedding, whose dims and base
/// are there. \param longest the largest position + 1. \throws Error: exit 3 for what a type of scaling
/// needs.
void scale_rope(const RopeScaling& scaling, PlannedRope& rope, double longest);

}  // namespace attn
