// Sums over many keys keep their digits on every path; lse and mean_weights are what their formulas say on
// each.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "lib/random/torch.hpp"
#include "tests/drawn.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

TensorSource literal(Shape shape, std::vector<float> numbers) {
    TensorSource t;
    t.shape = std::move(shape);
    t.numbers = Numbers(std::vector<double>(numbers.begin(), numbers.end()));
    return t;
}

std::vector<double> wide_numbers(const TensorSource& t) {
    std::vector<float> out(idx(*element_count(t.shape)));
    torch::Generator generator(t.seed);
    torch::normal(generator, out);
    return {out.begin(), out.end()};
}

bool is_near(double a, double b, double tolerance) {
    return a == b || std::abs(a - b) <= tolerance * (1 + std::abs(b));
}

struct Found {
    std::vector<double> values;
    Path path;
};

/// A stage of a run in which `beside` is shown, too.
Found stage_of(Problem problem, const std::string& stage, const std::string& beside, DType type,
               int threads = 1, const Request& more = {}) {
    Request request = more;
    request.dtype = type;
    request.threads = threads;
    request.stages = {stage};
    if (!beside.empty()) request.stages.push_back(beside);
    const Plan plan = make_plan(std::move(problem), request);
    Recorder r;
    run(plan, r);
    return {r.stages().find(stage)->second.values, plan.path};
}

}  // namespace

TEST_CASE("row sums: a context over very many keys is within 6 units in the last place, on every path") {
    // Equal scores: the context is the mean of the values. Columns: ones, a number with many digits, numbers
    // between 0 and 1, numbers of both signs.
    constexpr Index columns = 4;
    for (const Index keys : {Index{4096}, Index{131072}, Index{1000000}}) {
        if (ATTN_SANITIZED && keys > 131072) continue;  // of rounding, not of memory
        std::vector<float> values(idx(keys * columns));
        std::vector<double> mean(idx(columns), 0);
        std::uint64_t bits = 88172645463325252U;
        const auto next = [&] {  // xorshift
            bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
            return static_cast<float>(bits >> 40) / static_cast<float>(1 << 24);
        };
        for (Index j = 0; j < keys; ++j) {
            const float row[columns] = {1, 0.7F, next(), next() - 0.5F};
            for (Index d = 0; d < columns; ++d) {
                values[idx(j * columns + d)] = row[d];
                mean[idx(d)] += static_cast<double>(row[d]) / static_cast<double>(keys);
            }
        }
        const auto problem = [&](Index queries) {
            Problem p;
            p.variant = "scaled_dot_product";
            p.queries = literal({queries, 1}, std::vector<float>(idx(queries), 0));
            p.keys = literal({keys, 1}, std::vector<float>(idx(keys), 1));
            p.values = literal({keys, columns}, values);
            return p;
        };
        struct Way {
            Path path;
            Index queries;
            const char* beside;
        };
        for (const Way& way :
             {Way{Path::traced, 1, "weights"}, Way{Path::single_rows, 1, ""}, Way{Path::fused, 17, ""}}) {
            const Found found = stage_of(problem(way.queries), "context", way.beside, DType::float32, 2);
            REQUIRE(found.path == way.path);
            for (Index k = 0; k < way.queries * columns; ++k) {
                const double exact = mean[idx(k % columns)],
                             unit = std::ldexp(1.0, -24);  // the row's largest number is 1
                INFO(std::string(name_of(way.path)) << ", " << keys << " keys, column " << k % columns << ": "
                                                    << found.values[idx(k)] << " for " << exact);
                CHECK(std::abs(found.values[idx(k)] - exact) <= 6 * 2 * unit);
            }
        }
    }
}

TEST_CASE("row sums: lse is the logarithm of the row's sum of exponentials, on every path") {
    constexpr Index batch = 2, heads = 4, kv_heads = 2, dim = 8;
    for (const bool has_sinks : {false, true})
        for (const Index queries : {3, 70})
            for (const Index keys : {40, 300}) {
                Problem p;
                p.variant = "scaled_dot_product";
                p.queries = drawn({batch, heads, queries, dim}, 1);
                p.keys = drawn({batch, kv_heads, keys, dim}, 2);
                p.values = drawn({batch, kv_heads, keys, 5}, 3);
                // The first rows see nothing.
                p.causal = Causal{Causal::Kind::offset, {keys - queries, -2}, true};
                if (has_sinks) p.sinks = std::vector<double>{0.5, -1, 2, 0};
                const auto q = wide_numbers(*p.queries), k = wide_numbers(*p.keys);
                std::vector<double> exact;
                for (Index b = 0; b < batch; ++b)
                    for (Index h = 0; h < heads; ++h)
                        for (Index i = 0; i < queries; ++i) {
                            double sum = has_sinks ? std::exp((*p.sinks)[idx(h)]) : 0;
                            for (Index j = 0; j < keys && j <= i + (b == 0 ? keys - queries : -2); ++j) {
                                double score = 0;
                                for (Index d = 0; d < dim; ++d)
                                    score += q[idx(((b * heads + h) * queries + i) * dim + d)] *
                                             k[idx(((b * kv_heads + h / 2) * keys + j) * dim + d)];
                                sum += std::exp(score / std::sqrt(static_cast<double>(dim)));
                            }
                            exact.push_back(std::log(sum));
                        }
                for (const char* beside : {"", "context", "weights"})
                    for (const DType type : {DType::float32, DType::float64}) {
                        const Found found = stage_of(p, "lse", beside, type);
                        INFO(std::string(name_of(found.path))
                             << ", " << queries << " queries, " << keys << " keys, beside " << beside);
                        if (keys >= 64 && std::string(beside) == "context")
                            CHECK(found.path == (queries == 3 ? Path::single_rows : Path::fused));
                        REQUIRE(found.values.size() == exact.size());
                        for (std::size_t n = 0; n < exact.size(); ++n)
                            CHECK(is_near(found.values[n], exact[n], type == DType::float32 ? 2e-6 : 1e-14));
                        for (const int threads : {2, 3})
                            CHECK(stage_of(p, "lse", beside, type, threads).values == found.values);
                        Request part;
                        part.rows = "1:3";
                        part.heads = "2";
                        const Found some = stage_of(p, "lse", beside, type, 1, part);
                        for (Index b = 0; b < batch; ++b)
                            for (Index i = 0; i < 2; ++i)
                                CHECK(is_near(some.values[idx(b * 2 + i)],
                                              found.values[idx((b * heads + 2) * queries + 1 + i)], 1e-6));
                    }
            }
}

