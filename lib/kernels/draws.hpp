#pragma once
#include "lib/kernels/vectors.hpp"

namespace attn::kernels {

/// PyTorch's random numbers, many at a time, with the same bits on every instruction set: a fused
/// multiply-add is one, by libm where the processor has none.
template <class Arch>
struct DrawKernels : Vectors<float, Arch> {
    using Base = Vectors<float, Arch>;
    using Batch = typename Base::Batch;
    using Base::load, Base::multiplies_exactly, Base::width;
    using BitBatch = xsimd::batch<std::int32_t, Arch>;
    using Words = xsimd::batch<std::uint32_t, Arch>;

    // --- the Mersenne Twister (Matsumoto and Nishimura 1998, MT19937)

    static constexpr Index shift = 397;
    static constexpr std::uint32_t upper = 0x80000000U, lower = 0x7fffffffU, matrix = 0x9908b0dfU;

    /// What a word and the next one give to the word that is `shift` words further on.
    template <class X>
    static X twisted(X word, X next, X one) {
        const X both = (word & X(upper)) | (next & X(lower));
        return (both >> 1) ^ ((X(0) - (both & one)) & X(matrix));
    }

    /// state[k] for k < count, from its neighbour and far[k].
    static void twist_part(std::uint32_t* state, const std::uint32_t* far, Index count) {
        constexpr Index lanes = static_cast<Index>(Words::size);
        const Index whole = count / lanes * lanes;
        for (Index k = 0; k < whole; k += lanes)
            (Words::load_unaligned(far + k) ^
             twisted(Words::load_unaligned(state + k), Words::load_unaligned(state + k + 1), Words(1)))
                .store_unaligned(state + k);
        for (Index k = whole; k < count; ++k) state[k] = far[k] ^ twisted(state[k], state[k + 1], 1U);
    }

    static void twist(std::uint32_t* state) {
        constexpr Index n = twister_words, rest = n - shift;
        twist_part(state, state + shift, rest);
        twist_part(state + rest, state, shift - 1);
        state[n - 1] = state[shift - 1] ^ twisted(state[n - 1], state[0], 1U);
    }

    /// (Compilers vectorise this loop and the next two.)
    static void temper(const std::uint32_t* state, std::uint32_t* words) {
        for (Index k = 0; k < twister_words; ++k) {
            std::uint32_t y = state[k];
            y ^= y >> 11;
            y ^= (y << 7) & 0x9d2c5680U;
            y ^= (y << 15) & 0xefc60000U;
            words[k] = y ^ (y >> 18);
        }
    }

    // --- numbers

    static float unit(std::uint32_t word) {
        return static_cast<float>(static_cast<std::int32_t>(word & 0xffffffU)) * 0x1p-24F;
    }

    static void uniform(const std::uint32_t* words, float* out, Index n, float low, float step) {
        if (low == 0 && step == 1) {
            for (Index k = 0; k < n; ++k) out[k] = unit(words[k]);
        } else {
            for (Index k = 0; k < n; ++k) out[k] = __builtin_fmaf(unit(words[k]), step, low);
        }
    }

