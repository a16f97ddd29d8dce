// Each kernel of each instruction set that this processor has, against plain sums in double, with sizes
// around every vector width and block.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "lib/error.hpp"
#include "lib/kernels/dispatch.hpp"
#include "lib/kernels/sets.hpp"

namespace attn::test {
namespace {

using kernels::Index;
using kernels::Part;

template <class T>
std::vector<const kernels::Table<T>*> tables() {
    std::vector<const kernels::Table<T>*> out;
#if defined(__x86_64__)
    for (const auto* t : {kernels::Sets<T>::sse2(), kernels::Sets<T>::avx2(), kernels::Sets<T>::avx512()})
#else
    for (const auto* t : {kernels::Sets<T>::neon()})
#endif
        if (kernels::is_available(t->name)) out.push_back(t);
    return out;
}

/// Sizes from 0 to 2 W + 1 and around the blocks.
std::vector<Index> sizes(Index width) {
    std::vector<Index> out;
    for (Index k = 0; k <= 2 * width + 1; ++k) out.push_back(k);
    for (const Index k :
         {4 * width - 1, 4 * width, 4 * width + 1, 8 * width + 3, Index{127}, Index{128}, Index{129}})
        out.push_back(k);
    return out;
}

template <class T>
struct Numbers {
    std::mt19937 random{7};
    std::normal_distribution<double> normal;
    std::vector<T> of(Index n) {
        std::vector<T> x(static_cast<std::size_t>(n));
        for (T& v : x) v = static_cast<T>(normal(random));
        return x;
    }
};

/// What a chain of n roundings may be off by, times a small constant.
template <class T>
double tolerance(double magnitude, Index n) {
    return (2 + static_cast<double>(n)) * std::numeric_limits<T>::epsilon() * (magnitude + 1e-30);
}

/// c[m, n] against a · b (or bᵀ), plus `before`.
template <class T>
void check_product(const std::string& what, const std::vector<T>& a, Index lda, const std::vector<T>& b,
                   Index ldb, bool b_is_rows, const std::vector<T>& c, Index ldc, Index m, Index n,
                   Index depth, const std::vector<T>& before) {
    int wrong = 0;
    for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j) {
            double sum =
                before.empty() ? 0 : static_cast<double>(before[static_cast<std::size_t>(i * ldc + j)]);
            double magnitude = std::abs(sum);
            for (Index k = 0; k < depth; ++k) {
                const double x =
                    static_cast<double>(a[static_cast<std::size_t>(i * lda + k)]) *
                    static_cast<double>(b[static_cast<std::size_t>(b_is_rows ? j * ldb + k : k * ldb + j)]);
                sum += x;
                magnitude += std::abs(x);
            }
            const double found = static_cast<double>(c[static_cast<std::size_t>(i * ldc + j)]);
            wrong += !(std::abs(found - sum) <= tolerance<T>(magnitude, 2));
        }
    CHECK_MESSAGE(wrong == 0, what);
}

template <class T>
std::string name(const kernels::Table<T>& t, const char* kernel, Index m, Index n, Index depth) {
    return std::string(t.name) + (sizeof(T) == 4 ? " float32 " : " float64 ") + kernel + " " +
           std::to_string(m) + " x " + std::to_string(n) + ", depth " + std::to_string(depth);
}

}  // namespace

TEST_CASE_TEMPLATE("kernels: products of every size", T, float, double) {
    for (const auto* t : tables<T>()) {
        Numbers<T> numbers;
        for (const Index m : {1, 2, 3, 5, 6, 7, 13}) {
            for (const Index n : sizes(t->tile.lanes)) {
                const Index depth = (m * 7 + n * 3) % 37 + (n % 5 == 0 ? 129 : 0);
                const Index lda = depth + 3, ldc = n + 2;
                const auto a = numbers.of(m * lda), rows = numbers.of(n * (depth + 1)),
                           columns = numbers.of(depth * (n + 1));
                auto c = numbers.of(m * ldc);
                t->dot_rows(a.data(), lda, rows.data(), depth + 1, c.data(), ldc, m, n, depth);
                check_product(name(*t, "dot_rows", m, n, depth), a, lda, rows, depth + 1, true, c, ldc, m, n,
                              depth, {});
                t->dot_stream(a.data(), lda, rows.data(), depth + 1, c.data(), ldc, m, n, depth);
                check_product(name(*t, "dot_stream", m, n, depth), a, lda, rows, depth + 1, true, c, ldc, m,
                              n, depth, {});
                t->multiply(a.data(), lda, columns.data(), n + 1, c.data(), ldc, m, n, depth);
                check_product(name(*t, "multiply", m, n, depth), a, lda, columns, n + 1, false, c, ldc, m, n,
                              depth, {});
                if (depth > 0) {
                    t->multiply_stream(a.data(), lda, columns.data(), n + 1, c.data(), ldc, m, n, depth);
                    check_product(name(*t, "multiply_stream", m, n, depth), a, lda, columns, n + 1, false, c,
                                  ldc, m, n, depth, {});
                }
                std::vector<T> packed(static_cast<std::size_t>(t->packed_size(n, depth)));
                t->pack_rows(rows.data(), depth + 1, n, depth, packed.data());
                t->multiply_packed(a.data(), lda, packed.data(), c.data(), ldc, m,
                                   Part::of_depth(n, depth, 0, depth), false);
                check_product(name(*t, "pack_rows", m, n, depth), a, lda, rows, depth + 1, true, c, ldc, m, n,
                              depth, {});
                t->pack_columns(columns.data(), n + 1, n, depth, packed.data());
                const auto before = c;
                t->multiply_packed(a.data(), lda, packed.data(), c.data(), ldc, m,
                                   Part::of_depth(n, depth, 0, depth), true);
                check_product(name(*t, "pack_columns", m, n, depth), a, lda, columns, n + 1, false, c, ldc, m,
                              n, depth, before);
            }
        }
    }
}

