#pragma once
#include <vector>

#include "lib/diff/compare.hpp"

namespace attn {

/// Somebody's numbers beside ours, in our order.
struct Pair {
    const std::vector<double>&theirs, &ours;
    const std::vector<float>& half_unit;  ///< of theirs, as in WholeStage
    double slack(std::size_t k) const { return half_unit.empty() ? 0 : static_cast<double>(half_unit[k]); }
};

/// Fills in how far two arrays are apart, and where. `c.shape` is that of the numbers. Internal to the room.
void measure(StageComparison& c, const Pair& pair, bool is_square, const Tolerance& t);

}  // namespace attn
