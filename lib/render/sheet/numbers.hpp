#pragma once
#include <memory>

#include "lib/plan/plan.hpp"
#include "lib/render/sheet/grid.hpp"

namespace attn::sheet {

/// What a plan reads, as numbers to be written down: those of float32 as the shortest decimals that stand for
/// them, so 0.43 is 0.43.
class PlanNumbers {
  public:
    /// Draws what is drawn. `plan` has to outlive it.
    explicit PlanNumbers(const Plan& plan);
    ~PlanNumbers();
    PlanNumbers(const PlanNumbers&) = delete;
    PlanNumbers& operator=(const PlanNumbers&) = delete;

    /// Element `k` of a tensor of the plan, row-major.
    double tensor(std::size_t tensor, Index k) const;
    /// An element of W [d_in, d_out] or b [d_out] of a projection.
    double weight(WeightRole role, Index row, Index column);
    double bias(WeightRole role, Index column) const;
    /// Whether the mask leaves a key to a query, whether dropout keeps its weight. Rows in rising order are
    /// cheap.
    bool is_visible(const At& at);
    bool is_kept(const At& at);

  private:
    struct Held;
    template <class T>
    struct HeldAs;
    std::unique_ptr<Held> held_;
};

}  // namespace attn::sheet
