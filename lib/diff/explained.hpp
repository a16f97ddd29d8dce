#pragma once
#include "lib/diff/compare.hpp"
#include "lib/mistakes/causes.hpp"

namespace attn {

/// A mistake may change more than one stage: what does not follow from their stages before it, and comes out
/// with every cause that is named, is no error besides that one.
void mark_explained(Comparison& comparison, const CauseReport& report);

}  // namespace attn
