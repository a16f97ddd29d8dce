#pragma once
#include "lib/kernels/vectors.hpp"

/// The loops over the registers of a tile are unrolled early, or the registers go to memory at their ends.
#if defined(__clang__)
#define ATTN_UNROLL _Pragma("unroll")
#else
#define ATTN_UNROLL _Pragma("GCC unroll 8")
#endif

namespace attn::kernels {

/// Products of matrices: small and odd ones as they stand, large ones from packed panels, few rows on a long
/// stream.
template <class T, class Arch>
struct Products : Vectors<T, Arch> {
    using Base = Vectors<T, Arch>;
    using Batch = typename Base::Batch;
    using Base::has_32_registers, Base::least, Base::load, Base::most, Base::sum_of, Base::sums_of,
        Base::tile_rows, Base::tile_vectors, Base::vectors_of, Base::width;
    static constexpr Index dot_chunk = 512, sum_chunk = 128;
    /// How far ahead of a stream from memory is fetched.
    static constexpr Index ahead = 8192 / static_cast<Index>(sizeof(T));

    // --- nothing packed

    static T dot_of_chunk(const T* a, const T* b, Index n) {
        Batch s0(T{0}), s1(T{0}), s2(T{0}), s3(T{0});
        Index k = 0;
        for (; k + 4 * width <= n; k += 4 * width) {
            s0 = fused(load(a + k), load(b + k), s0);
            s1 = fused(load(a + k + width), load(b + k + width), s1);
            s2 = fused(load(a + k + 2 * width), load(b + k + 2 * width), s2);
            s3 = fused(load(a + k + 3 * width), load(b + k + 3 * width), s3);
        }
        for (; k + width <= n; k += width) s0 = fused(load(a + k), load(b + k), s0);
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
                    sum += static_cast<double>(dot_of_chunk(x + k, y + k, least(dot_chunk, depth - k)));
                c[i * ldc + j] = static_cast<T>(sum);
            }
        }
    }

    /// Two vectors of one row of c.
    static void multiply_pair(const T* a, const T* b, Index ldb, T* c, Index depth) {
        double sums[2 * Batch::size] = {};
        T part[2 * Batch::size];
        for (Index from = 0; from < depth; from += sum_chunk) {
            const Index to = least(depth, from + sum_chunk);
            Batch s0(T{0}), s1(T{0});
            for (Index k = from; k < to; ++k) {
                const Batch x(a[k]);
                s0 = fused(x, load(b + k * ldb), s0);
                s1 = fused(x, load(b + k * ldb + width), s1);
            }
            T* out = depth <= sum_chunk ? c : part;
            s0.store_unaligned(out);
            s1.store_unaligned(out + width);
            if (depth <= sum_chunk) return;
            for (Index j = 0; j < 2 * width; ++j) sums[j] += static_cast<double>(part[j]);
        }
        for (Index j = 0; j < 2 * width; ++j) c[j] = static_cast<T>(sums[j]);
    }

    /// The bits of a column do not depend on how many stand beside it: one lane of what a vector does.
    static T multiply_cell(const T* a, const T* b, Index ldb, Index depth) {
        double sum = 0;
        for (Index from = 0; from < depth; from += sum_chunk) {
            const Index to = least(depth, from + sum_chunk);
            Batch part(T{0});
            for (Index k = from; k < to; ++k) part = fused(Batch(a[k]), Batch(b[k * ldb]), part);
            const T of_chunk = part.get(0);
            if (depth <= sum_chunk) return of_chunk;
            sum += static_cast<double>(of_chunk);
        }
        return static_cast<T>(sum);
    }

    static void multiply(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                         Index depth) {
        for (Index i = 0; i < m; ++i) {
            Index j = 0;
            for (; j + 2 * width <= n; j += 2 * width)
                multiply_pair(a + i * lda, b + j, ldb, c + i * ldc + j, depth);
            for (; j < n; ++j) c[i * ldc + j] = multiply_cell(a + i * lda, b + j, ldb, depth);
        }
    }

    // --- packed panels

    static Index packed_size(Index n, Index depth) { return vectors_of(n) * width * depth; }

    /// Panels of nearly equal width: 5 vectors are 3 + 2, not 4 + 1, since a narrow tile waits for its sums.
    struct Panels {
        Index vectors, count, base, wider;
        explicit Panels(Index n)
            : vectors(vectors_of(n)),
              count((vectors + tile_vectors - 1) / tile_vectors),
              base(count ? vectors / count : 0),
              wider(count ? vectors % count : 0) {}
        Index size(Index p) const { return base + (p < wider ? 1 : 0); }           ///< vectors
        Index begin(Index p) const { return p * base + (p < wider ? p : wider); }  ///< first vector
    };

    static void pack_columns(const T* b, Index ldb, Index n, Index depth, T* packed) {
        const Panels panels(n);
        for (Index p = 0; p < panels.count; ++p) {
            const Index first = panels.begin(p) * width, columns = panels.size(p) * width,
                        real = least(columns, n - first);
            for (Index k = 0; k < depth; ++k, packed += columns) {
                const T* from = b + k * ldb + first;
                for (Index j = 0; j < real; ++j) packed[j] = from[j];
                for (Index j = real; j < columns; ++j) packed[j] = T{0};
            }
        }
    }

    static void pack_rows(const T* b, Index ldb, Index n, Index depth, T* packed) {
        const Panels panels(n);
        for (Index p = 0; p < panels.count; ++p) {
            const Index first = panels.begin(p) * width, columns = panels.size(p) * width,
                        real = least(columns, n - first);
            const T* from = b + first * ldb;
            for (Index k = 0; k < depth; ++k)
                for (Index j = 0; j < columns; ++j)
                    packed[k * columns + j] = j < real ? from[j * ldb + k] : T{0};
            packed += columns * depth;
        }
    }

    /// R rows by V vectors, the sums in registers from the first product to the last; `columns` of them are
    /// stored. Rows of b are `step` apart. Products of even and odd depth have sums of their own: half the
    /// chain, about two thirds of its error, at the same speed.
    template <int R, int V>
    static void tile_of(const T* a, Index lda, const T* b, Index step, T* c, Index ldc, Index depth,
                        Index columns, bool add) {
        Batch even[R][V], odd[R][V];
        ATTN_UNROLL
        for (int r = 0; r < R; ++r) ATTN_UNROLL
        for (int v = 0; v < V; ++v) even[r][v] = odd[r][v] = Batch(T{0});
        const T* const a_end = a + depth / 2 * 2;
        for (; a != a_end; a += 2, b += 2 * step) {
            multiply_add<R, V>(a, lda, b, even);
            multiply_add<R, V>(a + 1, lda, b + step, odd);
        }
        if (depth % 2) multiply_add<R, V>(a, lda, b, even);
        ATTN_UNROLL
        for (int r = 0; r < R; ++r) ATTN_UNROLL
        for (int v = 0; v < V; ++v) even[r][v] = even[r][v] + odd[r][v];
        // Loops over the registers are short and unrolled, or the registers would go to memory.
        if (columns == V * width) {
            if (add) {
                ATTN_UNROLL
                for (int r = 0; r < R; ++r) ATTN_UNROLL
                for (int v = 0; v < V; ++v)
                    (load(c + r * ldc + v * width) + even[r][v]).store_unaligned(c + r * ldc + v * width);
            } else {
                ATTN_UNROLL
                for (int r = 0; r < R; ++r) ATTN_UNROLL
                for (int v = 0; v < V; ++v) even[r][v].store_unaligned(c + r * ldc + v * width);
            }
            return;
        }
        T lanes[R][V * Batch::size];
        ATTN_UNROLL
        for (int r = 0; r < R; ++r) ATTN_UNROLL
        for (int v = 0; v < V; ++v) even[r][v].store_unaligned(lanes[r] + v * width);
        ATTN_UNROLL
        for (int r = 0; r < R; ++r)
            for (Index j = 0; j < columns; ++j)
                c[r * ldc + j] = add ? c[r * ldc + j] + lanes[r][j] : lanes[r][j];
    }

    /// One step of the depth.
    template <int R, int V>
    static void multiply_add(const T* a, Index lda, const T* b, Batch (&s)[R][V]) {
        Batch y[V];
        ATTN_UNROLL
        for (int v = 0; v < V; ++v) y[v] = load(b + v * width);
        ATTN_UNROLL
        for (int r = 0; r < R; ++r) {
            const Batch x(a[r * lda]);
            ATTN_UNROLL
            for (int v = 0; v < V; ++v) s[r][v] = fused(x, y[v], s[r][v]);
        }
    }

    template <int V>
    static void rows_of(const T* a, Index lda, const T* b, Index step, T* c, Index ldc, Index m, Index depth,
                        Index columns, bool add) {
        Index i = 0;
        for (; i + tile_rows <= m; i += tile_rows)
            tile_of<tile_rows, V>(a + i * lda, lda, b, step, c + i * ldc, ldc, depth, columns, add);
        a += i * lda;
        c += i * ldc;
        switch (m - i) {
            case 5:
                if constexpr (tile_rows > 5) tile_of<5, V>(a, lda, b, step, c, ldc, depth, columns, add);
                return;
            case 4:
                if constexpr (tile_rows > 4) tile_of<4, V>(a, lda, b, step, c, ldc, depth, columns, add);
                return;
            case 3:
                if constexpr (tile_rows > 3) tile_of<3, V>(a, lda, b, step, c, ldc, depth, columns, add);
                return;
            case 2:
                return tile_of<2, V>(a, lda, b, step, c, ldc, depth, columns, add);
            case 1:
                return tile_of<1, V>(a, lda, b, step, c, ldc, depth, columns, add);
            default:
                return;
        }
    }

    /// One panel, of whose columns the first `columns` are wanted.
    static void panel_of(const T* a, Index lda, const T* b, Index step, T* c, Index ldc, Index m, Index depth,
                         Index columns, bool add) {
        if (columns > width) return rows_of<2>(a, lda, b, step, c, ldc, m, depth, columns, add);
        rows_of<1>(a, lda, b, step, c, ldc, m, depth, columns, add);
    }

    static void multiply_packed(const T* a, Index lda, const T* packed, T* c, Index ldc, Index m,
                                const Part& part, bool add) {
        const Panels panels(part.columns);
        for (Index p = 0; p < panels.count; ++p) {
            const Index first = panels.begin(p) * width, step = panels.size(p) * width;
            const Index begin = most(first, part.column_begin), end = least(first + step, part.column_end);
            if (begin >= end) continue;
            panel_of(a, lda, packed + first * part.depth + part.depth_begin * step + (begin - first), step,
                     c + (begin - part.column_begin), ldc, m, part.depth_end - part.depth_begin, end - begin,
                     add);
        }
    }

    // --- few rows, many keys: b is read once, from memory

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

    /// R rows by V vectors over some rows of b, which are read from end to end; the sums go on from c where
    /// it `goes_on`.
    template <int R, int V>
    static void wide_of(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index depth,
                        bool goes_on) {
        Batch s[R][V];
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) s[r][v] = goes_on ? load(c + r * ldc + v * width) : Batch(T{0});
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
            for (int v = 0; v < V; ++v) s[r][v].store_unaligned(c + r * ldc + v * width);
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
        constexpr Index at_once = 8;  // rows of b that stay in the first cache for all rows of a
        const Index whole = n / width * width;
        for (Index k = 0; k < depth; k += at_once) {
            const Index rows = least(at_once, depth - k);
            const T *x = a + k, *y = b + k * ldb;
            Index j = 0;
            for (; j + 8 * width <= whole; j += 8 * width)
                wide_rows<8>(x, lda, y + j, ldb, c + j, ldc, m, rows, k > 0);
            for (; j + 4 * width <= whole; j += 4 * width)
                wide_rows<4>(x, lda, y + j, ldb, c + j, ldc, m, rows, k > 0);
            for (; j < whole; j += width) wide_rows<1>(x, lda, y + j, ldb, c + j, ldc, m, rows, k > 0);
        }
        for (Index i = 0; i < m; ++i)
            for (Index j = whole; j < n; ++j) c[i * ldc + j] = multiply_cell(a + i * lda, b + j, ldb, depth);
    }
};

}  // namespace attn::kernels
