#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "lib/explain/step.hpp"
#include "lib/explain/values.hpp"

namespace attn::explain {

/// One row of a stage: `cell.column` counts for nothing.
using RowOf = Cell;
using Columns = std::span<const Index>;

/// "weights[0,0,1,0]": the axes that the stage has in this plan.
std::string cell_name(const Plan& plan, const Cell& cell);

/// "/weights/W_query" is "W_query", "/weights/0/W_query" is "weights[0].W_query", "/mask/keep" is
/// "mask.keep", "/keys" is "input.keys".
std::string name_in_document(const std::string& pointer);
/// What a drawn weight is called, W or b: it stands nowhere in the document. `output`: a column of it.
std::string name_of_drawn(const Plan& plan, WeightRole role, Index output, Index outputs, bool bias);

/// The token after which a query reads the state; -1: before the first.
Index state_token(const Plan& plan, Index batch, Index query);

/// What the functions that explain a stage write with: numbers with their places, and the lines of a step.
class Writer {
  public:
    Writer(const Plan& of, const Values& numbers, Level detail) : plan(of), values(numbers), level(detail) {}

    const Plan& plan;
    const Values& values;
    const Level level;

    // Numbers.
    Expr at(Stage stage, Index batch, Index head, Index row, Index column) const;
    Expr at(const Cell& cell) const;
    /// Number of the gradient of a stage.
    Expr gradient(Stage of, Index batch, Index head, Index row, Index column, Index token = 0) const;
    /// Its place in Plan::gradients: the stage has one.
    Index gradient_place(Stage of) const;
    /// Element `flat` of tensor `k`; `name` where the document does not name it.
    Expr tensor(std::size_t k, Index flat, std::string_view name = {}) const;
    /// W[i, o] and b[o] of a projection, where they stand in the document.
    Expr weight(WeightRole role, Index i, Index o) const;
    std::optional<Expr> bias(WeightRole role, Index o) const;
    /// Number [batch, head, token, column] of an input with so many heads.
    Expr input(std::size_t tensor, Index batch, Index head, Index heads, Index token, Index column) const;
    /// Of embeddings, normed where the plan says so.
    Expr embedding(std::size_t tensor, Index batch, Index token, Index column) const {
        if (const auto stage = plan.normed_input(tensor)) return at(*stage, batch, 0, token, column);
        return input(tensor, batch, 0, 1, token, column);
    }
    /// x · W + b: `of(i)` is column i of x.
    Expr projected(WeightRole role, Index o, const std::function<Expr(Index)>& of) const;
    /// term(0) + ... + term(n - 1), shortened in the middle: numbers on the way to a term that is not shown
    /// are not shown.
    Expr sum_of(Index n, const std::function<Expr(Index)>& term) const;
    /// A tensor that is broadcast to [batch, head, query, key].
    Expr broadcast(std::size_t tensor, Index batch, Index head, Index query, Index key) const;

    // Facts.
    bool has(Stage stage) const { return plan.find(stage) != nullptr; }
    /// The stages that the scores, or the state, are made of.
    Stage query_stage() const { return read_by(plan.state ? Stage::context : Stage::scores, 0); }
    Stage key_stage() const { return read_by(plan.state ? Stage::context : Stage::scores, 1); }
    Stage value_stage() const { return read_by(Stage::context, plan.state ? 2 : 1); }
    /// A stage that this one is made of, as its formula names them.
    Stage read_by(Stage stage, std::size_t k = 0) const { return plan.find(stage)->reads.at(k); }
    std::string query_label(Index query) const;
    std::string key_label(Index key) const;
    /// Of the rows of a stage.
    std::string row_label(const RowOf& row) const;

    // Lines.
    void begin(Step& step) {
        step_ = &step;
        scope_.clear();
        once_.clear();
    }
    /// What tells numbers on the way of one row of a step from those of another: "head 1, shiny"; or nothing.
    void scope(std::string of) { scope_ = std::move(of); }
    const std::string& scope() const { return scope_; }
    std::string scoped(const std::string& name) const { return scope_.empty() ? name : name + ", " + scope_; }
    Step& step() { return *step_; }
    void why(std::string text) { step_->why = std::move(text); }
    /// The number of a stage and its calculation.
    Line& result(const Cell& cell, std::string label, std::optional<Expr> expression, std::string note = {});
    /// A number on the way to it; returns it for use in what follows. Its place is `place` in its scope.
    Expr between(std::string label, const std::string& place, Expr expression, std::string note = {});
    /// The same where the step does not have it yet: a number is known by its label and the cell it is of.
    Expr between_once(const Cell& of, const std::string& label, const std::function<Expr()>& expression,
                      std::string note = {});
    /// A number whose calculation is not shown: it is told of elsewhere, or like others.
    Expr unshown(std::string place, const std::function<Expr()>& expression);
    /// Calls f(k) for columns, some in the middle left out where they are many.
    void each(Columns columns, const std::string& what, const std::function<void(Index)>& f);

