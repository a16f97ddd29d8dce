#pragma once
#include <string>
#include <vector>

#include "lib/mistakes/mistakes.hpp"

// Masks, as the rows of the table speak of them. Internal to the room.

namespace attn {

/// The rules of a mask, each for itself.
struct MaskPartName {
    MaskPart part;
    std::string of;     ///< ":causal"
    std::string words;  ///< "the causal mask"
    bool padding;       ///< the same keys are hidden from every query
};
std::vector<MaskPartName> mask_parts(const Plan& plan);

/// The first stage that a mask changes.
Stage first_of_mask(const Plan& plan);

}  // namespace attn
