#pragma once
#include <optional>
#include <span>
#include <vector>

#include "lib/plan/needs.hpp"
#include "lib/plan/plan.hpp"
#include "lib/pool.hpp"
#include "lib/random/torch.hpp"
#include "lib/rounding.hpp"
#include "lib/run/arena.hpp"

namespace attn {

/// The plan in float64, whole. What a run in float32 reads is rounded first: the same numbers enter.
Plan in_double(Plan plan);

/// The tensors of a plan as numbers of type T. Drawn tensors are drawn in float32 as PyTorch draws them, or
/// in float64 where the document says so, and converted.
template <class T>
class Tensors {
  public:
    /// Drawn by the pool's workers, each tensor from a generator of its own; those of manual_seed one after
    /// another. \param needs what is read of given tensors; null: all numbers
    Tensors(const Plan& plan, Pool& pool, const Needs* needs = nullptr);

    /// Row-major elements of tensor `k` of the plan.
    /// \throws std::logic_error for the weight of a projection that is not held as T: copy() has its elements
    std::span<const T> operator[](std::size_t k) const;
    /// The same; none of such a weight: a large matrix is converted where it is packed, and not held twice.
    std::span<const T> in_place(std::size_t k) const { return numbers_[k]; }
    /// As many elements as `out` holds, from `first` on, of any tensor, however it is stored.
    void copy(std::size_t k, Index first, std::span<T> out) const;
    /// The generator that draws a dropout mask without a seed of its own; null: the mask has one.
    const torch::Generator* dropout_start() const { return dropout_start_ ? &*dropout_start_ : nullptr; }

  private:
    Arena memory_;
    std::optional<torch::Generator> dropout_start_;
    std::vector<std::span<const T>> numbers_;
    std::vector<Numbers> stored_;  ///< of tensors that are not held as T; else empty
};

/// W [d_in, d_out] and b [d_out] of a projection, where their numbers are: nothing of W is copied before it
/// is packed for the kernels.
template <class T>
class LinearMap {
  public:
    /// What it refers to has to live on.
    LinearMap(const Projection& projection, const Plan& plan, const Tensors<T>& tensors);

    Index d_in() const { return projection_.d_in; }
    Index d_out() const { return projection_.d_out; }
    /// What becomes of its outputs.
    Rounding rounding() const { return plan_.rounding; }
    const std::vector<T>& bias() const { return bias_; }  ///< empty: none; absent pieces are zero

    /// Some columns as one tensor holds them: element (i, j) at data[i * stride + j], or at data[j * stride +
    /// i] where `is_transposed`. `data` is null where they stand in several tensors, or are no T.
    struct Stored {
        const T* data = nullptr;
        Index stride = 0;
        bool is_transposed = false;
    };
    Stored stored(Index begin, Index end) const;
    /// Columns begin ... end - 1, row-major.
    std::vector<T> copied(Index begin, Index end) const;
    /// The same columns as rows: `out` is [end - begin, d_in].
    void copy_transposed(Index begin, Index end, T* out) const;

  private:
    /// Calls f(piece, its first element that is wanted, its first and last column) for the pieces that have
    /// some of these columns.
    template <class F>
    void each_piece(Index begin, Index end, F&& f) const;

    const Projection& projection_;
    const Plan& plan_;
    const Tensors<T>& tensors_;
    std::vector<T> bias_;
};

}  // namespace attn
