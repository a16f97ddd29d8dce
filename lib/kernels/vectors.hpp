#pragma once
// The only SIMD code is in this file and those that include it: everything is a template on the instruction
// set. It includes nothing of std that has functions: a unit that is built with wider flags must not leave a
// copy of an ordinary template for everyone to run.
#include <xsimd/xsimd.hpp>

#include "lib/kernels/kernels.hpp"

namespace attn::kernels {

/// Constants of e^x and 2^x in a type.
template <class T>
struct Exp;

template <>
struct Exp<float> {
    using Bits = std::int32_t;
    static constexpr float magic =
        12582912.0F;  ///< 1.5 * 2^23: adding it rounds to an integer, left in the low bits
    static constexpr float biased = magic + 127;  ///< leaves n + 127, an exponent's bits
    static constexpr int mantissa = 23;
    static constexpr float log2e = 1.44269504F, ln2_high = 0.693145752F, ln2_low = 1.42860677e-6F;
    static constexpr float lowest = -104.5F;  ///< e^x rounds to 0 below
    static constexpr float lowest_log2 = -127.0F;
    static constexpr float exact = 1 << 17;  ///< products up to here leave 6 bits for the part below 1
    static constexpr int degree = 7, degree2 = 6;
    /// Taylor's: the rest is below 6e-9 for |x| <= ln(2) / 2.
    static constexpr float e[degree + 1] = {1,         1,          0.5F,       1.0F / 6,
                                            1.0F / 24, 1.0F / 120, 1.0F / 720, 1.0F / 5040};
    /// 2^x on [-1/2, 1/2], interpolated at Chebyshev's points: relative error 1.8e-8 with these coefficients.
    static constexpr float two[degree2 + 1] = {
        1, 0.6931472F, 0.2402265F, 0.05550327F, 0.009618025F, 0.0013400433F, 0.00015469732F};
    /// (tanh(x) - x) / x³ in powers of x², Taylor's: the rest is below the last place for |x| < tanh_near.
    static constexpr int tanh_degree = 4;
    static constexpr float tanh_near = 0.25F;
    static constexpr float tanh[tanh_degree + 1] = {-0.333333333F, 0.133333333F, -0.053968254F, 0.0218694885F,
                                                    -0.00886323553F};
};

template <>
struct Exp<double> {
    using Bits = std::int64_t;
    static constexpr double magic = 6755399441055744.0;  ///< 1.5 * 2^52
    static constexpr double biased = magic + 1023;
    static constexpr int mantissa = 52;
    static constexpr double log2e = 1.4426950408889634, ln2_high = 0.69314718036912381649,
                            ln2_low = 1.90821492927058770002e-10;
    static constexpr double lowest = -746.0;
    static constexpr double lowest_log2 = -1023.0;
    static constexpr double exact = 1LL << 46;
    static constexpr int degree = 13, degree2 = 13;
    static constexpr double e[degree + 1] = {1,
                                             1,
                                             1.0 / 2,
                                             1.0 / 6,
                                             1.0 / 24,
                                             1.0 / 120,
                                             1.0 / 720,
                                             1.0 / 5040,
                                             1.0 / 40320,
                                             1.0 / 362880,
                                             1.0 / 3628800,
                                             1.0 / 39916800,
                                             1.0 / 479001600,
                                             1.0 / 6227020800.0};
    /// ln(2)^k / k!
    static constexpr double two[degree2 + 1] = {1,
                                                0.69314718055994530942,
                                                0.24022650695910071233,
                                                0.055504108664821579953,
                                                0.0096181291076284771619,
                                                0.0013333558146428443423,
                                                0.00015403530393381609954,
                                                1.5252733804059840280e-5,
                                                1.3215486790144309488e-6,
                                                1.0178086009239699728e-7,
                                                7.0549116208011233299e-9,
                                                4.4455382718708116030e-10,
                                                2.5678435993488205141e-11,
                                                1.3691488853904124400e-12};
    static constexpr int tanh_degree = 9;
    static constexpr double tanh_near = 0.25;
    static constexpr double tanh[tanh_degree + 1] = {
        -0.33333333333333331,    0.13333333333333333,   -0.053968253968253971,  0.021869488536155203,
        -0.0088632355299021973,  0.0035921280365724811, -0.0014558343870513183, 0.00059002744094558595,
        -0.00023912911424355248, 9.6915379569294509e-05};
};

/// a * b + c, rounded once where the instruction set can.
template <class T, class Arch>
xsimd::batch<T, Arch> fused(const xsimd::batch<T, Arch>& a, const xsimd::batch<T, Arch>& b,
                            const xsimd::batch<T, Arch>& c) {
    return xsimd::fma(a, b, c);
}
#if XSIMD_WITH_AVX512F
// xsimd 8 multiplies and adds here.
inline xsimd::batch<float, xsimd::avx512f> fused(const xsimd::batch<float, xsimd::avx512f>& a,
                                                 const xsimd::batch<float, xsimd::avx512f>& b,
                                                 const xsimd::batch<float, xsimd::avx512f>& c) {
    return _mm512_fmadd_ps(a, b, c);
}
inline xsimd::batch<double, xsimd::avx512f> fused(const xsimd::batch<double, xsimd::avx512f>& a,
                                                  const xsimd::batch<double, xsimd::avx512f>& b,
                                                  const xsimd::batch<double, xsimd::avx512f>& c) {
    return _mm512_fmadd_pd(a, b, c);
}
#endif

/// Lane i of the result is the sum of the lanes of x[i].
template <class T, class Arch>
xsimd::batch<T, Arch> lane_sums(const xsimd::batch<T, Arch>* x) {
    return xsimd::haddp(x);
}
#if XSIMD_WITH_AVX512F
// xsimd 8 uses instructions of AVX-512 DQ here.
inline xsimd::batch<float, xsimd::avx512f> lane_sums(const xsimd::batch<float, xsimd::avx512f>* x) {
    __m512 pairs[8], fours[4];
    for (int i = 0; i < 8; ++i)
        pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]),
                                 _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
    for (int i = 0; i < 4; ++i) {
        const __m512d a = _mm512_castps_pd(pairs[2 * i]), b = _mm512_castps_pd(pairs[2 * i + 1]);
        fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                                 _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    const auto halves = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    };
    return halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]));
}
inline xsimd::batch<double, xsimd::avx512f> lane_sums(const xsimd::batch<double, xsimd::avx512f>* x) {
    __m512d pairs[4];
    for (int i = 0; i < 4; ++i)
        pairs[i] = _mm512_add_pd(_mm512_unpacklo_pd(x[2 * i], x[2 * i + 1]),
                                 _mm512_unpackhi_pd(x[2 * i], x[2 * i + 1]));
    const auto halves = [](__m512d a, __m512d b) {
        return _mm512_add_pd(_mm512_shuffle_f64x2(a, b, 0x88), _mm512_shuffle_f64x2(a, b, 0xdd));
    };
    return halves(halves(pairs[0], pairs[1]), halves(pairs[2], pairs[3]));
}
#endif

