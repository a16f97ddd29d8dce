#pragma once
#include <span>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/materialize.hpp"

namespace attn {

/// What is added to the scores of given keys besides masks: ALiBi's slopes (Press et al. 2022, section 3) and
/// a position bias. Appended keys get none.
template <class T>
class Biases {
  public:
    Biases(const Plan& plan, const Tensors<T>& tensors);

    bool any() const { return !plan_.alibi.empty() || !table_.empty(); }
    /// Adds to scores[k1 - k0] of keys k0 ... k1 - 1.
    void add(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const;

  private:
    const Plan& plan_;
    std::vector<Index> bucket_numbers_;  ///< of each distance from `nearest_` on, in the table
    Index nearest_ = 0;
    std::span<const T> table_;  ///< the tensor of the position bias
};

}  // namespace attn
