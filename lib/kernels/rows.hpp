#pragma once
#include "lib/kernels/vectors.hpp"

namespace attn::kernels {

/// What is done to rows of scores and weights, a number at a time.
template <class T, class Arch>
struct RowKernels : Vectors<T, Arch> {
    using Base = Vectors<T, Arch>;
    using Batch = typename Base::Batch;
    using Base::least, Base::load, Base::multiplies_exactly, Base::sum_of, Base::sums_of, Base::tile_rows,
        Base::tile_vectors, Base::vectors_of, Base::width;
    using Constants = Exp<T>;
    using Bits = typename Constants::Bits;
    using BitBatch = xsimd::batch<Bits, Arch>;
    using Powers = PowerTable<Batch>;
    static constexpr T infinity = static_cast<T>(__builtin_inf());

    static void scale(const T* in, T* out, Index n, T factor) {
        Index k = 0;
        for (; k + width <= n; k += width) (load(in + k) * Batch(factor)).store_unaligned(out + k);
        for (; k < n; ++k) out[k] = in[k] * factor;
    }

    /// A vector to an aligned place, past the caches where the instruction set can.
    static void store_past(const Batch& x, T* out) {
#if defined(__AVX512F__)
        if constexpr (sizeof(T) == sizeof(float))
            _mm512_stream_ps(out, x);
        else
            _mm512_stream_pd(out, x);
#elif defined(__AVX2__)
        if constexpr (sizeof(T) == sizeof(float))
            _mm256_stream_ps(out, x);
        else
            _mm256_stream_pd(out, x);
#elif defined(__SSE2__)
        if constexpr (sizeof(T) == sizeof(float))
            _mm_stream_ps(out, x);
        else
            _mm_stream_pd(out, x);
#else
        x.store_aligned(out);
#endif
    }

    static void copy_past(const T* in, T* out, Index n) {
        Index k = 0;
        for (; k < n && reinterpret_cast<std::uintptr_t>(out + k) % sizeof(Batch) != 0; ++k) out[k] = in[k];
        for (; k + width <= n; k += width) store_past(load(in + k), out + k);
        for (; k < n; ++k) out[k] = in[k];
    }

    static void settle() {
#if defined(__SSE2__)
        _mm_sfence();
#endif
    }

    /// x of the keys from k on, where they are between from and to; else -inf.
    static Batch within(const Batch& x, Index k, Index from, Index to) {
        if (k >= to || k + width <= from) return Batch(-infinity);
        T lanes[Batch::size];
        x.store_unaligned(lanes);
        for (Index j = 0; j < width; ++j)
            if (k + j < from || k + j >= to) lanes[j] = -infinity;
        return load(lanes);
    }

    static bool scale_past(const T* in, T* out, Index n, T factor, Index from, Index to,
                           const Past<T>& past) {
        const Batch by(factor);
        Batch odd(T{0});  // of x - x: 0, or NaN
        for (Index k = 0; k < n; k += width) {
            const Batch score = load(in + k), scaled = score * by;
            odd = odd + (score - score) + (scaled - scaled);
            const Batch masked = k >= from && k + width <= to ? scaled : within(scaled, k, from, to);
            masked.store_unaligned(out + k);
            if (past.scores) store_past(score, past.scores + k);
            if (past.scaled) store_past(scaled, past.scaled + k);
            if (past.masked) store_past(masked, past.masked + k);
        }
        return sum_of(odd) == T{0};
    }

    static void add_rest(const T* rest, T* out, Index n) {
        Index k = 0;
        for (; k + width <= n; k += width) {
            const Batch lost = load(rest + k);
            (load(out + k) + xsimd::select(xsimd::abs(lost) < Batch(infinity), lost, Batch(T{0})))
                .store_unaligned(out + k);
        }
        for (; k < n; ++k) out[k] += rest[k] < infinity && rest[k] > -infinity ? rest[k] : T{0};
    }

    static void add_exactly(const T* in, T* out, T* rest, Index n) {
        Index k = 0;
        for (; k + width <= n; k += width) {
            const Batch old = load(out + k), more = load(in + k) + load(rest + k), sum = old + more;
            const Batch lost = more - (sum - old);
            sum.store_unaligned(out + k);
            xsimd::select(xsimd::abs(lost) < Batch(infinity), lost, Batch(T{0})).store_unaligned(rest + k);
        }
        for (; k < n; ++k) {
            const T old = out[k], more = in[k] + rest[k];
            out[k] = old + more;
            const T lost = more - (out[k] - old);
            rest[k] = lost < infinity && lost > -infinity ? lost : T{0};
        }
    }

