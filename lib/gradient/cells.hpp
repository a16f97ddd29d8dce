#pragma once
#include <array>
#include <vector>

#include "lib/gradient/backward.hpp"

namespace attn::gradient {

/// One worker's gradients of the stages of queries x keys of a row block, each [row_block, keys].
struct CellGrads {
    std::array<std::vector<double>, stage_count> of;
    std::vector<std::uint8_t> hidden;  ///< [keys]: by rules that are no numbers, where that matters
    double lambda = 0;                 ///< what the block adds to the gradient of lambda
    std::vector<double> sinks;         ///< and of the sinks, by head
};

/// Row blocks backwards: stages of queries x keys are computed again, and their gradients from those of the
/// contexts, which are there. A row has all its keys, so that the loss that its weights share,
/// D = row sum of dP ∘ P, is at hand: in double, of the weights themselves (rowsum(dO ∘ O) of rounded
/// contexts is worse).
class Cells {
  public:
    explicit Cells(Backward<double>& backward);

    /// Computes a block and the gradients of its cells. `dropout` and both spaces are the worker's own.
    void compute(const RowBlock& block, DropoutRows& dropout, TraceSpace<double>& space,
                 CellGrads& grads) const;

  private:
    void weights(const RowBlock& block, Index i, const double* in, TraceSpace<double>& space, const double* d,
                 double* to, CellGrads& grads) const;
    void row(Stage stage, const RowBlock& block, Index i, const double* in, const double* d, double* to,
             TraceSpace<double>& space, CellGrads& grads) const;

    Backward<double>& backward_;
    Forward<double>& forward_;
    const Plan& plan_;
    /// Without the masks that are added, where a row that sees nothing lets NaN through these.
    std::unique_ptr<Plan> without_numbers_;
    std::unique_ptr<Mask<double>> rules_;
};

/// From the contexts to queries, keys and values in use, position bias, sinks, lambda and v: everything that
/// is a sum over rows or keys.
void through_cells(Backward<double>& backward);

}  // namespace attn::gradient
