#pragma once
#include <cstdint>

namespace attn::kernels {

using Index = std::int64_t;

/// How many rows and columns the micro-kernel of an instruction set holds in registers.
struct Tile {
    Index lanes;    ///< numbers of a vector
    Index rows;     ///< rows of a tile
    Index vectors;  ///< vectors of a tile's rows
};

/// A part of a packed matrix [depth, columns]: all of it, unless said otherwise.
struct Part {
    Index columns, depth;
    Index depth_begin, depth_end;
    Index column_begin, column_end;  ///< the first is a multiple of 16

    static Part of_depth(Index columns, Index depth, Index begin, Index end) {
        return {columns, depth, begin, end, 0, columns};
    }
};

/// State of some rows of a running softmax: see Table::weigh.
template <class T>
struct Running {
    T* max;       ///< per row, a score; -inf before anything was seen
    double* sum;  ///< per row, of 2^(score * factor - exponent): see Table::weigh
    T* context;   ///< [rows, width], not divided by the sum yet
    Index stride, width;
};

/// Where rows of scores go past the caches, at multiples of a vector; null: nowhere.
template <class T>
struct Past {
    T *scores, *scaled, *masked;
};

/// Powers that are summed in the numbers' own type, before the sum goes on in double.
constexpr Index summed_together = 256;

/// Words of the Mersenne Twister's state, and numbers that are made normal together.
constexpr Index twister_words = 624, normal_block = 16;

/// PyTorch's random numbers (float32), the same bits on every instruction set: see lib/random.
struct DrawTable {
    /// The next twister_words words of the state.
    void (*twist)(std::uint32_t* state);
    /// What the generator gives out for them.
    void (*temper)(const std::uint32_t* state, std::uint32_t* words);
    /// out = low + step · (a multiple of 2^-24 in [0, 1), of each word), rounded once
    void (*uniform)(const std::uint32_t* words, float* out, Index n, float low, float step);
    /// Blocks of 16 uniform numbers in [0, 1) become normal ones (Box and Muller 1958).
    void (*normal)(float* values, Index blocks, float mean, float deviation);
};

/// What a row's powers and the gradients of its weights are made into: see Table::send_back. Each number in
/// two parts, so that nothing is lost.
template <class T>
struct SentBack {
    T share, share_rest;    ///< of a power in the row's sum
    T shared, shared_rest;  ///< D, what all of the row's scores lose

    SentBack() = default;
    SentBack(double share_of_power, double d)
        : share(static_cast<T>(share_of_power)),
          share_rest(static_cast<T>(share_of_power - static_cast<double>(share))),
          shared(static_cast<T>(d)),
          shared_rest(static_cast<T>(d - static_cast<double>(shared))) {}
};

/// The kernels of one instruction set. Matrices are row-major with a stride (elements from row to row). Every
/// result depends on its own row and column only, never on how many rows are asked for at once.
template <class T>
struct Table {
    const char* name;
    Tile tile;

    /// c[m, n] = a[m, depth] · b[n, depth]ᵀ, nothing packed. Partial sums of 512 products are added in
    /// double.
    void (*dot_rows)(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                     Index depth);
    /// c[m, n] = a[m, depth] · b[depth, n], nothing packed. Partial sums of 128 products are added in double.
    void (*multiply)(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                     Index depth);

    /// Elements that a packed matrix [depth, n] takes: columns are filled up to whole vectors.
    Index (*packed_size)(Index n, Index depth);
    /// Packs b[depth, n] into panels of columns, depth-major.
    void (*pack_columns)(const T* b, Index ldb, Index n, Index depth, T* packed);
    /// Packs b[n, depth] so that its rows become columns.
    void (*pack_rows)(const T* b, Index ldb, Index n, Index depth, T* packed);
    /// to[columns, rows] = from[rows, columns]ᵀ
    void (*turn)(const T* from, Index from_stride, Index rows, Index columns, T* to, Index to_stride);
    /// c = or += a · B for a part of a packed B: c[m, its columns], a[m, its depth]. Chains of 8 products are
    /// summed in a second chain.
    void (*multiply_packed)(const T* a, Index lda, const T* packed, T* c, Index ldc, Index m,
                            const Part& part, bool add);
    /// c + rest = c + rest + a · B, the same: `rest` (rows as far apart as those of c) holds what c's
    /// roundings have lost, so that their error does not grow with the number of products that are added
    /// (Neumaier 1974). Where c is no longer finite its rest means nothing.
    void (*add_packed)(const T* a, Index lda, const T* packed, T* c, T* rest, Index ldc, Index m,
                       const Part& part);

