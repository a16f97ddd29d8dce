#include "lib/run/linear.hpp"

#include <algorithm>

namespace attn {
namespace {

/// Less arithmetic than this is done before a matrix would be packed.
constexpr double worth_packing = 64.0 * 64 * 64;
/// Products that are added in one chain; a panel of so many rows stays in the first cache.
constexpr Index chunk = 128;

}  // namespace

template <class T>
Linear<T>::Linear(const LinearMap<T>& map, Index begin, Index end, Index rows, Arena& arena)
    : map_(map),
      kernel_(kernels::table<T>()),
      begin_(begin),
      columns_(end - begin),
      depth_(map.d_in()),
      stride_(columns_) {
    const double work =
        static_cast<double>(rows) * static_cast<double>(depth_) * static_cast<double>(map.d_out());
    const auto stored = map.stored(begin, end);
    if (work < worth_packing) {
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
    packed_ = arena.take<T>(kernel_.packed_size(columns_, depth_));
    if (!stored.data) {
        kernel_.pack_columns(map.copied(begin, end).data(), columns_, columns_, depth_, packed_);
    } else if (stored.is_transposed) {
        kernel_.pack_rows(stored.data, stored.stride, columns_, depth_, packed_);
    } else {
        kernel_.pack_columns(stored.data, stored.stride, columns_, depth_, packed_);
    }
}

template <class T>
void Linear<T>::multiply(const T* x, Index ldx, Index rows, T* y, Index ldy, Index depth_begin,
                         Index depth_end) const {
    if (packed_) {
        for (Index from = depth_begin; from < depth_end; from += chunk)
            kernel_.multiply_packed(
                x + (from - depth_begin), ldx, packed_, y, ldy, rows,
                kernels::Part::of_depth(columns_, depth_, from, std::min(from + chunk, depth_end)),
                from > depth_begin);
    } else {
        kernel_.multiply(x, ldx, weight_ + depth_begin * stride_, stride_, y, ldy, rows, columns_,
                         depth_end - depth_begin);
    }
}

template <class T>
void Linear<T>::apply(const T* x, Index ldx, Index rows, T* y, Index ldy) const {
    multiply(x, ldx, rows, y, ldy, 0, depth_);
    const std::vector<T>& bias = map_.bias();
    if (bias.empty()) return;
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns_; ++j) y[i * ldy + j] += bias[idx(begin_ + j)];
}

template class Linear<float>;
template class Linear<double>;

}  // namespace attn
