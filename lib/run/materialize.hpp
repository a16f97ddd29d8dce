#pragma once
#include <span>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/arena.hpp"
#include "lib/run/pool.hpp"
#include "lib/tensor.hpp"

namespace attn {

/// The tensors of a plan as numbers of type T. Drawn tensors are drawn in float32, as PyTorch draws them, and
/// widened.
template <class T>
class Tensors {
  public:
    /// Drawn by the pool's workers, each tensor from a generator of its own.
    Tensors(const Plan& plan, Pool& pool);

    /// Row-major elements of tensor `k` of the plan.
    std::span<const T> operator[](std::size_t k) const { return numbers_[k]; }

  private:
    Arena memory_;
    std::vector<std::span<const T>> numbers_;
};

/// W [d_in, d_out] and b [d_out] of a projection, put together from their pieces. Absent biases are zero.
template <class T>
struct LinearMap {
    Matrix<T> weight;
    std::vector<T> bias;  ///< empty: none
};

template <class T>
LinearMap<T> assemble(const Projection& projection, const Plan& plan, const Tensors<T>& tensors);

}  // namespace attn