  private:
    /// \throws Error (exit 3) where an explanation grows beyond what is sensible to hold
    Line& keep(Line line);

    Step* step_ = nullptr;
    mutable bool quiet_ = false;  ///< numbers on the way are not written down
    std::string scope_;
    std::vector<std::tuple<Cell, std::string, Expr>> once_;
    std::size_t numbers_ = 0;
};

/// How a column is called that has no token.
std::string column_label(Index column);
Cell cell_of(const RowOf& row, Index column);
/// The number of the stage before, in the same place.
Expr previous(const Writer& w, const RowOf& row, Index key);

/// Writes the lines of some columns of a row of a stage, and why it is done. The table of stages:
/// explain.cpp.
void explain_stage(Writer& w, const RowOf& row, Columns columns);

// inputs.cpp: what comes before the scores
void explain_projection(Writer& w, const RowOf& row, Columns columns);
void explain_latent(Writer& w, const RowOf& row, Columns columns);
void explain_norm(Writer& w, const RowOf& row, Columns columns);
void explain_tempered(Writer& w, const RowOf& row, Columns columns);
void explain_rope_keys(Writer& w, const RowOf& row, Columns columns);
void explain_rotation(Writer& w, const RowOf& row, Columns columns);
void explain_convolved(Writer& w, const RowOf& row, Columns columns);
void explain_feature_map(Writer& w, const RowOf& row, Columns columns);
void explain_joined(Writer& w, const RowOf& row, Columns columns);
/// x / sqrt(mean x² + eps) and its kin; `x(k)` is number k of `n`, `wanted(k)` those of the columns.
struct NormOf {
    NormType type;
    double eps;
    Index n;
    std::function<Expr(Index)> x;
    std::optional<Cell> once{};  ///< written once for this, however often it is asked for
};
/// The numbers that a norm subtracts (if any) and divides by.
struct NormParts {
    std::optional<Expr> mean;
    Expr root;
};
NormParts explain_moments(Writer& w, const NormOf& norm);
/// Cosine and sine of a column at a token.
struct Turn {
    Expr cos, sin;
};
/// \param column counted from the first that turns
Turn turn_of(Writer& w, const RowOf& row, Index column, bool of_queries);
/// The sum that a convolution makes for a column of a token, before its activation.
Expr convolution(Writer& w, const RowOf& row, Index column);

// scores.cpp: scores, and what becomes of them before they are weights
void explain_scores(Writer& w, const RowOf& row, Columns columns);

// weights.cpp
void explain_weights(Writer& w, const RowOf& row, Columns columns);
void explain_masked_weights(Writer& w, const RowOf& row, Columns columns);
void explain_renormalized(Writer& w, const RowOf& row, Columns columns);
void explain_dropped(Writer& w, const RowOf& row, Columns columns);
void explain_differential(Writer& w, const RowOf& row, Columns columns);
void explain_lse(Writer& w, const RowOf& row, Columns columns);
void explain_mean_weights(Writer& w, const RowOf& row, Columns columns);
/// The rule that hides a key, or a word on why it is seen.
std::string rule_of(const Writer& w, const RowOf& row, Index key);
/// The row of weights is made of no score: all its keys are hidden before the softmax.
bool is_empty(const Writer& w, const RowOf& row);
/// 1 / (1 + e^-x)
Expr sigmoid(const Expr& x);
/// Lambda of differential weights.
Expr lambda_of(Writer& w);

// state.cpp
void explain_per_key(Writer& w, const RowOf& row, Columns columns);
void explain_states(Writer& w, const RowOf& row, Columns columns);
void explain_state(Writer& w, const RowOf& row, Columns columns);
void explain_state_context(Writer& w, const RowOf& row, Columns columns);

/// e^g · x, or x where nothing decays.
Expr decayed(const Writer& w, Index batch, Index kv, Index token, Index row, Expr x);
/// Number [row, column] of the state after a token; -1: before the first.
Expr state_at(const Writer& w, Index batch, Index kv, Index token, Index row, Index column);
/// Sum of the keys up to a token, decayed alike: what a normaliser divides by.
double key_sum(const Writer& w, Index batch, Index kv, Index token, Index row);
/// x times the scale, as the plan writes it.
Expr scaled(const Plan& plan, Expr x);

// outputs.cpp
/// The number that opens the gate of a column of a head's context, before its activation.
Expr gate_of(Writer& w, Index batch, Index head, Index query, Index column, const std::string& label);
void explain_context(Writer& w, const RowOf& row, Columns columns);
void explain_gated(Writer& w, const RowOf& row, Columns columns);
void explain_concat(Writer& w, const RowOf& row, Columns columns);
void explain_head_outputs(Writer& w, const RowOf& row, Columns columns);
void explain_output(Writer& w, const RowOf& row, Columns columns);

}  // namespace attn::explain
