#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "lib/explain/step.hpp"

namespace attn::explain {

struct Request {
    Index head = 0;
    Level level = Level::normal;
};

/// Explains one query row of a plan whose batch item is chosen (Plan::batch_shown has one): a step for every
/// stage, in the order of the calculation. Runs the plan for this row; changes what the plan shows.
Explanation explain_row(Plan& plan, Index row, const Request& request);

/// Explains one number down to the numbers of the document: the stage of the cell first, then the stages that
/// it is made of. Runs the plan; changes what it shows.
Explanation explain_cell(Plan& plan, const Cell& cell, const Request& request);

/// The stage of a plan, or the gradient, that has this name. \throws Error (exit 2, `what` in front) where
/// none has.
StageId stage_in(const Plan& plan, std::string_view name, const std::string& what);

/// "weights[1,0]", with the batch item and the head where they are written. \throws Error (exit 2) for what
/// is no number of the plan.
Cell cell_named(const Plan& plan, std::string_view text, Index batch, Index head);

}  // namespace attn::explain
