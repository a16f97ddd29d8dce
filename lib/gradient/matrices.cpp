// Projections backwards: y = x W + b.
#include <algorithm>
#include <utility>
#include <vector>

#include "lib/gradient/backward.hpp"
#include "lib/kernels/kernels.hpp"
#include "lib/plan/blocking.hpp"
#include "lib/run/linear.hpp"

namespace attn::gradient {
namespace {

/// Rows of xᵀ · dy that are packed together; columns of x and of dy whose sums one job holds in its cache.
constexpr Index product_rows = 256, columns_of_x = 48, columns_of_y = 192;
/// Products that are added in one chain, as where a projection goes forwards.
constexpr Index chained_products = 128;
/// Matrices are turned in squares: one of both is read or written across.
constexpr Index side = 16;

}  // namespace

template <class T>
void Backward<T>::through_projection(WeightRole role, const T* x, Index rows, const T* dy, T* dx) {
    const Projection& p = plan_.projection(role);
    const Index d_in = p.d_in, d_out = p.d_out;
    const MatrixBack back = matrix_back(role);
    scratch_.rewind();
    const bool sends = dx && sends_to_input(role);
    if (sends && back != MatrixBack::in_place_of_weight) {
        const LinearMap<T> map(p, plan_, forward_.tensors());
        typename LinearMap<T>::Stored w = map.stored(0, d_out);
        std::vector<T> copy;
        if (!w.data) {
            copy = map.copied(0, d_out);
            w = {copy.data(), d_out, false};
        }
        send(w, d_in, d_out, rows, dy, dx);
    }
    const Index summed = back == MatrixBack::first_item ? rows / plan_.batch : rows;
    T* const dw = product_over_rows(x, d_in, dy, d_out, summed);
    if (sends && back == MatrixBack::in_place_of_weight) send({dw, d_out, false}, d_in, d_out, rows, dy, dx);
    if (back == MatrixBack::mean_over_batch)
        for (Index k = 0; k < d_in * d_out; ++k) dw[k] /= static_cast<T>(plan_.batch);
    if (back == MatrixBack::transposed && d_in == d_out)
        for (Index i = 0; i < d_in; ++i)
            for (Index o = 0; o < i; ++o) std::swap(dw[i * d_out + o], dw[o * d_out + i]);
    add_weights(p, dw);
    for (const WeightPiece& piece : p.bias) {
        std::vector<double> sums(idx(piece.outputs));
        for (Index i = 0; i < rows; ++i)
            for (Index o = 0; o < piece.outputs; ++o)
                sums[idx(o)] += static_cast<double>(dy[i * d_out + piece.target_begin + o]);
        std::vector<double>& to = of_tensor(piece.tensor);
        for (Index o = 0; o < piece.outputs; ++o) to[idx(piece.source_begin + o)] += sums[idx(o)];
    }
}

/// dx += dy · Wᵀ: a worker packs some columns of dx's side, with their whole depth, for all rows.
template <class T>
void Backward<T>::send(const typename LinearMap<T>::Stored& w, Index d_in, Index d_out, Index rows,
                       const T* dy, T* dx) {
    const auto& kernel = kernels::table<T>();
    constexpr Index of_a_job = blocking::block_columns, height = blocking::projected_rows;
    const Index size = kernel.packed_size(of_a_job, d_out);
    Pool& pool = forward_.pool();
    T* const space = scratch_.take<T>(pool.workers() * size);
    pool.run(blocking::parts(d_in, of_a_job), [&](Index job, int worker) {
        const Index first = job * of_a_job, columns = std::min(of_a_job, d_in - first);
        T* const packed = space + worker * size;
        if (w.is_transposed)
            kernel.pack_columns(w.data + first, w.stride, columns, d_out, packed);
        else
            kernel.pack_rows(w.data + first * w.stride, w.stride, columns, d_out, packed);
        for (Index from = 0; from < rows; from += height)
            for (Index k = 0; k < d_out; k += chained_products)
                kernel.multiply_packed(
                    dy + from * d_out + k, d_out, packed, dx + from * d_in + first, d_in,
                    std::min(height, rows - from),
                    kernels::Part::of_depth(columns, d_out, k, std::min(k + chained_products, d_out)), true);
    });
}

/// Rows of x, [part, column, row of the part]: several projections read the same ones.
template <class T>
const T* Backward<T>::turned(const T* x, Index width, Index rows) {
    if (turned_of_ == x && turned_rows_ == rows) return turned_;
    const Index parts = blocking::parts(rows, product_rows);
    turns_.rewind();
    turned_ = turns_.take<T>(parts * width * product_rows);
    turned_of_ = x;
    turned_rows_ = rows;
    forward_.pool().run(parts, [&](Index part, int) {
        const Index count = std::min(product_rows, rows - part * product_rows);
        const T* const from = x + part * product_rows * width;
        T* const to = turned_ + part * product_rows * width;
        for (Index i0 = 0; i0 < count; i0 += side)
            for (Index c0 = 0; c0 < width; c0 += side)
                for (Index c = c0; c < std::min(c0 + side, width); ++c)
                    for (Index i = i0; i < std::min(i0 + side, count); ++i)
                        to[c * product_rows + i] = from[i * width + c];
    });
    return turned_;
}

/// xᵀ · dy in the scratch memory: parts of rows are added up in order, whoever has them.
template <class T>
T* Backward<T>::product_over_rows(const T* x, Index d_in, const T* dy, Index d_out, Index rows) {
    const auto& kernel = kernels::table<T>();
    Pool& pool = forward_.pool();
    const Index parts = blocking::parts(rows, product_rows), size = kernel.packed_size(d_out, product_rows);
    const T* const columns = turned(x, d_in, rows);
    T* const packed = scratch_.take<T>(parts * size);
    const auto count_of = [&](Index part) { return std::min(product_rows, rows - part * product_rows); };
    pool.run(parts, [&](Index part, int) {
        kernel.pack_columns(dy + part * product_rows * d_out, d_out, d_out, count_of(part),
                            packed + part * size);
    });
    T* const dw = scratch_.take<T>(2 * d_in * d_out);
    T* const rest = dw + d_in * d_out;
    const Index across = blocking::parts(d_out, columns_of_y);
    pool.run(blocking::parts(d_in, columns_of_x) * across, [&](Index job, int) {
        const Index i0 = job / across * columns_of_x, o0 = job % across * columns_of_y;
        const Index height = std::min(columns_of_x, d_in - i0), width = std::min(columns_of_y, d_out - o0);
        const Index at = i0 * d_out + o0;
        for (Index i = 0; i < height; ++i) {
            std::fill_n(dw + at + i * d_out, width, T{0});
            std::fill_n(rest + at + i * d_out, width, T{0});
        }
        for (Index part = 0; part < parts; ++part)
            kernel.add_packed(columns + (part * d_in + i0) * product_rows, product_rows, packed + part * size,
                              dw + at, rest + at, d_out, height,
                              {d_out, count_of(part), 0, count_of(part), o0, o0 + width});
        for (Index i = 0; i < height; ++i) kernel.add_rest(rest + at + i * d_out, dw + at + i * d_out, width);
    });
    return dw;
}

/// To the tensors that hold the weights.
template <class T>
void Backward<T>::add_weights(const Projection& p, const T* dw) {
    for (const WeightPiece& piece : p.weight) {
        std::vector<T>& to = of_given(piece.tensor);
        const Index stride = plan_.tensors[piece.tensor].shape.back();
        forward_.pool().run(blocking::parts(p.d_in, side), [&](Index job, int) {
            const Index i0 = job * side, i1 = std::min(i0 + side, p.d_in);
            for (Index o0 = 0; o0 < piece.outputs; o0 += side)
                for (Index i = i0; i < i1; ++i)
                    for (Index o = o0; o < std::min(o0 + side, piece.outputs); ++o) {
                        const Index out = piece.source_begin + o;
                        to[idx(piece.base + (piece.out_in ? out * stride + i : i * stride + out))] +=
                            dw[i * p.d_out + piece.target_begin + o];
                    }
        });
    }
}

template void Backward<float>::through_projection(WeightRole role, const float* x, Index rows,
                                                  const float* dy, float* dx);
template void Backward<double>::through_projection(WeightRole role, const double* x, Index rows,
                                                   const double* dy, double* dx);

}  // namespace attn::gradient
