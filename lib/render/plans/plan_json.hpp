#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/json_text.hpp"

namespace attn {

/// What a trace says of itself, in the member "schema".
constexpr std::string_view trace_format = "attn-calc/trace/1";

/// A row of the table of what a plan is as JSON: writer and schema of one member.
struct PlanMember {
    std::string_view name;
    bool always;                             ///< every plan has it
    std::string_view schema;                 ///< what it may be
    std::string (*write)(const Plan& plan);  ///< empty: this plan has none
};
std::span<const PlanMember> all_plan_members();

/// Everything that a plan resolved. Nothing of the machine: equal documents give equal bytes anywhere.
JsonMembers plan_members(const Plan& plan);
/// The members that a plan and a trace begin with: schema, tool, source, id, variant, plan, tokens,
/// selection.
JsonMembers plan_head(std::string_view schema, const Plan& plan, int indent);
/// The members of a trace before its stages: the head, order.
JsonMembers trace_members(const Plan& plan, int indent);
/// "formula", "axes", "shape", "dtype" of a stage as shown; `squeeze` leaves out axes of length 1.
JsonMembers stage_members(const Plan& plan, const PlannedStage& stage, bool squeeze);
/// The JSON trace on one line, its stages without data.
std::string trace_without_data(const Plan& plan, bool squeeze, const std::vector<std::string>& warnings);

}  // namespace attn
