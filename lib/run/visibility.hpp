#pragma once
#include <utility>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

/// What a mask does to one score: nothing, hide it, or add a number to it.
enum class Masked : std::uint8_t { visible, hidden, added };

/// The cells [query, key] of a mask, the same for all of these batch items and heads.
struct MaskPicture {
    std::vector<std::pair<Index, Index>> where;  ///< batch item, head
    std::vector<std::vector<Masked>> rows;
};

/// The masks of a plan that differ, cell by cell, appended keys included. Nothing where the plan has no mask,
/// or more than `largest` queries or keys, or 1024 pairs of batch item and head.
std::vector<MaskPicture> mask_pictures(const Plan& plan, Index largest);

}  // namespace attn
