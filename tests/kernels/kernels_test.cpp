// Each other kernel of each instruction set that this processor has, against plain sums in double, with sizes
// around every vector width and block.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lib/error.hpp"
#include "tests/kernels/kernel_numbers.hpp"

namespace attn::test {

using kernels::Running;

TEST_CASE_TEMPLATE("kernels: powers of a running softmax within 2 units, whatever the maximum", T, float,
                   double) {
    const T inf = std::numeric_limits<T>::infinity();
    for (const auto* t : tables<T>())
        for (const double factor :
             {1.4426950408889634 / 8, 1.4426950408889634 / 9.7979589711327115, 0.9, 7.0})
            for (const double top : {-300.0, -29.3, 0.0, 0.7, 31.7, 5000.0}) {
                // The maximum is the first row's; then scores from far below to 8 / factor above it.
                T max = static_cast<T>(top), context = 0;
                double sum = 0;
                std::vector<T> first(16, -inf), scores(1600), powers;
                first[3] = max;
                max = -inf;
                const Running<T> state{&max, &sum, &context, 0, 0};
                t->weigh(first.data(), 16, 1, 16, factor, state);
                const double exponent = static_cast<double>(max) * factor + t->rounding(max, factor);
                CHECK(exponent == std::round(exponent));
                for (std::size_t k = 0; k < scores.size(); ++k)
                    scores[k] = static_cast<T>(top + (7.99 - static_cast<double>(k) * 0.02) / factor);
                scores.back() = -inf;
                powers = scores;
                t->weigh(powers.data(), 1600, 1, 1600, factor, state);
                CHECK(max == static_cast<T>(top));
                double worst = 0;
                for (std::size_t k = 0; k + 1 < scores.size(); ++k) {
                    const long double x = std::fma(static_cast<long double>(scores[k]),
                                                   static_cast<long double>(factor), -exponent);
                    const long double exact = std::exp2(x);
                    const double error = static_cast<double>(std::abs(powers[k] - exact) / exact) /
                                         (std::numeric_limits<T>::epsilon() / 2);
                    // Where nothing multiplies and adds at once, a product is rounded at its own size first.
                    const double product = std::abs(static_cast<double>(x)) + std::abs(top * factor);
                    worst = std::max(worst, error / (std::string(t->name) == "sse2" ? 4 + 1.5 * product : 2));
                }
                CHECK_MESSAGE(worst <= 1, std::string(t->name)
                                              << ", factor " << factor << ", maximum " << top);
                CHECK(powers.back() == 0);
            }
}

TEST_CASE_TEMPLATE("kernels: exponentials within 2 units in the last place, subnormal results too", T, float,
                   double) {
    using Limits = std::numeric_limits<T>;
    for (const auto* t : tables<T>()) {
        const double lowest = sizeof(T) == 4 ? -104 : -746;
        std::vector<T> in{T(0)};
        for (int k = 1; k < 200000; ++k) in.push_back(static_cast<T>(lowest * k / 200000));
        std::vector<T> out(in.size());
        const double sum = t->exponentials(in.data(), out.data(), static_cast<Index>(in.size()));
        double worst = 0, exact = 0;
        for (std::size_t k = 0; k < in.size(); ++k) {
            const long double truth = std::exp(static_cast<long double>(in[k]));
            exact += static_cast<double>(truth);
            const long double least = Limits::denorm_min();
            int exponent = 0;
            std::frexp(truth, &exponent);
            const long double unit = std::max(least, std::ldexp(1.0L, exponent - Limits::digits));
            worst = std::max(worst,
                             static_cast<double>(std::abs(static_cast<long double>(out[k]) - truth) / unit));
        }
        CHECK_MESSAGE(worst <= 2, t->name << ": " << worst);
        CHECK(std::abs(sum - exact) <= 1e-6 * exact);
    }
}

TEST_CASE_TEMPLATE("kernels: exponentials of odd lengths and odd numbers", T, float, double) {
    const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
    for (const auto* t : tables<T>()) {
        for (Index n = 1; n <= 70; ++n) {
            std::vector<T> in, out(static_cast<std::size_t>(n));
            for (Index k = 0; k < n; ++k) in.push_back(static_cast<T>(k % 5 == 3 ? -inf : T(k % 7) - T(9)));
            const double sum = t->exponentials(in.data(), out.data(), n);
            double truth = 0, max = -1e9;
            for (const T x : in) max = std::max(max, static_cast<double>(x));
            for (Index k = 0; k < n; ++k) {
                const auto at = static_cast<std::size_t>(k);
                const double e = std::exp(static_cast<double>(in[at]) - max);
                truth += e;
                CHECK(std::abs(static_cast<double>(out[at]) - e) <= 3e-7 * e);
            }
            CHECK(std::abs(sum - truth) <= 1e-6 * truth);
        }
        for (const T x : {T(1e4), T(-1e4), T(1e30), T(-1e30)}) {
            const std::vector<T> in{x, T(0), x, -x, T(1)};
            std::vector<T> out(in.size());
            const double sum = t->exponentials(in.data(), out.data(), 5);
            CHECK(sum == (x > 0 ? 2 : 1));
        }
        std::vector<T> out(3);
        for (const std::vector<T>& in : {std::vector<T>{T(1), nan, T(2)}, std::vector<T>{T(1), inf, T(2)}})
            CHECK(std::isnan(t->exponentials(in.data(), out.data(), 3)));
    }
}

TEST_CASE_TEMPLATE("kernels: a running softmax of blocks is the softmax of the whole", T, float, double) {
    for (const auto* t : tables<T>()) {
        Numbers<T> numbers;
        for (const double scale : {0.1, 1.0, 30.0, 1e4, 1e30}) {
            for (const Index keys : {1, 3, 16, 17, 64, 100, 128, 300}) {
                constexpr Index rows = 19, stride = 128, width = 5;
                const auto scores = numbers.of(rows * keys), values = numbers.of(keys * width);
                std::vector<T> max(rows, -std::numeric_limits<T>::infinity()), context(rows * width, T(0)),
                    block(rows * stride);
                std::vector<double> sum(rows, 0.0);
                const double log2e = 1.4426950408889634;
                for (Index k0 = 0; k0 < keys; k0 += stride) {
                    const Index n = std::min(stride, keys - k0);
                    for (Index i = 0; i < rows; ++i)
                        for (Index j = 0; j < n; ++j)
                            block[static_cast<std::size_t>(i * stride + j)] = static_cast<T>(
                                static_cast<double>(scores[static_cast<std::size_t>(i * keys + k0 + j)]) *
                                scale);
                    t->weigh(block.data(), stride, rows, n, log2e,
                             {max.data(), sum.data(), context.data(), width, width});
                    for (Index i = 0; i < rows; ++i)
                        for (Index j = 0; j < n; ++j)
                            for (Index v = 0; v < width; ++v)
                                context[static_cast<std::size_t>(i * width + v)] +=
                                    block[static_cast<std::size_t>(i * stride + j)] *
                                    values[static_cast<std::size_t>((k0 + j) * width + v)];
                }
                for (Index i = 0; i < rows; ++i) {
                    double top = -1e300, total = 0;
                    std::vector<double> weights(static_cast<std::size_t>(keys));
                    for (Index j = 0; j < keys; ++j)
                        top = std::max(
                            top, static_cast<double>(static_cast<T>(
                                     static_cast<double>(scores[static_cast<std::size_t>(i * keys + j)]) *
                                     scale)));
                    for (Index j = 0; j < keys; ++j) {
                        const double s = static_cast<double>(static_cast<T>(
                            static_cast<double>(scores[static_cast<std::size_t>(i * keys + j)]) * scale));
                        total += weights[static_cast<std::size_t>(j)] = std::exp(s - top);
                    }
                    for (Index v = 0; v < width; ++v) {
                        double truth = 0;
                        for (Index j = 0; j < keys; ++j)
                            truth += weights[static_cast<std::size_t>(j)] / total *
                                     static_cast<double>(values[static_cast<std::size_t>(j * width + v)]);
                        const double found =
                            static_cast<double>(context[static_cast<std::size_t>(i * width + v)]) /
                            sum[static_cast<std::size_t>(i)];
                        // A score's own rounding moves its weight by |score| units in the last place;
                        // products are exact where they are small, and large differences leave one key.
                        const double loose =
                            (50 + 8 * std::min(scale, 100.0)) * std::numeric_limits<T>::epsilon();
                        CHECK(std::abs(found - truth) <= loose);
                        CHECK_MESSAGE(std::isfinite(found),
                                      t->name << " " << scale << " " << keys << " " << i);
                    }
                }
            }
        }
    }
}

TEST_CASE_TEMPLATE("kernels: a row that sees nothing, NaN and infinities", T, float, double) {
    const T inf = std::numeric_limits<T>::infinity();
    for (const auto* t : tables<T>()) {
        std::vector<T> scores(3 * 32, -inf), max(3, -inf), context(3, T(0));
        std::vector<double> sum(3, 0.0);
        scores[32] = std::numeric_limits<T>::quiet_NaN();
        scores[64] = inf;
        t->weigh(scores.data(), 32, 3, 32, 1.0, {max.data(), sum.data(), context.data(), 1, 1});
        CHECK(sum[0] == 0);
        CHECK(max[0] == -inf);
        CHECK(scores[0] == 0);
        CHECK(std::isnan(sum[1]));
        CHECK(std::isnan(sum[2]));
    }
}

/// scale_past writes scores, scaled and masked ones, and tells numbers that are not finite.
template <class T>
bool goes_past(const kernels::Table<T>& t, const std::vector<T>& in, Index from, Index to) {
    const auto n = static_cast<Index>(in.size());
    const T inf = std::numeric_limits<T>::infinity();
    std::vector<T> own(in.size());
    // Vectors of any instruction set begin at the first multiple of 64 bytes.
    std::vector<T> memory(3 * in.size() + 64 / sizeof(T), T{7});
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
    T* const scores = memory.data() + (at == 0 ? 0 : (64 - at) / sizeof(T));
    T *const scaled = scores + n, *const masked = scaled + n;
    const bool finite = t.scale_past(in.data(), own.data(), n, T(0.3), from, to, {scores, scaled, masked});
    t.settle();
    bool right = finite;
    for (Index k = 0; k < n; ++k) {
        const auto i = static_cast<std::size_t>(k);
        const T product = in[i] * T(0.3);
        right = right && scores[k] == in[i] && scaled[k] == product && masked[k] == own[i] &&
                own[i] == (k >= from && k < to ? product : -inf);
    }
    for (const T odd : {inf, -inf, std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::max()}) {
        auto with = in;
        with[with.size() / 2] = odd;
        right = right && !t.scale_past(with.data(), own.data(), n, T(3), from, to, {});
    }
    return right;
}

TEST_CASE_TEMPLATE("kernels: rows of numbers", T, float, double) {
    const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
    for (const auto* t : tables<T>()) {
        Numbers<T> numbers;
        for (const Index n : sizes(t->tile.lanes)) {
            const auto in = numbers.of(n);
            auto out = numbers.of(n);
            t->scale(in.data(), out.data(), n, T(0.3));
            bool same = true;
            for (std::size_t k = 0; k < in.size(); ++k) same = same && out[k] == in[k] * T(0.3);
            for (Index skipped = 0; skipped < std::min(n, Index{5}); ++skipped) {
                std::vector<T> copy(in.size() + 1, T{7});
                t->copy_past(in.data(), copy.data() + skipped, n - skipped);
                for (std::size_t k = 0; k < copy.size(); ++k) {
                    const auto from = static_cast<Index>(k) - skipped;
                    same = same && copy[k] == (from < 0 || static_cast<Index>(k) >= n
                                                   ? T{7}
                                                   : in[static_cast<std::size_t>(from)]);
                }
            }
            if (n > 0 && n % t->tile.lanes == 0)
                for (const Index from : {Index{0}, n / 3})
                    same = same && goes_past(*t, in, from, std::max(from + 1, n - n / 5));
            const auto before = out;
            auto rest = in;
            for (std::size_t k = 2; k < rest.size(); k += 3) rest[k] = k % 2 ? nan : inf;
            t->add_rest(rest.data(), out.data(), n);
            for (std::size_t k = 0; k < in.size(); ++k)
                same = same && out[k] == (k % 3 == 2 ? before[k] : before[k] + in[k]);
            t->divide(in.data(), out.data(), n, 3.0);
            for (std::size_t k = 0; k < in.size(); ++k)
                same = same && std::abs(static_cast<double>(out[k]) - static_cast<double>(in[k]) / 3) <=
                                   std::numeric_limits<T>::epsilon() * std::abs(static_cast<double>(in[k]));
            CHECK(same);
            CHECK(t->all_finite(in.data(), n, false));
            for (Index k = 0; k < n; ++k) {
                auto odd = in;
                odd[static_cast<std::size_t>(k)] = nan;
                CHECK_FALSE(t->all_finite(odd.data(), n, true));
                odd[static_cast<std::size_t>(k)] = inf;
                CHECK_FALSE(t->all_finite(odd.data(), n, true));
                odd[static_cast<std::size_t>(k)] = -inf;
                CHECK_FALSE(t->all_finite(odd.data(), n, false));
                CHECK(t->all_finite(odd.data(), n, true));
            }
        }
    }
}

TEST_CASE_TEMPLATE("kernels: hyperbolic tangents within 4 units in the last place", T, float, double) {
    const T inf = std::numeric_limits<T>::infinity();
    const T zero[1] = {T(0)}, one[1] = {T(1)};
    for (const auto* t : tables<T>()) {
        const auto tangent = [&](T x) { return t->dot_tanh(&x, zero, one, 1); };
        for (double size = 1e-12; size < 100; size *= 1.003)
            for (const double sign : {-1.0, 1.0}) {
                const T x = static_cast<T>(sign * size);
                const long double truth = std::tanh(static_cast<long double>(x));
                CHECK(std::abs(static_cast<double>(static_cast<long double>(tangent(x)) - truth)) <=
                      4 * std::numeric_limits<T>::epsilon() * std::abs(static_cast<double>(truth)));
            }
        CHECK(tangent(inf) == 1);
        CHECK(tangent(-inf) == -1);
        CHECK(tangent(T(0)) == 0);
        CHECK(std::isnan(tangent(std::numeric_limits<T>::quiet_NaN())));
        Numbers<T> numbers;
        for (const Index n : sizes(t->tile.lanes)) {
            const auto a = numbers.of(n), b = numbers.of(n), v = numbers.of(n);
            double truth = 0, magnitude = 0;
            for (std::size_t k = 0; k < a.size(); ++k) {
                const double term = std::tanh(static_cast<double>(a[k] + b[k])) * static_cast<double>(v[k]);
                truth += term;
                magnitude += std::abs(term);
            }
            const double found = static_cast<double>(t->dot_tanh(a.data(), b.data(), v.data(), n));
            CHECK(std::abs(found - truth) <= tolerance<T>(magnitude, n + 4));
        }
    }
}

TEST_CASE("kernels: names that are unknown or not available are refused") {
    const auto refusal = [](std::string_view name) {
        try {
            kernels::choose(name, "--kernels");
        } catch (const Error& e) {
            return e.code;
        }
        return Exit::ok;
    };
    CHECK(refusal("avx9") == Exit::usage);
    CHECK(refusal("") == Exit::usage);
    for (const auto& known : kernels::known_sets())
        if (!kernels::is_available(known)) CHECK(refusal(known) == Exit::usage);
    CHECK(refusal("auto") == Exit::ok);
}

TEST_CASE_TEMPLATE("kernels: a sum of many is exact to its own rounding, and infinities and NaN go through",
                   T, float, double) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    for (const auto* t : tables<T>())
        for (const Index n : {1, 3, 16, 21}) {
            const auto count = static_cast<std::size_t>(n);
            std::vector<T> sum(count, 0), rest(count, 0), part(count);
            for (std::size_t j = 0; j < count; ++j)
                part[j] = static_cast<T>(0.1 * static_cast<double>(j + 1));
            constexpr int times = 100000;
            for (int k = 0; k < times; ++k) t->add_exactly(part.data(), sum.data(), rest.data(), n);
            for (std::size_t j = 0; j < count; ++j) {
                const double exact = times * static_cast<double>(part[j]);
                CHECK(std::abs(static_cast<double>(sum[j]) - exact) <=
                      std::numeric_limits<T>::epsilon() * exact);
            }
            std::vector<T> odd(count, infinity);
            t->add_exactly(odd.data(), sum.data(), rest.data(), n);
            t->add_exactly(part.data(), sum.data(), rest.data(), n);
            CHECK(std::all_of(sum.begin(), sum.end(), [](T v) { return v == infinity; }));
            CHECK(std::all_of(rest.begin(), rest.end(), [](T v) { return v == 0; }));
            std::fill(odd.begin(), odd.end(), std::numeric_limits<T>::quiet_NaN());
            t->add_exactly(odd.data(), sum.data(), rest.data(), n);
            CHECK(std::all_of(sum.begin(), sum.end(), [](T v) { return v != v; }));
        }
}

