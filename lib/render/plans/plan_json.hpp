#pragma once
#include <string>
#include <utility>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

/// Names and JSON texts of the members of an object, in order.
using JsonMembers = std::vector<std::pair<std::string, std::string>>;

/// {"a": 1, "b": 2}, or one member a line, indented by `indent` spaces, where that is above 0.
std::string json_object(const JsonMembers& members, int indent = 0);
std::string json_strings(const std::vector<std::string>& strings);
std::string json_indices(const std::vector<Index>& numbers);
std::string json_number(double value);

/// Everything that a plan resolved. Nothing of the machine: equal documents give equal bytes anywhere.
JsonMembers plan_members(const Plan& plan);
/// The members of a trace before its stages: schema, tool, variant, plan, tokens, selection, order.
JsonMembers trace_members(const Plan& plan, int indent);
/// "formula", "axes", "shape", "dtype" of a stage as shown; `squeeze` leaves out axes of length 1.
JsonMembers stage_members(const Plan& plan, const PlannedStage& stage, bool squeeze);
/// The JSON trace on one line, its stages without data.
std::string trace_without_data(const Plan& plan, bool squeeze, const std::vector<std::string>& warnings);

}  // namespace attn
