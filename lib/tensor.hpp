#pragma once
// The only door to xtensor: containers with named axes [batch, head, token, dim]; the arithmetic is in
// lib/kernels.
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>
#else
#include <xtensor/xtensor.hpp>
#endif

#include <algorithm>
#include <array>
#include <span>

#include "lib/shape.hpp"

namespace attn {

/// Row-major, four axes. The stride of an axis of length 1 is 0, so a mask broadcasts by its strides alone.
template <class T>
using Tensor4 = xt::xtensor<T, 4>;

template <class T>
using Matrix = xt::xtensor<T, 2>;

/// An uninitialised tensor of this shape (`xtensor x({n})` would make one element).
template <class T>
Tensor4<T> tensor4(Index batch, Index head, Index token, Index dim) {
    const std::array<std::size_t, 4> shape{static_cast<std::size_t>(batch), static_cast<std::size_t>(head),
                                           static_cast<std::size_t>(token), static_cast<std::size_t>(dim)};
    return Tensor4<T>::from_shape(shape);
}

/// Numbers of a tensor of up to four axes, aligned from the right with [batch, head, query, key].
template <class U, class T>
Tensor4<U> aligned(const Shape& shape, std::span<const T> numbers) {
    const Shape s = four_axes(shape);
    Tensor4<U> out = tensor4<U>(s[0], s[1], s[2], s[3]);
    std::transform(numbers.begin(), numbers.end(), out.data(), [](T v) { return static_cast<U>(v); });
    return out;
}

/// Zeros.
template <class T>
Matrix<T> matrix(Index rows, Index columns) {
    const std::array<std::size_t, 2> shape{static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
    Matrix<T> m = Matrix<T>::from_shape(shape);
    m.fill(T{0});
    return m;
}

/// The element offset of [a, b, c, 0]; axes of length 1 broadcast.
template <class T>
Index offset_of(const Tensor4<T>& t, Index a, Index b, Index c) {
    const auto& s = t.strides();
    return a * static_cast<Index>(s[0]) + b * static_cast<Index>(s[1]) + c * static_cast<Index>(s[2]);
}

template <class T>
T* row(Tensor4<T>& t, Index a, Index b, Index c) {
    return t.data() + offset_of(t, a, b, c);
}
template <class T>
const T* row(const Tensor4<T>& t, Index a, Index b, Index c) {
    return t.data() + offset_of(t, a, b, c);
}

}  // namespace attn