TEST_CASE("row sums: dropout with p 1 and a given mask gives zeros, whatever is asked for beside") {
    struct Way {
        Index queries;
        const char* beside;
    };
    for (const Way& way : {Way{70, "dropped_weights"}, Way{1, "weights"}, Way{1, ""}, Way{70, ""}}) {
        constexpr Index batch = 2, heads = 4, keys = 300, columns = 5;
        const auto problem = [&](double p) {
            Problem out;
            out.variant = "scaled_dot_product";
            out.queries = drawn({batch, heads, way.queries, 8}, 1);
            out.keys = drawn({batch, 2, keys, 8}, 2);
            out.values = drawn({batch, 2, keys, columns}, 3);
            DropoutInput d;
            d.p = p;
            d.kind = DropoutKind::given;
            std::vector<float> keep(idx(heads * way.queries * keys));
            for (std::size_t k = 0; k < keep.size(); ++k) keep[k] = k % 3 == 0 ? 1 : 0;
            d.keep = literal({heads, way.queries, keys}, std::move(keep));
            out.dropout = std::move(d);
            return out;
        };
        const auto zeros = [](const std::vector<double>& v) {
            return std::all_of(v.begin(), v.end(), [](double x) { return x == 0; });
        };
        for (const DType type : {DType::float32, DType::float64}) {
            const Found all = stage_of(problem(1), "context", way.beside, type, 2);
            REQUIRE(all.values.size() == idx(batch * heads * way.queries * columns));
            CHECK(zeros(all.values));
            CHECK_FALSE(zeros(stage_of(problem(0.5), "context", way.beside, type, 2).values));
        }
        CHECK(zeros(stage_of(problem(1), "dropped_weights", "", DType::float64).values));
    }
}

TEST_CASE("row sums: mean_weights is the mean of the last weights over heads, for any threads and rows") {
    for (const bool drops : {false, true}) {
        Problem p{};
        p.variant.emplace("scaled_dot_product");
        p.queries = drawn({2, 4, 130, 8}, 1);
        p.keys = drawn({2, 2, 150, 8}, 2);
        p.values = drawn({2, 2, 150, 5}, 3);
        p.causal = Causal{Causal::Kind::offset, {20}, false};
        if (drops) {
            DropoutInput d;
            d.p = 0.5;
            d.seed = 7;
            p.dropout = std::move(d);
        }
        const std::string last = drops ? "dropped_weights" : "weights";
        const auto copy = [&] { return p; };
        const Found weights = stage_of(copy(), last, "", DType::float64),
                    mean = stage_of(copy(), "mean_weights", last, DType::float64);
        constexpr Index rows = 130, keys = 150;
        REQUIRE(mean.values.size() == idx(2 * rows * keys));
        for (Index b = 0; b < 2; ++b)
            for (Index c = 0; c < rows * keys; ++c) {
                double sum = 0;
                for (Index h = 0; h < 4; ++h) sum += weights.values[idx((b * 4 + h) * rows * keys + c)];
                REQUIRE(std::abs(mean.values[idx(b * rows * keys + c)] - sum / 4) <= 1e-15);
            }
        for (const int threads : {1, 2, 3})
            CHECK(stage_of(copy(), "mean_weights", "", DType::float32, threads).values ==
                  stage_of(copy(), "mean_weights", "context", DType::float32, 1).values);
        Request part;
        part.rows = "3,60:62";
        part.cols = "2,149";
        part.heads = "1";
        const Found some = stage_of(copy(), "mean_weights", "", DType::float64, 1, part);
        REQUIRE(some.values.size() == idx(2 * 3 * 2));
        const Index picked_rows[] = {3, 60, 61}, picked_keys[] = {2, 149};
        std::size_t n = 0;
        for (Index b = 0; b < 2; ++b)
            for (const Index i : picked_rows)
                for (const Index j : picked_keys)
                    CHECK(some.values[n++] == mean.values[idx((b * rows + i) * keys + j)]);
    }
}

}  // namespace attn::test
