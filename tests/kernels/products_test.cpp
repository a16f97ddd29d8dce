// Products of matrices of each instruction set that this processor has, against plain sums in double, with
// sizes around every vector width and block.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/kernel_numbers.hpp"

namespace attn::test {
namespace {

using kernels::Part;

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
                // rows, a number apart from each other, turned into rows that are two numbers apart
                std::vector<T> turned(static_cast<std::size_t>(depth * (n + 2)), T{-7});
                t->turn(rows.data(), depth + 1, n, depth, turned.data(), n + 2);
                bool is_turned = true;
                for (Index k = 0; k < depth; ++k)
                    for (Index j = 0; j < n + 2; ++j)
                        is_turned = is_turned &&
                                    turned[static_cast<std::size_t>(k * (n + 2) + j)] ==
                                        (j < n ? rows[static_cast<std::size_t>(j * (depth + 1) + k)] : T{-7});
                CHECK_MESSAGE(is_turned, name(*t, "turn", m, n, depth));
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

TEST_CASE_TEMPLATE("kernels: a packed product added with its rest is exact to its own rounding", T, float,
                   double) {
    for (const auto* t : tables<T>())
        for (const Index n : {1, 16, 21, 40}) {
            constexpr Index m = 4, depth = 16;
            const auto count = static_cast<std::size_t>(m * n);
            // Small whole numbers: each product of 16 terms is exact.
            std::vector<T> a(m * depth), b(static_cast<std::size_t>(depth * n)), c(count, 0), rest(count, 0);
            for (std::size_t k = 0; k < a.size(); ++k) a[k] = static_cast<T>(k % 5 + 1);
            for (std::size_t k = 0; k < b.size(); ++k) b[k] = static_cast<T>(k % 7 + 1);
            std::vector<T> packed(static_cast<std::size_t>(t->packed_size(n, depth)));
            t->pack_columns(b.data(), n, n, depth, packed.data());
            const Part part = Part::of_depth(n, depth, 0, depth);
            // A thousand products beside a number that is as large as a float can be exact to.
            const T large = static_cast<T>(sizeof(T) == 4 ? 0x1p24 : 0x1p53);
            std::fill(c.begin(), c.end(), large);
            constexpr int times = 1000;
            for (int k = 0; k < times; ++k)
                t->add_packed(a.data(), depth, packed.data(), c.data(), rest.data(), n, m, part);
            for (Index i = 0; i < m; ++i)
                for (Index j = 0; j < n; ++j) {
                    long double exact = large;
                    for (Index k = 0; k < depth; ++k)
                        exact += times *
                                 static_cast<long double>(a[static_cast<std::size_t>(i * depth + k)]) *
                                 static_cast<long double>(b[static_cast<std::size_t>(k * n + j)]);
                    const auto at = static_cast<std::size_t>(i * n + j);
                    CHECK(static_cast<long double>(c[at]) + static_cast<long double>(rest[at]) == exact);
                }
            // An infinite sum stays one.
            std::fill(c.begin(), c.end(), std::numeric_limits<T>::max());
            std::fill(b.begin(), b.end(), std::numeric_limits<T>::max() / 20);
            t->pack_columns(b.data(), n, n, depth, packed.data());
            for (int k = 0; k < 2; ++k)
                t->add_packed(a.data(), depth, packed.data(), c.data(), rest.data(), n, m, part);
            t->add_rest(rest.data(), c.data(), m * n);
            CHECK(std::ranges::all_of(c, [](T x) { return x == std::numeric_limits<T>::infinity(); }));
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

}  // namespace attn::test
