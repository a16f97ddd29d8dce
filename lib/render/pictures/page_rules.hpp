#pragma once
#include <string>

#include "lib/plan/plan.hpp"
#include "lib/render/json_text.hpp"

namespace attn {

/// How a number of a stage comes about, as a JSON list of lines that the page reads (page/rule.js): the step
/// that lib/explain tells, for all cells at once.
std::string rule_json(const Plan& plan, const PlannedStage& stage);

/// What those rules name beside stages: "weights" (where the numbers of each projection stand), "lists"
/// (numbers of the plan), "hides" (what hides a cell, in words).
JsonMembers rule_facts(const Plan& plan);

}  // namespace attn
