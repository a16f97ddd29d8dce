#pragma once
#include <array>
#include <span>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

/// What has to be computed so that some stages can be shown: they, and what they read, and so on.
struct Needs {
    std::array<bool, stage_count> stages{};         ///< by their place in the table
    WeightRoles projections = 0;                    ///< that are applied
    std::vector<Index> heads, kv_heads;             ///< that are computed, sorted
    std::vector<Index> value_heads, context_heads;  ///< that belong to them

    bool has(Stage stage) const { return stages[idx(stage)]; }
    bool applies(WeightRole role) const { return attn::has(projections, role); }
    bool any(Phase phase) const;
};

/// Of these stages, which stand in plan.stages.
Needs needs_of(const Plan& plan, std::span<const PlannedStage* const> shown);
/// Of all stages that are shown.
Needs needs_of(const Plan& plan);
/// Whether a stage that is needed reads this one.
bool is_read(const Plan& plan, const Needs& needs, Stage stage);
/// Whether `later` is made of `earlier`, at once or by way of other stages. Both are planned.
bool is_made_of(const Plan& plan, Stage later, Stage earlier);

}  // namespace attn
