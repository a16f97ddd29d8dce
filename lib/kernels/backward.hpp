#pragma once
#include "lib/kernels/products.hpp"

namespace attn::kernels {

/// Rows of weights backwards.
template <class T, class Arch>
struct BackwardKernels : Products<T, Arch> {
    using Base = Products<T, Arch>;
    using Batch = typename Base::Batch;
    using Base::load, Base::width;
    using typename Base::Panels;

    /// (Compilers vectorise the conversions; xsimd has none.)
    static double dot_exactly(const T* a, const T* b, Index n) {
        constexpr Index lanes = 16;
        double sums[lanes] = {};
        Index k = 0;
        for (; k + lanes <= n; k += lanes)
            for (Index j = 0; j < lanes; ++j)
                sums[j] += static_cast<double>(a[k + j]) * static_cast<double>(b[k + j]);
        double sum = 0;
        for (; k < n; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
        for (const double s : sums) sum += s;
        return sum;
    }

    static void send_back(const T* powers, T* d, Index stride, Index m, Index n, const SentBack<T>* rows,
                          T* packed_weights, T* packed_d) {
        const Panels panels(n);
        for (Index p = 0; p < panels.count; ++p) {
            const Index first = panels.begin(p) * width, columns = panels.size(p) * width;
            T *weights = packed_weights + first * m, *back = packed_d + first * m;
            for (Index i = 0; i < m; ++i, weights += columns, back += columns) {
                const T* e = powers + i * stride + first;
                const Batch share(rows[i].share), share_rest(rows[i].share_rest);
                if (!d) {
                    for (Index j = 0; j < columns; j += width)
                        fused(load(e + j), share, load(e + j) * share_rest).store_unaligned(weights + j);
                    continue;
                }
                T* x = d + i * stride + first;
                const Batch shared(rows[i].shared), shared_rest(rows[i].shared_rest);
                for (Index j = 0; j < columns; j += width) {
                    const Batch power = load(e + j), weight = fused(power, share, power * share_rest);
                    const Batch sent = weight * ((load(x + j) - shared) - shared_rest);
                    weight.store_unaligned(weights + j);
                    sent.store_unaligned(x + j);
                    sent.store_unaligned(back + j);
                }
            }
        }
    }
};

}  // namespace attn::kernels
