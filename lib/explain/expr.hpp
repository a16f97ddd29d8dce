#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/plan/stage.hpp"
#include "lib/shape.hpp"

namespace attn::explain {

/// A planned stage: one of the forward pass, or a gradient.
struct StageId {
    Stage stage = Stage::queries;
    Index gradient = -1;  ///< its place in Plan::gradients; -1: of the forward pass
    bool operator==(const StageId&) const = default;
};

/// One number of a stage. `head` is a head of queries or of keys and values, as the stage has them; `token`
/// is used by `states` only, `row` not by stages of one number per token. Of a gradient, `stage` is that of
/// the planned one (PlannedStage::stage).
struct Cell {
    Stage stage = Stage::queries;
    Index batch = 0, head = 0, row = 0, column = 0, token = 0;
    Index gradient = -1;  ///< place in Plan::gradients; -1: of the forward pass

    StageId id() const { return {stage, gradient}; }
    bool operator==(const Cell&) const = default;
};

/// A calculation that is shown: a tree with numbers as leaves.
struct Expr {
    enum class Kind {
        number,
        sum,       ///< parts added, or subtracted where they are `minus`
        product,   ///< parts multiplied
        quotient,  ///< parts[0] / parts[1]
        power,     ///< parts[0] to the power parts[1]
        square,
        exp,
        tanh,
        root,
        log,
        cos,
        sin,
        maximum
    };

    Kind kind = Kind::number;
    double value = 0;          ///< number
    std::string place;         ///< number: where it comes from, "queries[0,0,1,2]"; empty: a constant
    std::optional<Cell> cell;  ///< number of a stage
    std::optional<StageId>
        hidden_with;     ///< an intermediate number of this stage: left blank together with it
    bool given = false;  ///< number: a number of the document, shown as it is written there
    Index more = 0;      ///< number: so many terms of a sum stand behind it
    bool minus = false;  ///< part of a sum: subtracted
    std::vector<Expr> parts;

    bool is_number() const { return kind == Kind::number; }
    /// The stage that a number is of, or is on the way to.
    std::optional<StageId> belongs_to() const { return cell ? std::optional{cell->id()} : hidden_with; }
};

Expr number(double value);
/// A whole number or another constant of the formula.
Expr constant(double value);
Expr sum(std::vector<Expr> parts);
Expr difference(Expr a, Expr b);
Expr product(std::vector<Expr> parts);
Expr quotient(Expr a, Expr b);
Expr power(Expr base, Expr exponent);
Expr function(Expr::Kind kind, Expr of);
Expr negative(Expr of);

/// The value of a calculation, in double.
double evaluate(const Expr& e);
/// The same calculation one step further: what consists of numbers only becomes a number.
Expr reduced(const Expr& e);
/// Calls f(leaf) for every number, from left to right.
template <class F>
void each_number(const Expr& e, F&& f) {
    if (e.is_number()) return f(e);
    for (const Expr& p : e.parts) each_number(p, f);
}
template <class F>
void change_numbers(Expr& e, F&& f) {
    if (e.is_number()) return f(e);
    for (Expr& p : e.parts) change_numbers(p, f);
}

}  // namespace attn::explain