TEST_CASE_TEMPLATE("kernels: columns have the same bits whatever stands beside them", T, float, double) {
    Numbers<T> draw;
    const Index depth = 150, n = 67;
    const std::vector<T> a = draw.of(depth), b = draw.of(depth * n);
    for (const auto* t : tables<T>()) {
        std::vector<T> whole(static_cast<std::size_t>(n)), part(whole.size());
        t->multiply(a.data(), depth, b.data(), n, whole.data(), n, 1, n, depth);
        for (Index from = 0; from < n; from += 5)
            t->multiply(a.data(), depth, b.data() + from, n, part.data() + from, n, 1,
                        std::min<Index>(5, n - from), depth);
        CHECK_MESSAGE(whole == part, t->name);
    }
}

TEST_CASE_TEMPLATE("kernels: a part of a packed matrix has the bits of the whole", T, float, double) {
    for (const auto* t : tables<T>()) {
        Numbers<T> numbers;
        constexpr Index m = 7, depth = 40;
        for (const Index n : {16, 48, 50, 64, 77}) {
            const auto a = numbers.of(m * depth), b = numbers.of(n * depth);
            std::vector<T> packed(static_cast<std::size_t>(t->packed_size(n, depth))),
                whole(static_cast<std::size_t>(m * n));
            t->pack_rows(b.data(), depth, n, depth, packed.data());
            t->multiply_packed(a.data(), depth, packed.data(), whole.data(), n, m,
                               Part::of_depth(n, depth, 0, depth), false);
            for (Index begin = 0; begin < n; begin += 16)
                for (Index end = begin + 1; end <= n; ++end) {
                    std::vector<T> part(static_cast<std::size_t>(m * n), T(-1));
                    t->multiply_packed(a.data(), depth, packed.data(), part.data(), n, m,
                                       {n, depth, 0, depth, begin, end}, false);
                    bool same = true;
                    for (Index i = 0; i < m; ++i)
                        for (Index j = 0; j < n; ++j) {
                            const T found = part[static_cast<std::size_t>(i * n + j)];
                            same = same && found == (j < end - begin
                                                         ? whole[static_cast<std::size_t>(i * n + begin + j)]
                                                         : T(-1));
                        }
                    CHECK(same);
                }
            // A row alone has the bits that it has among others.
            for (Index i = 0; i < m; ++i) {
                std::vector<T> row(static_cast<std::size_t>(n));
                t->multiply_packed(a.data() + i * depth, depth, packed.data(), row.data(), n, 1,
                                   Part::of_depth(n, depth, 0, depth), false);
                CHECK(std::equal(row.begin(), row.end(), whole.begin() + i * n));
            }
        }
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
                    t->weigh(block.data(), stride, rows, n, static_cast<T>(log2e),
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
        t->weigh(scores.data(), 32, 3, 32, T(1), {max.data(), sum.data(), context.data(), 1, 1});
        CHECK(sum[0] == 0);
        CHECK(max[0] == -inf);
        CHECK(scores[0] == 0);
        CHECK(std::isnan(sum[1]));
        CHECK(std::isnan(sum[2]));
    }
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
            const auto before = out;
            t->add(in.data(), out.data(), n);
            for (std::size_t k = 0; k < in.size(); ++k) same = same && out[k] == before[k] + in[k];
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

TEST_CASE_TEMPLATE("kernels: a scaled matrix and a product of rank one", T, float, double) {
    for (const auto* t : tables<T>()) {
        Numbers<T> numbers;
        for (const Index n : sizes(t->tile.lanes)) {
            constexpr Index m = 5;
            const Index stride = n + 3;
            const auto before = numbers.of(m * stride), decay = numbers.of(m), k = numbers.of(m),
                       d = numbers.of(n);
            for (const T* by : {decay.data(), static_cast<const T*>(nullptr)}) {
                auto s = before;
                t->add_outer(s.data(), stride, m, n, by, k.data(), d.data());
                bool right = true;
                for (Index i = 0; i < m; ++i)
                    for (Index j = 0; j < stride; ++j) {
                        const auto at = static_cast<std::size_t>(i * stride + j);
                        const auto row = static_cast<std::size_t>(i);
                        if (j >= n) {
                            right = right && s[at] == before[at];
                            continue;
                        }
                        const double kept =
                            static_cast<double>(before[at]) * (by ? static_cast<double>(by[i]) : 1.0);
                        const double added =
                            static_cast<double>(k[row]) * static_cast<double>(d[static_cast<std::size_t>(j)]);
                        right = right && std::abs(static_cast<double>(s[at]) - (kept + added)) <=
                                             tolerance<T>(std::abs(kept) + std::abs(added), 1);
                    }
                CHECK(right);
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

}  // namespace attn::test