    // The same of a vector and of a number.
    static Batch exactly(const Batch& a, const Batch& b, const Batch& c) { return fused(a, b, c); }
    static float exactly(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static Batch choose(const typename Batch::batch_bool_type& is, const Batch& a, const Batch& b) {
        return xsimd::select(is, a, b);
    }
    static float choose(bool is, float a, float b) { return is ? a : b; }
    static Batch floor(const Batch& x) { return xsimd::floor(x); }
    static float floor(float x) { return __builtin_floorf(x); }
    static Batch size(const Batch& x) { return xsimd::abs(x); }
    static float size(float x) { return __builtin_fabsf(x); }
    static Batch root(const Batch& x) { return xsimd::sqrt(x); }
    static float root(float x) { return __builtin_sqrtf(x); }
    static BitBatch bits_of(const Batch& x) { return xsimd::bitwise_cast<BitBatch>(x); }
    static std::int32_t bits_of(float x) { return __builtin_bit_cast(std::int32_t, x); }
    static Batch number_of(const BitBatch& x) { return xsimd::bitwise_cast<Batch>(x); }
    static float number_of(std::int32_t x) { return __builtin_bit_cast(float, x); }

    /// Natural logarithm of positive normal numbers by the Cephes polynomial, fused as GCC fuses
    /// native/cpu/avx_mathfun.h (log256_ps).
    template <class X>
    static X logarithm(X x) {
        constexpr float coefficients[] = {7.0376836292E-2F,  -1.1514610310E-1F, 1.1676998740E-1F,
                                          -1.2420140846E-1F, 1.4249322787E-1F,  -1.6668057665E-1F,
                                          2.0000714765E-1F,  -2.4999993993E-1F, 3.3333331174E-1F};
        using Integer = decltype(bits_of(x));
        const Integer bits = bits_of(x);
        // The bits of 2^23 + n.
        const X counted = number_of((bits >> 23) | Integer(0x4b000000));
        X exponent = counted - X(8388608.0F + 126.0F);
        const X part = number_of((bits & Integer(0x007fffff)) | Integer(0x3f000000));
        const auto is_small = part < X(0.707106781186547524F);
        exponent = exponent - choose(is_small, X(1.0F), X(0.0F));
        const X mantissa = (part - X(1.0F)) + choose(is_small, part, X(0.0F));
        const X square = mantissa * mantissa;
        X y(coefficients[0]);
        for (int k = 1; k < 9; ++k) y = exactly(y, mantissa, X(coefficients[k]));
        y = y * mantissa;
        y = exactly(y, square, exponent * X(-2.12194440e-4F));
        y = exactly(square, X(-0.5F), y);
        return exactly(exponent, X(0.693359375F), mantissa + y);
    }

    /// Sine and cosine of x in 0 ... 2 pi by the Cephes polynomials, fused as GCC fuses avx_mathfun.h
    /// (sincos256_ps).
    template <class X>
    static void sine_and_cosine(X x, X& sine, X& cosine) {
        // 0 ... 4: the nearest multiple of pi / 2.
        const X quarter = floor((floor(x * X(1.27323954473516F)) + X(1.0F)) * X(0.5F));
        const X octant = quarter + quarter;
        x = exactly(octant, X(-0.78515625F), x);
        x = exactly(octant, X(-2.4187564849853515625e-4F), x);
        x = exactly(octant, X(-3.77489497744594108e-8F), x);
        const X z = x * x;

        X c = exactly(X(2.443315711809948E-5F), z, X(-1.388731625493765E-3F));
        c = exactly(c, z, X(4.166664568298827E-2F));
        c = c * z;
        c = exactly(c, z, z * X(-0.5F)) + X(1.0F);

        X s = exactly(X(-1.9515295891E-4F), z, X(8.3321608736E-3F));
        s = exactly(s, z, X(-1.6666654611E-1F));
        s = s * z;
        s = exactly(s, x, x);

        const auto swapped = size(quarter - X(2.0F)) == X(1.0F);       // 1, 3
        const auto turned_sine = size(quarter - X(2.5F)) < X(1.0F);    // 2, 3
        const auto turned_cosine = size(quarter - X(1.5F)) < X(1.0F);  // 1, 2
        sine = choose(swapped, c, s) * choose(turned_sine, X(-1.0F), X(1.0F));
        cosine = choose(swapped, s, c) * choose(turned_cosine, X(-1.0F), X(1.0F));
    }

    /// Box and Muller's pair.
    template <class X>
    static void pair(X& first, X& second, float mean, float deviation) {
        constexpr float two_pi = 2.0F * 3.14159265358979323846F;
        const X radius = root(X(-2.0F) * logarithm(X(1.0F) - first));
        X sine, cosine;
        sine_and_cosine(X(two_pi) * second, sine, cosine);
        first = exactly(radius * cosine, X(deviation), X(mean));
        second = exactly(radius * sine, X(deviation), X(mean));
    }

    /// Numbers j and j + 8 of each block are a pair.
    static void normal(float* values, Index blocks, float mean, float deviation) {
        constexpr Index half = normal_block / 2;
        if constexpr (!multiplies_exactly) {
            for (Index b = 0; b < blocks; ++b, values += normal_block)
                for (Index j = 0; j < half; ++j) pair(values[j], values[j + half], mean, deviation);
        } else if constexpr (width <= half) {
            for (Index b = 0; b < blocks; ++b, values += normal_block)
                for (Index j = 0; j < half; j += width) {
                    Batch first = load(values + j), second = load(values + j + half);
                    pair(first, second, mean, deviation);
                    first.store_unaligned(values + j);
                    second.store_unaligned(values + j + half);
                }
        } else {
            constexpr Index together = width / half;
            for (Index b = 0; b < blocks; b += together, values += together * normal_block) {
                const Index count = Base::least(together, blocks - b);
                float firsts[Batch::size] = {}, seconds[Batch::size] = {};
                for (Index k = 0; k < count; ++k) {
                    __builtin_memcpy(firsts + k * half, values + k * normal_block, half * sizeof(float));
                    __builtin_memcpy(seconds + k * half, values + k * normal_block + half,
                                     half * sizeof(float));
                }
                Batch first = load(firsts), second = load(seconds);
                pair(first, second, mean, deviation);
                first.store_unaligned(firsts);
                second.store_unaligned(seconds);
                for (Index k = 0; k < count; ++k) {
                    __builtin_memcpy(values + k * normal_block, firsts + k * half, half * sizeof(float));
                    __builtin_memcpy(values + k * normal_block + half, seconds + k * half,
                                     half * sizeof(float));
                }
            }
        }
    }

    static constexpr DrawTable table{&twist, &temper, &uniform, &normal};
};

}  // namespace attn::kernels
