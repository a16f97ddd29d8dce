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

/// Rows of aᵀ · b that are packed together; columns of a and of b whose sums one job holds in its cache.
constexpr Index product_rows = 256, columns_of_a = 48, columns_of_b = 192;
/// Products that are added in one chain, as where a projection goes forwards.
constexpr Index chained_products = 128;
/// Matrices are turned in squares: one of both is read or written across.
constexpr Index side = 16;

}  // namespace

/// A factor of a sum of products over rows: [rows, width], dense.
template <class T>
struct Backward<T>::Operand {
    const T* at;
    Index width;
    bool is_kept;  ///< several projections read it
};

template <class T>
void Backward<T>::through_projection(WeightRole role, const T* x, Index rows, const T* dy, To dx) {
    const Projection& p = plan_.projection(role);
    const Index d_in = p.d_in, d_out = p.d_out;
    const MatrixBack back = matrix_back(role);
    scratch_.rewind();
    const bool sends = dx.at && sends_to_input(role);
    if (!sends && !dx.adds) std::fill_n(dx.at, rows * d_in, T{0});
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
    const bool out_in = std::all_of(p.weight.begin(), p.weight.end(), [](const auto& w) { return w.out_in; });
    const Operand of_x{x, d_in, true}, of_y{dy, d_out, false};
    T* const dw = out_in ? product_over_rows(of_y, of_x, summed) : product_over_rows(of_x, of_y, summed);
    if (sends && back == MatrixBack::in_place_of_weight)
        send({dw, out_in ? d_in : d_out, out_in}, d_in, d_out, rows, dy, dx);
    if (back == MatrixBack::mean_over_batch)
        for (Index k = 0; k < d_in * d_out; ++k) dw[k] /= static_cast<T>(plan_.batch);
    if (back == MatrixBack::transposed && d_in == d_out)
        for (Index i = 0; i < d_in; ++i)
            for (Index o = 0; o < i; ++o) std::swap(dw[i * d_out + o], dw[o * d_out + i]);
    add_weights(p, dw, out_in);
    for (const WeightPiece& piece : p.bias) {
        std::vector<double> sums(idx(piece.outputs));
        for (Index i = 0; i < rows; ++i)
            for (Index o = 0; o < piece.outputs; ++o)
                sums[idx(o)] += static_cast<double>(dy[i * d_out + piece.target_begin + o]);
        std::vector<double>& to = of_tensor(piece.tensor);
        for (Index o = 0; o < piece.outputs; ++o) to[idx(piece.source_begin + o)] += sums[idx(o)];
    }
}

/// dx = or += dy · Wᵀ: a worker packs some columns of dx's side, with their whole depth, for all rows.
template <class T>
void Backward<T>::send(const typename LinearMap<T>::Stored& w, Index d_in, Index d_out, Index rows,
                       const T* dy, To dx) {
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
                    dy + from * d_out + k, d_out, packed, dx.at + from * d_in + first, d_in,
                    std::min(height, rows - from),
                    kernels::Part::of_depth(columns, d_out, k, std::min(k + chained_products, d_out)),
                    dx.adds || k > 0);
    });
}

/// [part, column, row of the part]
template <class T>
void Backward<T>::turn_parts(const Operand& m, Index rows, T* to) {
    forward_.pool().run(blocking::parts(rows, product_rows), [&](Index part, int) {
        const Index from = part * product_rows * m.width;
        kernels::table<T>().turn(m.at + from, m.width, std::min(product_rows, rows - part * product_rows),
                                 m.width, to + from, product_rows);
    });
}

/// Each part of rows packed as columns.
template <class T>
void Backward<T>::pack_parts(const Operand& m, Index rows, T* to) {
    const auto& kernel = kernels::table<T>();
    const Index size = kernel.packed_size(m.width, product_rows);
    forward_.pool().run(blocking::parts(rows, product_rows), [&](Index part, int) {
        kernel.pack_columns(m.at + part * product_rows * m.width, m.width, m.width,
                            std::min(product_rows, rows - part * product_rows), to + part * size);
    });
}

/// x turned, or packed.
template <class T>
const T* Backward<T>::kept(const Operand& x, Index rows, bool packed) {
    if (kept_.of == x.at && kept_.rows == rows && kept_.packed == packed) return kept_.at;
    keeps_.rewind();
    const Index parts = blocking::parts(rows, product_rows);
    const Index width = packed ? kernels::table<T>().packed_size(x.width, 1) : x.width;
    kept_ = {x.at, rows, packed, keeps_.take<T>(parts * product_rows * width)};
    packed ? pack_parts(x, rows, kept_.at) : turn_parts(x, rows, kept_.at);
    return kept_.at;
}

