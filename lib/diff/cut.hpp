#pragma once
#include <optional>
#include <vector>

#include "lib/diff/compare.hpp"
#include "lib/plan/plan.hpp"

namespace attn {

/// Our stage cut to what their array holds of it, by the numbers of its cells (`places`) or by the selection
/// of `dump`, which is what their whole file holds. Nothing: it is not cut, or they hold what ours does not.
std::optional<WholeStage> cut_alike(const WholeStage& stage, const Ours& ours, const GivenArray& theirs,
                                    const Dump& dump);

/// All of ours cut by a selection. \throws Error (exit 2): a stage that it cannot be said of
void cut(Ours& ours, const Selection& selection);

/// What the numbers of cells say of a part, for a run of `plan`: empty where it is the whole of it, or where
/// they are not numbers of its cells.
Selection selection_by_places(const Layer& theirs, const Plan& plan);

/// What a plan shows of its axes, where it is a part.
Selection selection_of(const Plan& plan);

}  // namespace attn
