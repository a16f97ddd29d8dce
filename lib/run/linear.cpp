#include "lib/run/linear.hpp"

#include <algorithm>

namespace attn {
namespace {

/// Less arithmetic than this is done before a matrix would be packed.
constexpr double worth_packing = 64.0 * 64 * 64;
/// Products that are added in one chain; a panel of so many rows stays in the first cache.
constexpr Index chunk = 128;
/// Jobs for each worker, so that none waits long for the last one; rows that are worth packing a block for.
constexpr Index jobs_of_worker = 4, rows_of_packing = 8 * blocking::projected_rows;

template <class T>
bool is_packed(const LinearMap<T>& map, Index rows) {
    return static_cast<double>(rows) * static_cast<double>(map.d_in()) * static_cast<double>(map.d_out()) >=
           worth_packing;
}

/// Columns begin ... end - 1 of a map, of one block, into `packed`. `widened` has room for them where they
/// are not stored as T.
template <class T>
void pack(const LinearMap<T>& map, Index begin, Index end, T* packed, T* widened) {
    const auto& kernel = kernels::table<T>();
    const Index columns = end - begin, depth = map.d_in();
    const auto stored = map.stored(begin, end);
    if (!stored.data) {
        map.copy_transposed(begin, end, widened);
        kernel.pack_rows(widened, depth, columns, depth, packed);
    } else if (stored.is_transposed) {
        kernel.pack_rows(stored.data, stored.stride, columns, depth, packed);
    } else {
        kernel.pack_columns(stored.data, stored.stride, columns, depth, packed);
    }
}

/// y = x · a part of the depth of a packed block.
template <class T>
void multiply_block(const T* x, Index ldx, const T* packed, Index columns, Index depth, T* y, Index ldy,
                    Index rows, Index depth_begin, Index depth_end) {
    for (Index from = depth_begin; from < depth_end; from += chunk)
        kernels::table<T>().multiply_packed(
            x + (from - depth_begin), ldx, packed, y, ldy, rows,
            kernels::Part::of_depth(columns, depth, from, std::min(from + chunk, depth_end)),
            from > depth_begin);
}

/// The bias is added to the sum before it is rounded, as PyTorch's kernels do.
template <class T>
void add_bias(const LinearMap<T>& map, Index begin, Index columns, Index rows, T* y, Index ldy) {
    const std::vector<T>& bias = map.bias();
    const Rounding rounding = map.rounding();
    for (Index i = 0; i < rows && !bias.empty(); ++i)
        for (Index j = 0; j < columns; ++j) y[i * ldy + j] += bias[idx(begin + j)];
    for (Index i = 0; i < rows && rounding.changes(); ++i) rounding(y + i * ldy, columns);
}

}  // namespace

template <class T>
Linear<T>::Linear(const LinearMap<T>& map, Index begin, Index end, Index rows, Arena& arena, Pool* pool)
    : map_(map),
      kernel_(kernels::table<T>()),
      begin_(begin),
      columns_(end - begin),
      depth_(map.d_in()),
      stride_(columns_) {
    const auto stored = map.stored(begin, end);
    if (!is_packed(map, rows)) {
        if (stored.data && !stored.is_transposed) {
            weight_ = stored.data;
            stride_ = stored.stride;
        } else {
            const std::vector<T> copy = map.copied(begin, end);
            T* const to = arena.take<T>(columns_ * depth_);
            std::copy(copy.begin(), copy.end(), to);
            weight_ = to;
        }
        return;
    }
    constexpr Index block = blocking::block_columns;
    const Index widened = stored.data ? 0 : block * depth_;
    packed_ = arena.take<T>(kernel_.packed_size(columns_, depth_));
    T* const rooms = arena.take<T>(widened * (pool ? pool->workers() : 1));
    const auto job = [&](Index k, int worker) {
        const Index first = k * block;
        pack(map, begin + first, std::min(begin + first + block, end), packed_ + first * depth_,
             rooms + worker * widened);
    };
    const Index jobs = blocking::parts(columns_, block);
    if (pool)
        pool->run(jobs, job);
    else
        for (Index k = 0; k < jobs; ++k) job(k, 0);
}

template <class T>
void Linear<T>::multiply(const T* x, Index ldx, Index rows, T* y, Index ldy, Index depth_begin,
                         Index depth_end) const {
    if (!packed_)
        return kernel_.multiply(x, ldx, weight_ + depth_begin * stride_, stride_, y, ldy, rows, columns_,
                                depth_end - depth_begin);
    for (Index j = 0; j < columns_; j += blocking::block_columns)
        multiply_block(x, ldx, packed_ + j * depth_, std::min(blocking::block_columns, columns_ - j), depth_,
                       y + j, ldy, rows, depth_begin, depth_end);
}

template <class T>
void Linear<T>::apply(const T* x, Index ldx, Index rows, T* y, Index ldy) const {
    multiply(x, ldx, rows, y, ldy, 0, depth_);
    add_bias(map_, begin_, columns_, rows, y, ldy);
}

template <class T>
void Linear<T>::apply_once(const LinearMap<T>& map, Index begin, Index end, Index rows,
                           std::span<const Run> runs, Index ldx, Index ldy, Pool& pool, Arena& arena) {
    std::vector<Run> pieces;
    for (const Run& run : runs)
        for (Index k = 0; k < run.rows; k += rows_of_a_job)
            pieces.push_back({run.x + k * ldx, std::min(rows_of_a_job, run.rows - k), run.y + k * ldy});
    const auto count = static_cast<Index>(pieces.size());
    if (!is_packed(map, rows)) {
        const Linear linear(map, begin, end, rows, arena);
        pool.run(count, [&](Index k, int) {
            const Run& p = pieces[idx(k)];
            linear.apply(p.x, ldx, p.rows, p.y, ldy);
        });
        return;
    }
    constexpr Index block = blocking::block_columns;
    const Index blocks = blocking::parts(end - begin, block), depth = map.d_in(), room = block * depth,
                pieces_of_packing = rows_of_packing / rows_of_a_job,
                shares = std::clamp(blocking::parts(jobs_of_worker * pool.workers(), blocks), Index{1},
                                    std::max(Index{1}, count / pieces_of_packing));
    T* const rooms = arena.take<T>(2 * room * pool.workers());
    pool.run(blocks * shares, [&](Index job, int worker) {
        const Index first = job / shares * block, columns = std::min(block, end - begin - first),
                    share = job % shares;
        T* const packed = rooms + 2 * room * worker;
        pack(map, begin + first, begin + first + columns, packed, packed + room);
        for (Index k = share * count / shares; k < (share + 1) * count / shares; ++k) {
            const Run& p = pieces[idx(k)];
            multiply_block(p.x, ldx, packed, columns, depth, p.y + first, ldy, p.rows, 0, depth);
            add_bias(map, begin + first, columns, p.rows, p.y + first, ldy);
        }
    });
}

template class Linear<float>;
template class Linear<double>;

}  // namespace attn
