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
    /// Of the tensors of queries and keys: several heads of values may read one; a norm over the width needs
    /// all.
    std::vector<Index> query_heads, key_heads;

    bool has(Stage stage) const { return stages[idx(stage)]; }
    bool applies(WeightRole role) const { return attn::has(projections, role); }
    bool any(Phase phase) const;
};

/// Of these stages, which stand in plan.stages.
Needs needs_of(const Plan& plan, std::span<const PlannedStage* const> shown);
/// Of all stages that are shown.
Needs needs_of(const Plan& plan);
/// Numbers of a tensor that follow one another.
struct NumberRange {
    Index first, count;
};
/// Which numbers of a given tensor are read: of queries, keys, values and caches those of the batch items,
/// heads and rows that are needed, of other tensors all.
std::vector<NumberRange> numbers_read(const Plan& plan, const Needs& needs, std::size_t tensor);
/// Whether a stage that is needed reads this one.
bool is_read(const Plan& plan, const Needs& needs, Stage stage);
/// Whether `later` is made of `earlier`, at once or by way of other stages. Both are planned.
bool is_made_of(const Plan& plan, Stage later, Stage earlier);

}  // namespace attn
