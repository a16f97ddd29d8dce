#pragma once
#include "lib/kernels/products.hpp"

namespace attn::kernels {

/// Products of few rows with many keys: b is read once, from memory.
template <class T, class Arch>
struct Streams : Products<T, Arch> {
    using Base = Products<T, Arch>;
    using Batch = typename Base::Batch;
    using Base::chain, Base::has_32_registers, Base::least, Base::load, Base::multiply_cell, Base::sums_of,
        Base::width;
    /// How far ahead of a stream from memory is fetched.
    static constexpr Index ahead = 8192 / static_cast<Index>(sizeof(T));

    /// R rows of a by width / R rows of b at a time.
    template <int R>
    static void dot_group(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index n,
                          Index depth) {
        constexpr int at_once = static_cast<int>(Batch::size) / R;
        const Index whole = depth / width * width;
        for (Index j = 0; j < n; j += at_once) {
            const T* y[at_once];
            for (int q = 0; q < at_once; ++q) y[q] = b + least(j + q, n - 1) * ldb;
            Batch s[R * at_once];
            for (Batch& x : s) x = Batch(T{0});
            // A row at a time: one stream is what memory is read fastest by.
            for (int q = 0; q < at_once; ++q)
                for (Index k = 0; k < whole; k += width) {
                    const Batch loaded = load(y[q] + k);
                    __builtin_prefetch(y[q] + k + ahead, 0, 2);
                    for (int r = 0; r < R; ++r) {
                        Batch& sum = s[r * at_once + q];
                        sum = fused(load(a + r * lda + k), loaded, sum);
                    }
                }
            T sums[Batch::size];
            sums_of(s, sums);
            if (whole == depth && j + at_once <= n) {
                for (int r = 0; r < R; ++r)
                    for (int q = 0; q < at_once; ++q) c[r * ldc + j + q] = sums[r * at_once + q];
                continue;
            }
            for (int r = 0; r < R; ++r)
                for (int q = 0; q < at_once && j + q < n; ++q) {
                    T rest{0};
                    for (Index k = whole; k < depth; ++k) rest += a[r * lda + k] * y[q][k];
                    c[r * ldc + j + q] = sums[r * at_once + q] + rest;
                }
        }
    }

    static void dot_stream(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                           Index depth) {
        Index i = 0;
        if constexpr (Batch::size >= 4)
            for (; i + 4 <= m; i += 4) dot_group<4>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, n, depth);
        for (; i + 2 <= m; i += 2) dot_group<2>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, n, depth);
        for (; i < m; ++i) dot_group<1>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, n, depth);
    }

    /// R rows by V vectors over a chain of rows of b, which are read from end to end; added to c where it
    /// `goes_on`.
    template <int R, int V>
    static void wide_of(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index depth,
                        bool goes_on) {
        Batch s[R][V];
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) s[r][v] = Batch(T{0});
        for (Index k = 0; k < depth; ++k, b += ldb) {
            Batch x[R];
            for (int r = 0; r < R; ++r) x[r] = Batch(a[r * lda + k]);
            for (int v = 0; v < V; ++v) {
                const Batch y = load(b + v * width);
                __builtin_prefetch(b + v * width + ahead, 0, 2);
                for (int r = 0; r < R; ++r) s[r][v] = fused(x[r], y, s[r][v]);
            }
        }
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) {
                T* const to = c + r * ldc + v * width;
                (goes_on ? load(to) + s[r][v] : s[r][v]).store_unaligned(to);
            }
    }

    template <int V>
    static void wide_rows(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index depth,
                          bool goes_on) {
        Index i = 0;
        if constexpr (has_32_registers)  // room for two rows
            for (; i + 2 <= m; i += 2)
                wide_of<2, V>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, depth, goes_on);
        for (; i < m; ++i) wide_of<1, V>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, depth, goes_on);
    }

    static void multiply_stream(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m,
                                Index n, Index depth) {
        const Index whole = n / width * width;
        for (Index k = 0; k < depth; k += chain) {  // rows of b that stay in the first cache for all of a
            const Index rows = least(chain, depth - k);
            const T *x = a + k, *y = b + k * ldb;
            Index j = 0;
            for (; j + 8 * width <= whole; j += 8 * width)
                wide_rows<8>(x, lda, y + j, ldb, c + j, ldc, m, rows, k > 0);
            for (; j + 4 * width <= whole; j += 4 * width)
                wide_rows<4>(x, lda, y + j, ldb, c + j, ldc, m, rows, k > 0);
            for (; j < whole; j += width) wide_rows<1>(x, lda, y + j, ldb, c + j, ldc, m, rows, k > 0);
        }
        for (Index i = 0; i < m; ++i)
            for (Index j = whole; j < n; ++j) {
                T total{0};
                for (Index k = 0; k < depth; k += chain)
                    total += multiply_cell(a + i * lda + k, b + k * ldb + j, ldb, least(chain, depth - k));
                c[i * ldc + j] = total;
            }
    }
};

}  // namespace attn::kernels