/// A table in a register of 2^(k / 2^bits), for powers of 2 from a polynomial of degree 3; no bits: none.
template <class Batch>
struct PowerTable {
    static constexpr int bits = 0;
};
#if XSIMD_WITH_AVX512F || XSIMD_WITH_AVX2
// Each entry is less the bits of k that the number of steps carries into the exponent with it, so that adding
// that number, shifted, scales the entry. (2^x - 1) / x is the polynomial, of least greatest error: below
// 1.7e-9 of 2^x with 16 entries, 2.6e-8 with 8.
template <>
struct PowerTable<xsimd::batch<float, xsimd::default_arch>> {
    using Batch = xsimd::batch<float, xsimd::default_arch>;
#if XSIMD_WITH_AVX512F
    static constexpr int bits = 4;
    static constexpr float near[3] = {0.693147182F, 0.240234286F, 0.05550595F};

    /// 2^(n / 16) of the whole number n in the low bits of `steps`.
    static Batch power(const Batch& steps) {
        const __m512i table = _mm512_setr_epi32(
            0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
            0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d);
        const __m512i n = _mm512_castps_si512(steps);
        return _mm512_castsi512_ps(
            _mm512_add_epi32(_mm512_permutexvar_epi32(n, table), _mm512_slli_epi32(n, 23 - bits)));
    }
    /// a * b + c, or 0 where x is below the limit.
    static Batch fused_from(const Batch& x, const Batch& limit, const Batch& a, const Batch& b,
                            const Batch& c) {
        return _mm512_maskz_fmadd_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), a, b, c);
    }
#else
    static constexpr int bits = 3;
    static constexpr float near[3] = {0.693147182F, 0.240257636F, 0.0555114746F};

    static Batch power(const Batch& steps) {
        const __m256i table = _mm256_setr_epi32(0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3,
                                                0x3f75672a, 0x3f7744fd, 0x3f7ac0c7);
        const __m256i n = _mm256_castps_si256(steps);
        return _mm256_castsi256_ps(
            _mm256_add_epi32(_mm256_permutevar8x32_epi32(table, n), _mm256_slli_epi32(n, 23 - bits)));
    }
    static Batch fused_from(const Batch& x, const Batch& limit, const Batch& a, const Batch& b,
                            const Batch& c) {
        return _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_NLT_UQ), _mm256_fmadd_ps(a, b, c));
    }
#endif
};
#endif

/// What every kernel of an instruction set builds on.
template <class T, class Arch>
struct Vectors {
    using Batch = xsimd::batch<T, Arch>;
    static constexpr Index width = static_cast<Index>(Batch::size);
#if defined(__aarch64__)
    static constexpr bool has_32_registers = true;
#else
    static constexpr bool has_32_registers = sizeof(T) * Batch::size == 64;
#endif
    /// fused() rounds once.
#if defined(__FMA__) || defined(__aarch64__)
    static constexpr bool multiplies_exactly = true;
#else
    static constexpr bool multiplies_exactly = false;
#endif
    /// Rows and vectors of a tile: 24 sums of 32 registers (4 more for b, 1 for a), or 12 of 16.
    static constexpr Index tile_rows = 6, tile_vectors = has_32_registers ? 4 : 2;

    static Batch load(const T* p) { return Batch::load_unaligned(p); }
    static Index least(Index a, Index b) { return a < b ? a : b; }
    static Index most(Index a, Index b) { return a > b ? a : b; }
    static Index vectors_of(Index n) { return (n + width - 1) / width; }

    /// xsimd calls this hadd or reduce_add, depending on its version.
    static T sum_of(const Batch& x) {
        T lanes[Batch::size];
        x.store_unaligned(lanes);
        T sum{0};
        for (const T lane : lanes) sum += lane;
        return sum;
    }

    /// out[i] = sum of the lanes of x[i], for `width` vectors.
    static void sums_of(const Batch* x, T* out) { lane_sums(x).store_unaligned(out); }
};

}  // namespace attn::kernels