    static bool all_finite(const T* x, Index n, bool minus_infinity) {
        constexpr T lowest = -infinity;
        Batch sum(T{0});  // of x - x: 0, or NaN
        Index k = 0;
        for (; k + width <= n; k += width) {
            Batch y = load(x + k);
            if (minus_infinity) y = xsimd::select(y == Batch(lowest), Batch(T{0}), y);
            sum = sum + (y - y);
        }
        T rest{0};
        for (; k < n; ++k) rest += minus_infinity && x[k] == lowest ? T{0} : x[k] - x[k];
        return sum_of(sum) + rest == T{0};
    }

    static void add_outer(T* s, Index stride, Index m, Index n, const T* decay, const T* k, const T* d) {
        for (Index i = 0; i < m; ++i) {
            T* row = s + i * stride;
            const T by = decay ? decay[i] : T{1};
            const Batch factor(by), key(k[i]);
            Index j = 0;
            for (; j + width <= n; j += width)
                (load(row + j) * factor + key * load(d + j)).store_unaligned(row + j);
            for (; j < n; ++j) row[j] = row[j] * by + k[i] * d[j];
        }
    }

    /// tanh |x| = (1 - e) / (1 + e) with e = e^(-2|x|); near 0, where 1 - e cancels, x times a polynomial of
    /// x² (Taylor's series).
    static Batch hyperbolic_tangent(const Batch& x) {
        const Batch zero(T{0}), one(T{1});
        const Batch size = xsimd::max(x, zero - x), e = exponential(zero - (size + size), zero);
        const Batch far = (one - e) / (one + e), square = x * x;
        Batch p(Constants::tanh[Constants::tanh_degree]);
        for (int k = Constants::tanh_degree; k-- > 0;) p = fused(p, square, Batch(Constants::tanh[k]));
        const Batch near = fused(x * square, p, x);
        const Batch outer = xsimd::select(x < zero, zero - far, far);
        return xsimd::select(size < Batch(Constants::tanh_near), near, outer);
    }

    static T dot_tanh(const T* a, const T* b, const T* v, Index n) {
        Batch sum(T{0});
        Index k = 0;
        for (; k + width <= n; k += width)
            sum = fused(hyperbolic_tangent(load(a + k) + load(b + k)), load(v + k), sum);
        if (k < n) {
            T x[Batch::size] = {}, by[Batch::size] = {};
            for (Index j = k; j < n; ++j) {
                x[j - k] = a[j] + b[j];
                by[j - k] = v[j];
            }
            sum = fused(hyperbolic_tangent(load(x)), load(by), sum);
        }
        return sum_of(sum);
    }

    /// In double, so that a quotient is rounded once. (Compilers vectorise the conversion; xsimd has none.)
    static void divide(const T* in, T* out, Index n, double by) {
        const double inverse = 1 / by;
        if constexpr (sizeof(T) == sizeof(float)) {
            for (Index k = 0; k < n; ++k) out[k] = static_cast<T>(static_cast<double>(in[k]) * inverse);
        } else {
            for (Index k = 0; k < n; ++k) out[k] = in[k] / by;
        }
    }

    // --- exponentials

    /// 2^n of an integer n that was added to `biased`: its low bits are n + bias, all that the shift leaves.
    static Batch power_of_two(const Batch& shifted) {
        return xsimd::bitwise_cast<Batch>(xsimd::bitwise_cast<BitBatch>(shifted) << Constants::mantissa);
    }

    /// e^(x - max) for x <= max or NaN. What the difference loses by rounding is added to the reduced
    /// argument; 2^n is applied in two halves, so that subnormal results are rounded once.
    static Batch exponential(const Batch& from, const Batch& max) {
        const Batch given = from - max;
        const Batch lowest(Constants::lowest), magic(Constants::magic);
        const auto below = given < lowest;
        const Batch x = xsimd::select(below, lowest, given);  // NaN stays
        const Batch lost = xsimd::select(below, Batch(T{0}), (from - given) - max);
        const Batch n = fused(x, Batch(Constants::log2e), magic) - magic;
        Batch r = fused(n, Batch(-Constants::ln2_high), x);
        r = fused(n, Batch(-Constants::ln2_low), r) + lost;
        Batch p(Constants::e[Constants::degree]);
        for (int k = Constants::degree; k-- > 0;) p = fused(p, r, Batch(Constants::e[k]));
        const Batch biased(Constants::biased), half = fused(n, Batch(T(0.5)), biased);
        return p * power_of_two(half) * power_of_two(n - (half - biased) + biased);
    }