/// aᵀ · b in the scratch memory: parts of rows are added up in order, whoever has them.
template <class T>
T* Backward<T>::product_over_rows(const Operand& a, const Operand& b, Index rows) {
    const auto& kernel = kernels::table<T>();
    const Index parts = blocking::parts(rows, product_rows), size = kernel.packed_size(b.width, product_rows);
    const T *turned = nullptr, *packed = nullptr;
    if (a.is_kept) {
        turned = kept(a, rows, false);
        T* const to = scratch_.take<T>(parts * size);
        pack_parts(b, rows, to);
        packed = to;
    } else {
        packed = kept(b, rows, true);
        T* const to = scratch_.take<T>(parts * product_rows * a.width);
        turn_parts(a, rows, to);
        turned = to;
    }
    const auto count_of = [&](Index part) { return std::min(product_rows, rows - part * product_rows); };
    T* const out = scratch_.take<T>(2 * a.width * b.width);
    T* const rest = out + a.width * b.width;
    const Index across = blocking::parts(b.width, columns_of_b);
    forward_.pool().run(blocking::parts(a.width, columns_of_a) * across, [&](Index job, int) {
        const Index i0 = job / across * columns_of_a, o0 = job % across * columns_of_b;
        const Index height = std::min(columns_of_a, a.width - i0),
                    width = std::min(columns_of_b, b.width - o0);
        const Index at = i0 * b.width + o0;
        for (Index i = 0; i < height; ++i) {
            std::fill_n(out + at + i * b.width, width, T{0});
            std::fill_n(rest + at + i * b.width, width, T{0});
        }
        for (Index part = 0; part < parts; ++part)
            kernel.add_packed(turned + (part * a.width + i0) * product_rows, product_rows,
                              packed + part * size, out + at, rest + at, b.width, height,
                              {b.width, count_of(part), 0, count_of(part), o0, o0 + width});
        for (Index i = 0; i < height; ++i)
            kernel.add_rest(rest + at + i * b.width, out + at + i * b.width, width);
    });
    return out;
}

/// To the tensors that hold the weights. \param dw [d_in, d_out]; `out_in`: [d_out, d_in], as they are stored
template <class T>
void Backward<T>::add_weights(const Projection& p, const T* dw, bool out_in) {
    for (const WeightPiece& piece : p.weight) {
        const Index stride = plan_.tensors[piece.tensor].shape.back(), all = piece.outputs * p.d_in;
        const bool is_whole = out_in && all == *element_count(plan_.tensors[piece.tensor].shape);
        const GivenAtFirst at_first =
            is_whole ? given_at_first(piece.tensor) : GivenAtFirst{of_given(piece.tensor), true};
        T* const to = at_first.numbers.data() + piece.base;
        if (out_in) {
            forward_.pool().run(blocking::parts(piece.outputs, side), [&](Index job, int) {
                for (Index o = job * side; o < std::min((job + 1) * side, piece.outputs); ++o) {
                    const T* const from = dw + (piece.target_begin + o) * p.d_in;
                    T* const row = to + (piece.source_begin + o) * stride;
                    if (at_first.adds)
                        for (Index i = 0; i < p.d_in; ++i) row[i] += from[i];
                    else
                        std::copy_n(from, p.d_in, row);
                }
            });
            continue;
        }
        forward_.pool().run(blocking::parts(p.d_in, side), [&](Index job, int) {
            const Index i0 = job * side, i1 = std::min(i0 + side, p.d_in);
            for (Index o0 = 0; o0 < piece.outputs; o0 += side)
                for (Index i = i0; i < i1; ++i)
                    for (Index o = o0; o < std::min(o0 + side, piece.outputs); ++o) {
                        const Index out = piece.source_begin + o;
                        to[piece.out_in ? out * stride + i : i * stride + out] +=
                            dw[i * p.d_out + piece.target_begin + o];
                    }
        });
    }
}

template void Backward<float>::through_projection(WeightRole role, const float* x, Index rows,
                                                  const float* dy, To dx);
template void Backward<double>::through_projection(WeightRole role, const double* x, Index rows,
                                                   const double* dy, To dx);

}  // namespace attn::gradient