    /// c[m, n] = a[m, depth] · b[n, depth]ᵀ for few rows of a: b is read once, prefetched where its rows are
    /// dense.
    void (*dot_stream)(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                       Index depth);
    /// c[m, n] = a[m, depth] · b[depth, n] for few rows of a, the same; chains of 8 products are summed in a
    /// second chain. `depth` is at least 1.
    void (*multiply_stream)(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                            Index depth);

    /// out = out + rest, where the rest is finite
    void (*add_rest)(const T* rest, T* out, Index n);
    /// out + rest = out + rest + in: `rest` holds what the sums' roundings have lost (Kahan 1965), so that
    /// their error does not grow with their number; an infinite or NaN sum has none.
    void (*add_exactly)(const T* in, T* out, T* rest, Index n);
    /// out = in * factor
    void (*scale)(const T* in, T* out, Index n, T factor);
    /// out = in, written past the caches: nobody reads it soon, and nobody before settle().
    void (*copy_past)(const T* in, T* out, Index n);
    /// What was written past the caches is there before all that is written from now on.
    void (*settle)();
    /// out = in * factor for the keys from ... to - 1, -inf for the others; in, in * factor and out go where
    /// `past` says, too. n fills vectors. Whether all of in and in * factor is finite.
    bool (*scale_past)(const T* in, T* out, Index n, T factor, Index from, Index to, const Past<T>& past);
    /// No NaN and no infinity; with `minus_infinity` -inf is no fault.
    bool (*all_finite)(const T* x, Index n, bool minus_infinity);
    /// s[m, n] = s[m, n] * decay[m] + k[m] * d[n], a column scaled and a product of rank one added; no
    /// `decay` (null) is 1.
    void (*add_outer)(T* s, Index stride, Index m, Index n, const T* decay, const T* k, const T* d);
    /// The sum of v[k] * tanh(a[k] + b[k]), within 4 units in the last place of the sum of the terms' sizes.
    T (*dot_tanh)(const T* a, const T* b, const T* v, Index n);
    /// out = in / by, rounded once
    void (*divide)(const T* in, T* out, Index n, double by);

    /// out = e^(in - max), max the row's largest; returns the sum in double. Within 2 units in the last
    /// place, subnormal results kept. NaN goes through.
    double (*exponentials)(const T* in, T* out, Index n);

    /// One step of a running softmax (Milakov and Gimelshein 2018; Dao et al. 2022, section 3.1) over
    /// scores[m, n], which become 2^(score * factor - exponent). `factor` is the scale times log2(e), above
    /// 0; the exponent is max * factor + rounding(max, factor). Where a maximum grows by more than 8 / factor
    /// the sum and the context are rescaled, otherwise the old one stays: nothing overflows, the sums are
    /// exact.
    void (*weigh)(T* scores, Index stride, Index m, Index n, double factor, const Running<T>& state);
    /// What takes max * factor to the next whole number, so that exponents are subtracted and sums rescaled
    /// without a rounding; 0 where the product is so large that weigh subtracts maxima instead, and for -inf.
    double (*rounding)(T max, double factor);

    /// Sum of a · b, in double.
    double (*dot_exactly)(const T* a, const T* b, Index n);
    /// Backwards through a softmax: weights p = power * share, d = p * (d - shared), in place; both as
    /// pack_columns makes them of [m, n] too (`d` null: weights alone). Rows are filled up to whole vectors.
    void (*send_back)(const T* powers, T* d, Index stride, Index m, Index n, const SentBack<T>* rows,
                      T* packed_weights, T* packed_d);

    DrawTable draw;
};

/// The instruction set in use: the widest that the processor has, or the one that was forced.
template <class T>
const Table<T>& table();

template <>
const Table<float>& table<float>();
template <>
const Table<double>& table<double>();

}  // namespace attn::kernels