    /// What the powers of a row are computed with: 2^(x * (high + low) - exponent).
    struct Raise {
        Batch high, low;  ///< the factor, to twice the precision of float
        Batch from;       ///< the number that rounds a product when added to it, less the exponent
        Batch max, lift;  ///< max * (high + low) + lift is the exponent
        Batch lowest;     ///< below this x a power is 0; or below this x - max
    };

    /// At most 2^9. NaN stays. The whole part of the exponent (with a table: the whole part and some bits) is
    /// taken off before the product is rounded, so the result is as exact as the polynomial.
    static Batch exponential2(const Batch& given, const Raise& by) {
        const Batch x = Powers::bits ? given : xsimd::max(by.lowest, given);
        const Batch steps = fused(x, by.high, by.from);
        Batch r = fused(x, by.high, by.from - steps);
        if constexpr (sizeof(T) == sizeof(float)) r = fused(x, by.low, r);
        if constexpr (Powers::bits > 0) {
            const Batch power = Powers::power(steps);
            Batch p(Powers::near[2]);
            p = fused(p, r, Batch(Powers::near[1]));
            p = fused(p, r, Batch(Powers::near[0]));
            return Powers::fused_from(given, by.lowest, power, p * r, power);
        } else {
            return power2(r, steps);
        }
    }

    /// The same by the difference from the row's maximum: for products too large to be exact, or that are
    /// rounded before anything is taken off.
    static Batch exponential2_of_difference(const Batch& x, const Raise& by) {
        const Batch below = xsimd::max(by.lowest, x - by.max);
        Batch rest = Batch(T{0}) - by.lift;
        if constexpr (sizeof(T) == sizeof(float)) rest = fused(below, by.low, rest);
        return power2_of(fused(below, by.high, rest));
    }
    static Batch power2_of(const Batch& x) {
        const Batch biased(Constants::biased), shifted = x + biased;
        return power2(x - (shifted - biased), shifted);
    }

    /// 2^(r + n) for |r| <= 1/2 and the n that `shifted` holds.
    static Batch power2(const Batch& r, const Batch& shifted) {
        Batch p(Constants::two[Constants::degree2]);
        for (int k = Constants::degree2; k-- > 0;) p = fused(p, r, Batch(Constants::two[k]));
        return p * power_of_two(shifted);
    }

    static T max_of(const T* x, Index n) {
        T max = x[0];
        Index k = 0;
        if (n >= width) {
            Batch m = load(x);
            for (k = width; k + width <= n; k += width) m = xsimd::max(m, load(x + k));
            T lanes[Batch::size];
            m.store_unaligned(lanes);
            max = lanes[0];
            for (const T lane : lanes) max = lane > max ? lane : max;
        }
        for (; k < n; ++k) max = x[k] > max ? x[k] : max;
        return max;
    }

    static double exponentials(const T* in, T* out, Index n) {
        const T max = max_of(in, n);
        double sum = 0;
        for (Index from = 0; from < n; from += summed_together) {
            const Index to = least(n, from + summed_together);
            Batch s(T{0});
            Index k = from;
            for (; k + width <= to; k += width) {
                const Batch e = exponential(load(in + k), Batch(max));
                e.store_unaligned(out + k);
                s = s + e;
            }
            sum += static_cast<double>(sum_of(s));
            if (k == to) continue;
            T lanes[Batch::size] = {};
            for (Index j = k; j < to; ++j) lanes[j - k] = in[j];
            exponential(load(lanes), Batch(max)).store_unaligned(lanes);
            for (Index j = k; j < to; ++j) {
                out[j] = lanes[j - k];
                sum += static_cast<double>(out[j]);
            }
        }
        return sum;
    }

