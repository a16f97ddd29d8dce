#pragma once
// How gradients come about, one at a time. A stage's gradient is the sum of what enters there and of what
// each stage that reads it sends back; sums over tokens, heads and batch items are written out, shortened.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/explain/writer.hpp"

namespace attn::explain {

/// The place of a cell's number in its stage, row-major.
Index flat_of(const PlannedStage& stage, const Cell& cell);
/// The number of the stage that a number of its gradient belongs to.
Cell forward_of(const Cell& cell);
/// ln(1 + e^x)
Expr softplus(const Expr& x);
/// s (1 + z (1 - s)), s the sigmoid of z.
Expr slope_of_silu(const Expr& z);
/// d times the slope of the plan's feature map at x.
Expr through_map(Writer& w, Expr d, const Expr& x);

/// What is added up to one number of a gradient.
struct Sent {
    std::vector<Expr> parts;
    std::string note;

    /// A sum is taken apart.
    void add(Expr e);
};

/// y = x W + b, or y = x, where the plan has it: numbers of x, gradients of y, by batch item, row and column.
struct Layer {
    WeightRole role;
    std::optional<Stage> stage;         ///< x, where it is a stage,
    std::optional<std::size_t> tensor;  ///< or a tensor
    Index rows = 0;                     ///< of a batch item
    std::function<Expr(Index, Index, Index)> x, dy;
};
/// All that a plan has. `w` has to outlive them.
std::vector<Layer> layers_of(Writer& w);
/// dy · Wᵀ of a row: its column i.
Expr through(Writer& w, const Layer& layer, Index batch, Index row, Index i);
/// What the layers that read a stage, or a tensor, send back to column i of a row.
void add_layers(Writer& w, std::optional<Stage> stage, std::optional<std::size_t> tensor, Index batch,
                Index row, Index i, Sent& to);

/// Numbers on the way are told apart by "item 1, head 0, shiny" as long as this lives.
class Scope {
  public:
    Scope(Writer& w, Index batch, std::optional<Index> head, const std::string& token);
    ~Scope() { w_.scope(before_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

  private:
    Writer& w_;
    std::string before_;
};

/// A norm of one row, backwards.
class NormBack {
  public:
    NormBack(Writer& w, Stage made, Index batch, Index row);
    /// The gradient of what is normed.
    Expr back(Index head, Index column) const;
    /// x r: what is multiplied by the norm's weight.
    Expr normed(Index head, Index column) const;
    /// The gradient of what the norm has made, 0 where it was clamped.
    Expr dy(Index head, Index column) const;
    const PlannedNorm& norm() const { return norm_; }
    Index heads() const { return heads_; }
    Index dim() const { return dim_; }

  private:
    Expr x(Index head, Index column) const;
    Expr scaled_back(Index head, Index column) const;
    NormParts parts(Index head) const;
    Cell own(Index head) const { return {made_, batch_, norm_.over_width ? 0 : head, row_}; }

    Writer& w_;
    Stage made_;
    Index batch_, row_;
    const PlannedNorm& norm_;
    Index heads_, dim_;
};

/// The gradient of a convolution's sum, before its activation.
Expr convolution_back(Writer& w, Stage made, Index batch, Index head, Index token, Index column);
/// Of what came before the first token.
void add_past_of_convolution(Writer& w, const Cell& cell, Sent& sent);
/// The gradient of a rotary embedding's input; `first`: the first column that turns.
Expr turned_back(Writer& w, Stage made, Index first, bool of_queries, const Cell& of);

/// D of a row of weights, the sum of what it sends back times the weights, and the sum of its weights.
Expr shared_loss(Writer& w, Stage weights, Index batch, Index head, Index query);
Expr sum_of_weights(Writer& w, Stage weights, Index batch, Index head, Index query);

/// What a stage of queries x keys, or the context that it makes, sends back to one that it reads.
void add_cells(Writer& w, const PlannedStage& by, const Cell& to, Sent& sent);
/// What contexts and states send back to the stages that they read, to states, to the past.
void add_states(Writer& w, const Cell& to, Sent& sent);

/// Why a stage's gradient is what it is: what its reader has done with it.
std::string why_back(const Plan& plan, const PlannedStage& by, Stage to);

void explain_gradient(Writer& w, const RowOf& row, Columns columns);
void explain_input_gradient(Writer& w, const RowOf& row, Columns columns);
void explain_parameter_gradient(Writer& w, const RowOf& row, Columns columns);
/// The number, with its label.
void tell(Writer& w, const RowOf& row, Index column, Sent sent);

}  // namespace attn::explain
