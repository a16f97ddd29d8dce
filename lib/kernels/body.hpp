#pragma once
// The only SIMD code: everything is a template on the instruction set.
#include <cstddef>
#include <xsimd/xsimd.hpp>

#include "lib/kernels/kernels.hpp"

namespace attn::kernels {

template <class T, class Arch>
struct Body {
    using Batch = xsimd::batch<T, Arch>;
    static constexpr Index width = static_cast<Index>(Batch::size);
    static constexpr Index dot_chunk = 512, sum_chunk = 128, tile = 4;

    /// xsimd calls this hadd or reduce_add, depending on its version.
    static T sum_of(const Batch& x) {
        T lanes[Batch::size];
        x.store_unaligned(lanes);
        T sum{0};
        for (const T lane : lanes) sum += lane;
        return sum;
    }

    static T dot_of_chunk(const T* a, const T* b, Index n) {
        Batch s0(T{0}), s1(T{0}), s2(T{0}), s3(T{0});
        Index k = 0;
        for (; k + 4 * width <= n; k += 4 * width) {
            s0 = xsimd::fma(Batch::load_unaligned(a + k), Batch::load_unaligned(b + k), s0);
            s1 = xsimd::fma(Batch::load_unaligned(a + k + width), Batch::load_unaligned(b + k + width), s1);
            s2 = xsimd::fma(Batch::load_unaligned(a + k + 2 * width),
                            Batch::load_unaligned(b + k + 2 * width), s2);
            s3 = xsimd::fma(Batch::load_unaligned(a + k + 3 * width),
                            Batch::load_unaligned(b + k + 3 * width), s3);
        }
        for (; k + width <= n; k += width)
            s0 = xsimd::fma(Batch::load_unaligned(a + k), Batch::load_unaligned(b + k), s0);
        T rest{0};
        for (; k < n; ++k) rest += a[k] * b[k];
        return sum_of((s0 + s1) + (s2 + s3)) + rest;
    }

    static void dot_rows(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                         Index depth) {
        for (Index i = 0; i < m; ++i) {
            for (Index j = 0; j < n; ++j) {
                const T *x = a + i * lda, *y = b + j * ldb;
                if (depth <= dot_chunk) {
                    c[i * ldc + j] = dot_of_chunk(x, y, depth);
                    continue;
                }
                double sum = 0;
                for (Index k = 0; k < depth; k += dot_chunk)
                    sum += static_cast<double>(
                        dot_of_chunk(x + k, y + k, depth - k < dot_chunk ? depth - k : dot_chunk));
                c[i * ldc + j] = static_cast<T>(sum);
            }
        }
    }

    /// `tile` vectors of one row of c.
    static void multiply_tile(const T* a, const T* b, Index ldb, T* c, Index depth) {
        double sums[tile * width] = {};
        T part[tile * width];
        for (Index from = 0; from < depth; from += sum_chunk) {
            const Index to = depth - from < sum_chunk ? depth : from + sum_chunk;
            Batch s0(T{0}), s1(T{0}), s2(T{0}), s3(T{0});
            for (Index k = from; k < to; ++k) {
                const Batch x(a[k]);
                const T* y = b + k * ldb;
                s0 = xsimd::fma(x, Batch::load_unaligned(y), s0);
                s1 = xsimd::fma(x, Batch::load_unaligned(y + width), s1);
                s2 = xsimd::fma(x, Batch::load_unaligned(y + 2 * width), s2);
                s3 = xsimd::fma(x, Batch::load_unaligned(y + 3 * width), s3);
            }
            T* out = depth <= sum_chunk ? c : part;
            s0.store_unaligned(out);
            s1.store_unaligned(out + width);
            s2.store_unaligned(out + 2 * width);
            s3.store_unaligned(out + 3 * width);
            if (depth <= sum_chunk) return;
            for (Index j = 0; j < tile * width; ++j) sums[j] += static_cast<double>(part[j]);
        }
        for (Index j = 0; j < tile * width; ++j) c[j] = static_cast<T>(sums[j]);
    }

    static T multiply_cell(const T* a, const T* b, Index ldb, Index depth) {
        double sum = 0;
        for (Index from = 0; from < depth; from += sum_chunk) {
            const Index to = depth - from < sum_chunk ? depth : from + sum_chunk;
            T part{0};
            for (Index k = from; k < to; ++k) part += a[k] * b[k * ldb];
            if (depth <= sum_chunk) return part;
            sum += static_cast<double>(part);
        }
        return static_cast<T>(sum);
    }

    static void multiply(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                         Index depth) {
        for (Index i = 0; i < m; ++i) {
            Index j = 0;
            for (; j + tile * width <= n; j += tile * width)
                multiply_tile(a + i * lda, b + j, ldb, c + i * ldc + j, depth);
            for (; j < n; ++j) c[i * ldc + j] = multiply_cell(a + i * lda, b + j, ldb, depth);
        }
    }

    static constexpr Table<T> make(const char* name) { return {name, &dot_rows, &multiply}; }
};

}  // namespace attn::kernels
