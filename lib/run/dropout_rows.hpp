#pragma once
#include <cstdint>
#include <optional>

#include "lib/plan/plan.hpp"
#include "lib/random/torch.hpp"
#include "lib/run/materialize.hpp"
#include "lib/tensor.hpp"

namespace attn {

/// The rows of a plan's dropout mask. Drawn masks are drawn over [batch, head, query, key] (stacked heads:
/// head first) for the whole run, so that selected rows keep the decisions of the whole; rows are asked for
/// in any order, but rising order is what is cheap.
class DropoutRows {
  public:
    template <class T>
    DropoutRows(const Plan& plan, const Tensors<T>& tensors);

    /// keep[keys] of one row: 1 kept, 0 dropped.
    void row(Index batch, Index head, Index query, std::uint8_t* keep);

    /// What kept weights are multiplied by, rounded as PyTorch rounds it: keep / T(1 - p).
    template <class T>
    T kept_factor() const;

  private:
    const Plan& plan_;
    std::optional<torch::Dropout> start_, generator_;  ///< of the first row; where it is
    Index position_ = 0;
    Tensor4<std::uint8_t> given_;
};

}  // namespace attn
