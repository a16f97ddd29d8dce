#pragma once
#include <span>
#include <vector>

#include "lib/kernels/kernels.hpp"
#include "lib/plan/blocking.hpp"
#include "lib/pool.hpp"
#include "lib/run/arena.hpp"
#include "lib/run/materialize.hpp"

namespace attn {

/// y = x · W + b for some columns of a map, W packed once where the work is worth it, else read where it is.
/// In a plan of half precision y is rounded once, after the bias.
template <class T>
class Linear {
  public:
    /// Columns begin ... end - 1 of `map`, for inputs of about `rows` rows (all of them: the bits of a row
    /// must not depend on how many are asked for). \param pool its workers pack; null: the caller alone
    Linear(const LinearMap<T>& map, Index begin, Index end, Index rows, Arena& arena, Pool* pool = nullptr);

    /// y[rows, end - begin] = x[rows, :] · W + b
    void apply(const T* x, Index ldx, Index rows, T* y, Index ldy) const;
    /// y[rows, end - begin] = x[rows, depth_end - depth_begin] · W[depth_begin ... depth_end - 1, :], without
    /// the bias, not rounded.
    void multiply(const T* x, Index ldx, Index rows, T* y, Index ldy, Index depth_begin,
                  Index depth_end) const;

    /// Rows of one job, when the rows are shared between workers.
    static constexpr Index rows_of_a_job = blocking::projected_rows;

    /// Some rows, and where their products go.
    struct Run {
        const T* x;
        Index rows;
        T* y;
    };
    /// y = x · W + b for all runs, by all workers, with the bits of apply(). Each worker packs the columns of
    /// its job: no more of W than blocking::block_columns for each is ever there as T. \param rows as above
    static void apply_once(const LinearMap<T>& map, Index begin, Index end, Index rows,
                           std::span<const Run> runs, Index ldx, Index ldy, Pool& pool, Arena& arena);

  private:
    const LinearMap<T>& map_;
    const kernels::Table<T>& kernel_;
    Index begin_, columns_, depth_, stride_;
    const T* weight_ = nullptr;  ///< where nothing is packed: [depth, columns], rows `stride_` apart
    T* packed_ = nullptr;        ///< blocks of columns, each packed with its whole depth
};

}  // namespace attn