TEST_CASE_TEMPLATE("kernels: weights backwards, in rows and packed as pack_columns packs them", T, float,
                   double) {
    Numbers<T> numbers;
    for (const auto* t : tables<T>())
        for (const Index n : {1, 5, 16, 37, 48, 64, 100, 128})
            for (const Index m : {1, 3, 8}) {
                constexpr Index stride = 128;
                const auto size = static_cast<std::size_t>(m * stride);
                const auto powers = numbers.of(m * stride), given = numbers.of(m * stride);
                std::vector<kernels::SentBack<T>> rows;
                std::vector<double> shares, shared;
                for (Index i = 0; i < m; ++i) {
                    shares.push_back(0.3 + 0.1 * static_cast<double>(i));
                    shared.push_back(1.0 / 3 - static_cast<double>(i));
                    rows.emplace_back(shares.back(), shared.back());
                }
                const auto packed = static_cast<std::size_t>(t->packed_size(n, m));
                std::vector<T> d = given, weights(packed), alone(packed), scores(packed), wanted(packed);
                t->send_back(powers.data(), d.data(), stride, m, n, rows.data(), weights.data(),
                             scores.data());
                t->send_back(powers.data(), nullptr, stride, m, n, rows.data(), alone.data(), nullptr);
                std::vector<T> plain(size);
                bool right = true;
                for (Index i = 0; i < m; ++i)
                    for (Index j = 0; j < n; ++j) {
                        const auto at = static_cast<std::size_t>(i * stride + j);
                        const auto row = static_cast<std::size_t>(i);
                        const double p = static_cast<double>(powers[at]) * shares[row];
                        const double s = p * (static_cast<double>(given[at]) - shared[row]);
                        plain[at] = static_cast<T>(p);
                        right = right &&
                                std::abs(static_cast<double>(d[at]) - s) <=
                                    tolerance<T>(std::abs(p) * (std::abs(static_cast<double>(given[at])) +
                                                                std::abs(shared[row])),
                                                 1);
                    }
                CHECK_MESSAGE(right, name(*t, "send_back", m, n, 0));
                const auto near = [&](const std::vector<T>& found, const std::vector<T>& from) {
                    t->pack_columns(from.data(), stride, n, m, wanted.data());
                    // Columns beyond the last are of no account.
                    for (std::size_t k = 0; k < packed; ++k)
                        if (wanted[k] != 0 && std::abs(static_cast<double>(found[k] - wanted[k])) >
                                                  tolerance<T>(static_cast<double>(std::abs(wanted[k])), 1))
                            return false;
                    return true;
                };
                CHECK(near(weights, plain));
                CHECK(near(alone, plain));
                CHECK(near(scores, d));
                double sum = 0, magnitude = 0;
                for (Index j = 0; j < n; ++j) {
                    const auto at = static_cast<std::size_t>(j);
                    const double product = static_cast<double>(powers[at]) * static_cast<double>(given[at]);
                    sum += product;
                    magnitude += std::abs(product);
                }
                CHECK(std::abs(t->dot_exactly(powers.data(), given.data(), n) - sum) <=
                      tolerance<double>(magnitude, n));
            }
}

}  // namespace attn::test
