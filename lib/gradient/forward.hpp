#pragma once
#include <array>
#include <memory>
#include <vector>

#include "lib/run/outputs.hpp"
#include "lib/run/traced.hpp"

namespace attn::gradient {

/// The forward pass as the backward pass reads it: the plan in double, all of it; what is as long as the
/// tokens is held, stages of queries x keys are computed again where they are read (lib/run/traced.hpp).
class Forward {
  public:
    explicit Forward(const Plan& planned);

    const Plan& plan() const { return plan_; }
    Pool& pool() { return pool_; }
    const Tensors<double>& tensors() const { return tensors_; }
    const Mask<double>& mask() const { return mask_; }
    const Operands<double>& operands() const { return operands_; }
    const Projections<double>& projections() const { return projections_; }
    /// A stage before the scores, a context, or what follows it with a head axis: [batch, head, token,
    /// width].
    View<double> of(Stage stage) const;
    /// Reads these numbers in the place of what was computed, up to the next call; null: none. They are those
    /// of stages that are not of queries x keys, and have to outlive what reads them.
    void take(const std::array<const Numbers4*, stage_count>& numbers);
    bool is_taken(Stage stage) const { return taken_[idx(stage)] != nullptr; }
    /// The joined heads that the output projection reads, [batch, 1, query, width].
    View<double> joined() const;
    /// What makes a query's contexts: the stages of queries x keys, in their order.
    const std::vector<const PlannedStage*>& cells() const { return cells_; }
    /// Lambda of differential attention.
    double lambda() const { return lambda_; }
    /// A mask of dropout to be walked through by one worker.
    DropoutRows dropout() const { return dropout_; }
    double kept_factor() const { return dropout_.kept_factor<double>(); }
    /// Computes the cells of a block into a worker's space; `dropout` is the caller's own.
    void compute_cells(const RowBlock& block, DropoutRows& dropout, TraceSpace<double>& space) const;
    /// By worker; none where there are states.
    std::vector<TraceSpace<double>>& spaces() { return traced_ ? traced_->spaces() : no_spaces_; }
    /// The heads of queries whose values are those of a head.
    std::vector<Index> readers_of(Index value_head) const;

  private:
    void make_contexts();
    void weigh_values();

    Plan plan_;
    Pool pool_;
    Arena arena_;
    Tensors<double> tensors_;
    Mask<double> mask_;
    Biases<double> biases_;
    DropoutRows dropout_;
    Projections<double> projections_;
    Outputs<double> outputs_;
    Findings findings_;
    Needs needs_, needs_of_cells_;
    Operands<double> operands_;
    std::vector<const PlannedStage*> cells_;
    std::unique_ptr<Contexts<double>> contexts_;
    std::unique_ptr<Traced<double>> traced_;
    std::vector<TraceSpace<double>> no_spaces_;
    std::array<const Numbers4*, stage_count> taken_{};
    double lambda_ = 0;
};

}  // namespace attn::gradient
