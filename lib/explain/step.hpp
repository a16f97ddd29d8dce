#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/explain/expr.hpp"
#include "lib/plan/plan.hpp"

namespace attn::explain {

enum class Level { brief, normal, full };

/// One number and how it comes about.
struct Line {
    std::string group;               ///< what its number belongs to, "shiny"; may be empty
    std::string label;               ///< "shiny·Hello", "d0", "sum"; safe to show
    std::optional<Cell> cell;        ///< the number of a stage; none: a number on the way to it
    std::string place;               ///< "weights[0,0,1,0]", or the name of what is on the way: "sum"
    std::optional<Expr> expression;  ///< none: nothing is calculated, the note says why
    double result = 0;
    std::string note;      ///< "hidden: key 2 > query 1"; may be empty
    bool chained = false;  ///< its products are shown one by one, too
    Index more = 0;        ///< no number: so many lines are left out here

    /// A number that is taken over as it is.
    bool is_copy() const { return expression && expression->is_number() && note.empty() && more == 0; }
};

/// One stage of the row that is explained.
struct Step {
    Index number = 0;
    Stage stage = Stage::queries;
    Index gradient = -1;  ///< as in Cell
    std::string name, formula;
    std::string why;  ///< one sentence
    std::vector<Line> lines;
    std::string rest;  ///< what is done alike and not shown; may be empty

    StageId id() const { return {stage, gradient}; }
};

/// A stage of a plan, or a gradient.
inline const PlannedStage& planned(const Plan& plan, StageId id) {
    return id.gradient < 0 ? *plan.find(id.stage) : plan.gradients[idx(id.gradient)];
}

/// The explanation of one row, or of one number.
struct Explanation {
    const Plan* plan = nullptr;
    Index batch = 0, head = 0, row = 0;
    std::optional<Cell> cell;  ///< the number that is explained
    std::string cell_place;
    std::vector<Step> steps;
    Index unexplained = 0;  ///< numbers of a cell's history that were too many
    std::vector<std::string> warnings;
};

}  // namespace attn::explain
