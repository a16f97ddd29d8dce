#pragma once
#include <array>
#include <memory>
#include <vector>

#include "lib/plan/backward_cost.hpp"
#include "lib/run/outputs.hpp"
#include "lib/run/traced.hpp"

namespace attn::gradient {

/// The forward pass as the backward pass reads it: all of the plan, in its own type where the backward pass
/// is fused, else in double. What is as long as the tokens is held, stages of queries x keys are computed
/// again where they are read (lib/run/traced.hpp, fused_back.hpp).
template <class T>
class Forward {
  public:
    Forward(const Plan& planned, const BackwardNeeds& backward_needs);
    /// May be called again: the same numbers, in the same memory.
    void compute();

    const Plan& plan() const { return plan_; }
    const BackwardNeeds& backward_needs() const { return backward_needs_; }
    Pool& pool() { return pool_; }
    const Tensors<T>& tensors() const { return tensors_; }
    const Mask<T>& mask() const { return mask_; }
    const Operands<T>& operands() const { return operands_; }
    const Projections<T>& projections() const { return projections_; }
    /// A stage before the scores, a context, or what follows it with a head axis: [batch, head, token,
    /// width].
    View<T> of(Stage stage) const;
    /// Reads these numbers in the place of what was computed, up to the next call; null: none. They are those
    /// of stages that are not of queries x keys, and have to outlive what reads them.
    void take(const std::array<const Stored4<T>*, stage_count>& numbers);
    bool is_taken(Stage stage) const { return taken_[idx(stage)] != nullptr; }
    /// The joined heads that the output projection reads, [batch, 1, query, width].
    View<T> joined() const;
    /// What makes a query's contexts: the stages of queries x keys, in their order.
    const std::vector<const PlannedStage*>& cells() const { return cells_; }
    /// Lambda of differential attention.
    double lambda() const { return lambda_; }
    /// A mask of dropout to be walked through by one worker.
    DropoutRows dropout() const { return dropout_; }
    double kept_factor() const { return dropout_.template kept_factor<double>(); }
    /// Computes the cells of a block into a worker's space; `dropout` is the caller's own.
    void compute_cells(const RowBlock& block, DropoutRows& dropout, TraceSpace<T>& space) const;
    /// By worker; none where there are states, or nothing is kept.
    std::vector<TraceSpace<T>>& spaces() { return traced_ ? traced_->spaces() : no_spaces_; }
    /// The heads of queries whose values are those of a head.
    std::vector<Index> readers_of(Index value_head) const;

  private:
    void make_contexts();
    void weigh_values();

    Plan plan_;
    BackwardNeeds backward_needs_;
    Pool pool_;
    Arena arena_;
    Tensors<T> tensors_;
    Mask<T> mask_;
    Biases<T> biases_;
    DropoutRows dropout_;
    Projections<T> projections_;
    Outputs<T> outputs_;
    Findings findings_;
    Needs needs_, needs_of_cells_;
    Operands<T> operands_;
    std::vector<const PlannedStage*> cells_;
    std::unique_ptr<Contexts<T>> contexts_;
    std::unique_ptr<Traced<T>> traced_;
    std::vector<TraceSpace<T>> no_spaces_;
    std::array<const Stored4<T>*, stage_count> taken_{};
    double lambda_ = 0;
};

}  // namespace attn::gradient
