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
      depth_(static_cast<Index>(map.weight.shape()[0])),
      stride_(static_cast<Index>(map.weight.shape()[1])) {
    const double work =
        static_cast<double>(rows) * static_cast<double>(depth_) * static_cast<double>(stride_);
    if (work < worth_packing) return;
    packed_ = arena.take<T>(kernel_.packed_size(columns_, depth_));
    kernel_.pack_columns(map.weight.data() + begin, stride_, columns_, depth_, packed_);
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
        kernel_.multiply(x, ldx, map_.weight.data() + depth_begin * stride_ + begin_, stride_, y, ldy, rows,
                         columns_, depth_end - depth_begin);
    }
}

template <class T>
void Linear<T>::apply(const T* x, Index ldx, Index rows, T* y, Index ldy) const {
    multiply(x, ldx, rows, y, ldy, 0, depth_);
    if (map_.bias.empty()) return;
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns_; ++j)
            y[i * ldy + j] += map_.bias[static_cast<std::size_t>(begin_ + j)];
}

template class Linear<float>;
template class Linear<double>;

}  // namespace attn
