#pragma once
#include <memory>

#include "lib/plan/plan.hpp"
#include "lib/render/sheet/grid.hpp"

namespace attn::sheet {

/// A number of an arithmetic as the shortest decimal that stands for it there: 0.43 for the float32 that is
/// 0.4300000071525574.
double as_typed(double number, DType dtype);

/// What a plan reads, as_typed().
class PlanNumbers {
  public:
    /// Draws what is drawn. `plan` has to outlive it.
    explicit PlanNumbers(const Plan& plan);
    ~PlanNumbers();
    PlanNumbers(const PlanNumbers&) = delete;
    PlanNumbers& operator=(const PlanNumbers&) = delete;

    /// Element `k` of a tensor of the plan, row-major.
    double tensor(std::size_t which, Index k) const;
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
