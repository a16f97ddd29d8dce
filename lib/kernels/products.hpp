#pragma once
#include <utility>  // integer_sequence alone

#include "lib/kernels/vectors.hpp"

/// The loops over the registers of a tile are unrolled early, or the registers go to memory at their ends.
#if defined(__clang__)
#define ATTN_UNROLL _Pragma("unroll")
#define ATTN_NO_UNROLL _Pragma("nounroll")
#else
#define ATTN_UNROLL _Pragma("GCC unroll 16")
#define ATTN_NO_UNROLL _Pragma("GCC unroll 1")
#endif

namespace attn::kernels {

/// Products of matrices: small and odd ones as they stand, large ones from packed panels.
template <class T, class Arch>
struct Products : Vectors<T, Arch> {
    using Base = Vectors<T, Arch>;
    using Batch = typename Base::Batch;
    using Base::has_32_registers, Base::least, Base::load, Base::most, Base::multiplies_exactly, Base::sum_of,
        Base::tile_rows, Base::tile_vectors, Base::vectors_of, Base::width;
    static constexpr Index dot_chunk = 512, sum_chunk = 128;
    /// Products that are added in one chain of a packed or streamed product. Where n random terms are added
    /// in chains of k, and these in chains of m, the roundings' variance grows with k + m + n / (k m). The
    /// largest scores come from terms of one sign: their last additions cost most, so their chains are short.
    static constexpr int chain = 8, long_chain = multiplies_exactly ? 16 : 8;
    static constexpr Index products_of_group = 32, groups = 4;

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
            turn(b + first * ldb, ldb, real, depth, packed, columns);
            for (Index k = 0; k < depth && real < columns; ++k)
                for (Index j = real; j < columns; ++j) packed[k * columns + j] = T{0};
            packed += columns * depth;
        }
    }

    // --- rows become columns

    using Vector [[gnu::vector_size(sizeof(Batch)), gnu::aligned(sizeof(T)), gnu::may_alias]] = T;

    /// Where a vector of a row, or of the row `step` below it, takes its numbers from when blocks of step x
    /// step numbers of both change places.
    static constexpr int upper(int lane, int step) {
        return (lane & step) == 0 ? lane : lane - step + static_cast<int>(width);
    }
    static constexpr int lower(int lane, int step) {
        return (lane & step) == 0 ? lane + step : lane + static_cast<int>(width);
    }
    /// (No function takes or returns such a vector: how depends on the instruction set.)
    template <int step, int... lanes>
    static void turn_blocks(Vector (&rows)[sizeof...(lanes)], std::integer_sequence<int, lanes...> all) {
        ATTN_UNROLL
        for (int i = 0; i < static_cast<int>(width); ++i) {
            if ((i & step) != 0) continue;
            const Vector a = rows[i], b = rows[i + step];
            rows[i] = __builtin_shufflevector(a, b, upper(lanes, step)...);
            rows[i + step] = __builtin_shufflevector(a, b, lower(lanes, step)...);
        }
        if constexpr (2 * step < width) turn_blocks<2 * step>(rows, all);
    }

    /// A square of width x width numbers.
    static void turn_square(const T* from, Index from_stride, T* to, Index to_stride) {
        Vector rows[width];
        ATTN_UNROLL
        for (int i = 0; i < static_cast<int>(width); ++i)
            rows[i] = *reinterpret_cast<const Vector*>(from + i * from_stride);
        turn_blocks<1>(rows, std::make_integer_sequence<int, static_cast<int>(width)>{});
        ATTN_UNROLL
        for (int i = 0; i < static_cast<int>(width); ++i)
            *reinterpret_cast<Vector*>(to + i * to_stride) = rows[i];
    }

    static void turn(const T* from, Index from_stride, Index rows, Index columns, T* to, Index to_stride) {
        Index i = 0;
        for (; i + width <= rows; i += width) {
            const T* const x = from + i * from_stride;
            Index c = 0;
            for (; c + width <= columns; c += width)
                turn_square(x + c, from_stride, to + c * to_stride + i, to_stride);
            for (; c < columns; ++c)
                for (Index r = 0; r < width; ++r) to[c * to_stride + i + r] = x[r * from_stride + c];
        }
        for (; i < rows; ++i)
            for (Index c = 0; c < columns; ++c) to[c * to_stride + i] = from[i * from_stride + c];
    }

    /// What becomes of a tile: it is c, or is added to it (and what that loses to a rest, where there is
    /// one).
    enum class To { c, more };

    /// R rows by V vectors, of which `columns` numbers are stored; rows of b are S vectors apart, or `apart`
    /// numbers where S is 0: the parts of panels share one piece of code. `rest` is c where there is none. A
    /// chain of products is summed in registers and then in memory, where sums wait without taking registers;
    /// it starts with a product alone, so it does not wait for the chain before.
    template <int R, int V, int S, To to>
    static void tile_of(const T* a, Index lda, const T* b, Index apart, T* c, T* rest, Index ldc, Index depth,
                        Index columns) {
        if constexpr (S > 0) apart = S * width;
        const bool exactly = rest != c;
        constexpr Index size = R * V * width;
        constexpr int length = to == To::c ? chain : long_chain;  // scores are c, but of the widest heads
        constexpr Index chains_of_group = products_of_group / length;
        T memory[groups * size];
        T* sums = memory;
        // Compilers would put the sums into registers all the same, and those of a chain into memory.
        asm("" : "+r"(sums) : : "memory");
        if (depth == 0)
            for (Index k = 0; k < size; ++k) sums[k] = T{0};
        const Index chains = (depth + length - 1) / length, whole = depth / length;
        for (Index i = 0; i < chains; ++i, a += length, b += length * apart) {
            Batch sum[R][V];
            if (i < whole)
                chain_of<R, V, V == S, length>(a, lda, b, apart, sum);
            else
                short_chain_of<R, V>(a, lda, b, apart, depth % length, sum);
            const Index g = least(i / chains_of_group, groups - 1);
            keep<R, V>(sum, sums + g * size, i == g * chains_of_group);
        }
        const Index count = least((chains + chains_of_group - 1) / chains_of_group, groups);
        if (columns == V * width) {
            for (int r = 0; r < R; ++r) ATTN_UNROLL
            for (int v = 0; v < V; ++v)
                put<to>(
                    sum_of_groups(load(sums + (r * V + v) * width), sums + (r * V + v) * width, size, count),
                    c + r * ldc + v * width, rest + r * ldc + v * width, exactly);
            return;
        }
        for (int r = 0; r < R; ++r)
            for (Index j = 0; j < columns; ++j)
                put<to>(sum_of_groups(sums[r * V * width + j], sums + r * V * width + j, size, count),
                        c + r * ldc + j, rest + r * ldc + j, exactly);
    }

    template <class X>
    static X sum_of_groups(X x, const T* from, Index size, Index count) {
        for (Index g = 1; g < count; ++g) x = x + value_of(x, from + g * size);
        return x;
    }

    /// The sums of the next `length` products. Unrolled where nearly all of the work is: in whole tiles;
    /// every tile unrolled is a megabyte of code.
    template <int R, int V, bool whole, int length>
    static void chain_of(const T* a, Index lda, const T* b, Index apart, Batch (&sum)[R][V]) {
        if constexpr (multiplies_exactly && R == tile_rows && whole) {
            multiply_add<R, V, true>(a, lda, b, sum);
            ATTN_UNROLL
            for (int k = 1; k < length; ++k) multiply_add<R, V, false>(a + k, lda, b + k * apart, sum);
        } else {  // unrolled unfused steps GCC would put into another order, with too few registers
            short_chain_of<R, V>(a, lda, b, apart, length, sum);
        }
    }
    template <int R, int V>
    static void short_chain_of(const T* a, Index lda, const T* b, Index apart, Index depth,
                               Batch (&sum)[R][V]) {
        multiply_add<R, V, true>(a, lda, b, sum);
        ATTN_NO_UNROLL
        for (Index k = 1; k < depth; ++k) multiply_add<R, V, false>(a + k, lda, b + k * apart, sum);
    }

    template <int R, int V>
    static void keep(const Batch (&sum)[R][V], T* sums, bool is_first) {
        if (is_first) {
            ATTN_UNROLL
            for (int r = 0; r < R; ++r) ATTN_UNROLL
            for (int v = 0; v < V; ++v) sum[r][v].store_unaligned(sums + (r * V + v) * width);
        } else {
            ATTN_UNROLL
            for (int r = 0; r < R; ++r) ATTN_UNROLL
            for (int v = 0; v < V; ++v)
                (load(sums + (r * V + v) * width) + sum[r][v]).store_unaligned(sums + (r * V + v) * width);
        }
    }

    static Batch value_of(const Batch&, const T* p) { return load(p); }
    static T value_of(T, const T* p) { return *p; }
    static void store(const Batch& x, T* p) { x.store_unaligned(p); }
    static void store(T x, T* p) { *p = x; }

    /// A vector of a tile, or one number.
    template <To to, class X>
    static void put(const X& x, T* c, T* rest, bool exactly) {
        if constexpr (to == To::c) {
            store(x, c);
        } else {
            const X old = value_of(x, c), sum = old + x;
            store(sum, c);
            if (exactly) {
                const X lost = x - (sum - old);
                store(value_of(x, rest) + lost, rest);
            }
        }
    }

    /// One step of the depth; the first one sets the sums.
    template <int R, int V, bool first>
    static void multiply_add(const T* a, Index lda, const T* b, Batch (&s)[R][V]) {
        Batch y[V];
        ATTN_UNROLL
        for (int v = 0; v < V; ++v) y[v] = load(b + v * width);
        ATTN_UNROLL
        for (int r = 0; r < R; ++r) {
            const Batch x(a[r * lda]);
            ATTN_UNROLL
            for (int v = 0; v < V; ++v) s[r][v] = first ? x * y[v] : fused(x, y[v], s[r][v]);
        }
    }

    template <int V, int S, To to>
    static void rows_of(const T* a, Index lda, const T* b, Index apart, T* c, T* rest, Index ldc, Index m,
                        Index depth, Index columns) {
        Index i = 0;
        for (; i + tile_rows <= m; i += tile_rows)
            tile_of<tile_rows, V, S, to>(a + i * lda, lda, b, apart, c + i * ldc, rest + i * ldc, ldc, depth,
                                         columns);
        a += i * lda;
        c += i * ldc;
        rest += i * ldc;
        if (m - i == 5) {  // a tile of its own would be a tenth of all code, for the end of one length in six
            if constexpr (tile_rows > 5) {
                tile_of<4, V, S, to>(a, lda, b, apart, c, rest, ldc, depth, columns);
                tile_of<1, V, S, to>(a + 4 * lda, lda, b, apart, c + 4 * ldc, rest + 4 * ldc, ldc, depth,
                                     columns);
            }
            return;
        }
        switch (m - i) {
            case 4:
                if constexpr (tile_rows > 4)
                    tile_of<4, V, S, to>(a, lda, b, apart, c, rest, ldc, depth, columns);
                return;
            case 3:
                if constexpr (tile_rows > 3)
                    tile_of<3, V, S, to>(a, lda, b, apart, c, rest, ldc, depth, columns);
                return;
            case 2:
                return tile_of<2, V, S, to>(a, lda, b, apart, c, rest, ldc, depth, columns);
            case 1:
                return tile_of<1, V, S, to>(a, lda, b, apart, c, rest, ldc, depth, columns);
            default:
                return;
        }
    }

    template <To to>
    static void product_of(const T* a, Index lda, const T* packed, T* c, T* rest, Index ldc, Index m,
                           const Part& part) {
        const Panels panels(part.columns);
        for (Index p = 0; p < panels.count; ++p) {
            const Index first = panels.begin(p) * width, step = panels.size(p) * width;
            const Index begin = most(first, part.column_begin), end = least(first + step, part.column_end);
            if (begin >= end) continue;
            const Index at = begin - part.column_begin, depth = part.depth_end - part.depth_begin;
            const T* const b = packed + first * part.depth + part.depth_begin * step + (begin - first);
            panel_of<tile_vectors, to>(step / width, a, lda, b, c + at, rest + at, ldc, m, depth,
                                       end - begin);
        }
    }

    /// A panel of `step` vectors, at most S, of whose columns the first `columns` are wanted.
    template <int S, To to>
    static void panel_of(Index step, const T* a, Index lda, const T* b, T* c, T* rest, Index ldc, Index m,
                         Index depth, Index columns) {
        if constexpr (S > 1) {
            if (step < S) return panel_of<S - 1, to>(step, a, lda, b, c, rest, ldc, m, depth, columns);
        }
        columns_of<S, S, to>(a, lda, b, c, rest, ldc, m, depth, columns);
    }
    template <int V, int S, To to>
    static void columns_of(const T* a, Index lda, const T* b, T* c, T* rest, Index ldc, Index m, Index depth,
                           Index columns) {
        if constexpr (V > 1) {
            if (columns <= (V - 1) * width)
                return columns_of<V - 1, S, to>(a, lda, b, c, rest, ldc, m, depth, columns);
        }
        rows_of<V, V == S ? S : 0, to>(a, lda, b, S * width, c, rest, ldc, m, depth, columns);
    }

    static void multiply_packed(const T* a, Index lda, const T* packed, T* c, Index ldc, Index m,
                                const Part& part, bool add) {
        if (add)
            product_of<To::more>(a, lda, packed, c, c, ldc, m, part);
        else
            product_of<To::c>(a, lda, packed, c, c, ldc, m, part);
    }

    static void add_packed(const T* a, Index lda, const T* packed, T* c, T* rest, Index ldc, Index m,
                           const Part& part) {
        product_of<To::more>(a, lda, packed, c, rest, ldc, m, part);
    }
};

}  // namespace attn::kernels