    static bool is_large(double product) {
        constexpr double most = Constants::exact;
        return product > most || product < -most;
    }
    static double rounded(double x) { return (x + Exp<double>::magic) - Exp<double>::magic; }

    static double rounding(T max, double factor) {
        const double product = static_cast<double>(max) * factor;
        return max == -infinity || product != product || is_large(product) ? 0 : rounded(product) - product;
    }

    /// 2^(exponent of `from` - exponent of `to`), a lower and a higher maximum.
    static T power_between(T from, T to, double factor) {
        if (from == -infinity) return T{0};
        const double x = (static_cast<double>(from) - static_cast<double>(to)) * factor +
                         (rounding(from, factor) - rounding(to, factor));
        T lanes[Batch::size];
        const T rounded_x = static_cast<T>(x);
        power2_of(Batch(rounded_x < Constants::lowest_log2 ? Constants::lowest_log2 : rounded_x))
            .store_unaligned(lanes);
        return lanes[0];
    }

    static void weigh(T* scores, Index stride, Index m, Index n, double factor, const Running<T>& state) {
        const Index whole = vectors_of(n) * width;
        const T high = static_cast<T>(factor);
        const T reach = T{8} / high;
        // With a table a power's own exponent has to be a normal number's; without one its bits become 0.
        const double lowest = static_cast<double>(Constants::lowest_log2) + (Powers::bits ? 1 : 0),
                     inverse = 1 / factor;
        constexpr T origin = Powers::bits ? Constants::magic / T(1 << Powers::bits) : Constants::biased;
        const Batch none(T{0});
        Raise by{Batch(high), Batch(static_cast<T>(factor - static_cast<double>(high))), none, none, none,
                 none};
        Batch sums[Batch::size];
        for (Batch& s : sums) s = none;
        for (Index i = 0; i < m; ++i) {
            T* x = scores + i * stride;
            for (Index j = n; j < whole; ++j) x[j] = -infinity;
            T& max = state.max[i];
            Batch top = load(x);
            for (Index j = width; j < whole; j += width) top = xsimd::max(top, load(x + j));
            if (xsimd::any(top > Batch(max + reach))) {
                const T new_max = max_of(x, whole), less = power_between(max, new_max, factor);
                state.sum[i] *= static_cast<double>(less);
                T* c = state.context + i * state.stride;
                for (Index j = 0; j < state.width; ++j) c[j] *= less;
                max = new_max;
            }
            // A row that has seen no key yet: every score is -inf (or NaN, which goes through).
            const T seen = max == -infinity ? T{0} : max;
            const double product = static_cast<double>(seen) * factor;
            const bool large = is_large(product);
            const double exponent = large ? product : rounded(product);
            if (large || !multiplies_exactly) {
                by.max = Batch(seen);
                by.lift = Batch(static_cast<T>(exponent - product));
                by.lowest = Batch(static_cast<T>(
                    (exponent - product + static_cast<double>(Constants::lowest_log2)) * inverse));
                sums[i % width] = powers<exponential2_of_difference>(x, whole, by);
            } else {
                by.from = Batch(origin - static_cast<T>(exponent));
                by.lowest = Batch(static_cast<T>((exponent + lowest) * inverse));
                sums[i % width] = powers<exponential2>(x, whole, by);
            }
            if (i % width == width - 1 || i == m - 1) {
                T row_sums[Batch::size];
                sums_of(sums, row_sums);
                for (Index r = i - i % width; r <= i; ++r)
                    state.sum[r] += static_cast<double>(row_sums[r % width]);
            }
        }
    }

    /// Replaces x[whole] by powers of 2; returns the lanes' sums.
    template <Batch (*power)(const Batch&, const Raise&)>
    static Batch powers(T* x, Index whole, const Raise& by) {
        Batch s0(T{0}), s1(T{0});
        Index j = 0;
        for (; j + 2 * width <= whole; j += 2 * width) {
            const Batch e0 = power(load(x + j), by), e1 = power(load(x + j + width), by);
            e0.store_unaligned(x + j);
            e1.store_unaligned(x + j + width);
            s0 = s0 + e0;
            s1 = s1 + e1;
        }
        if (j < whole) {
            const Batch e0 = power(load(x + j), by);
            e0.store_unaligned(x + j);
            s0 = s0 + e0;
        }
        return s0 + s1;
    }
};

}  // namespace attn::kernels
