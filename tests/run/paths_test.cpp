// The paths that the plan chooses between: each against plain sums in double, each with the same bits for any
// number of threads and any choice of rows.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "lib/kernels/dispatch.hpp"
#include "lib/random/torch.hpp"
#include "tests/drawn.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

std::vector<float> numbers(const TensorSource& t) {
    std::vector<float> out(static_cast<std::size_t>(*element_count(t.shape)));
    torch::Generator generator(t.seed);
    torch::normal(generator, out);
    return out;
}

struct Sizes {
    Index batch = 1, heads = 1, kv_heads = 1, queries = 1, keys = 1, dim = 8, value_dim = 8;
};

struct Case {
    std::string name;
    Sizes sizes;
    bool causal = false;
    std::vector<Index> offsets;
    std::optional<Index> left, right;
    std::vector<Index> lengths;
    bool keep = false, add = false;
    bool uniform = false;
    std::optional<double> scale;
};

Problem problem_of(const Case& c) {
    const Sizes& s = c.sizes;
    Problem p;
    p.variant = "scaled_dot_product";
    p.queries = drawn({s.batch, s.heads, s.queries, s.dim}, 1);
    p.keys = drawn({s.batch, s.kv_heads, s.keys, s.dim}, 2);
    p.values = drawn({s.batch, s.kv_heads, s.keys, s.value_dim}, 3);
    if (c.causal)
        p.causal = Causal{Causal::Kind::offset, c.offsets.empty() ? std::vector<Index>{0} : c.offsets,
                          !c.offsets.empty()};
    if (c.left || c.right) p.window = Window{c.left, c.right};
    if (!c.lengths.empty()) p.key_lengths = c.lengths;
    const auto mask = [&](MaskKind kind, std::uint64_t seed) {
        MaskInput m;
        m.kind = kind;
        m.tensor.shape = {s.heads, 1, s.keys};
        TensorSource source = drawn(m.tensor.shape, seed);
        std::vector<double> cells;
        for (const float v : numbers(source))
            cells.push_back(kind == MaskKind::add ? (v > 1.5F ? -std::numeric_limits<double>::infinity()
                                                              : static_cast<double>(v))
                                                  : (v > -0.5F ? 1.0 : 0.0));
        m.tensor.numbers = Numbers(std::move(cells));
        p.masks.push_back(m);
    };
    if (c.keep) mask(MaskKind::keep, 4);
    if (c.add) mask(MaskKind::add, 5);
    if (c.uniform) p.empty_rows = EmptyRows::uniform;
    p.scale = c.scale;
    return p;
}

/// The context by its formula, in double, and the same sums of magnitudes: what rounding is measured by.
struct Truth {
    std::vector<double> context, magnitude;
};

Truth truth(const Case& c) {
    const Sizes& s = c.sizes;
    const Problem p = problem_of(c);
    const auto q = numbers(*p.queries), k = numbers(*p.keys), v = numbers(*p.values);
    const auto at = [](const std::vector<float>& x, Index n) {
        return static_cast<double>(x[static_cast<std::size_t>(n)]);
    };
    Truth out;
    for (Index b = 0; b < s.batch; ++b)
        for (Index h = 0; h < s.heads; ++h)
            for (Index i = 0; i < s.queries; ++i) {
                const Index kv = b * s.kv_heads + h / (s.heads / s.kv_heads);
                const Index offset =
                    c.causal && !c.offsets.empty() ? c.offsets[static_cast<std::size_t>(b)] : 0;
                std::vector<double> w(static_cast<std::size_t>(s.keys));
                double max = -std::numeric_limits<double>::infinity(), sum = 0;
                for (Index j = 0; j < s.keys; ++j) {
                    double x = 0;
                    for (Index d = 0; d < s.dim; ++d)
                        x += at(q, ((b * s.heads + h) * s.queries + i) * s.dim + d) *
                             at(k, (kv * s.keys + j) * s.dim + d);
                    x *= c.scale.value_or(1 / std::sqrt(static_cast<double>(s.dim)));
                    bool hidden = (c.causal && j > i + offset) || (c.left && j < i + offset - *c.left) ||
                                  (c.right && j > i + offset + *c.right) ||
                                  (!c.lengths.empty() && j >= c.lengths[static_cast<std::size_t>(b)]);
                    for (const MaskInput& m : p.masks) {
                        const double cell = m.tensor.numbers[h * s.keys + j];
                        if (m.kind == MaskKind::add)
                            x += cell;
                        else
                            hidden = hidden || cell == 0;
                    }
                    w[static_cast<std::size_t>(j)] = hidden ? -std::numeric_limits<double>::infinity() : x;
                    max = std::max(max, w[static_cast<std::size_t>(j)]);
                }
                for (double& x : w) sum += x = max > -1e300 ? std::exp(x - max) : 0;
                for (Index e = 0; e < s.value_dim; ++e) {
                    double x = 0, size = 0;
                    for (Index j = 0; j < s.keys; ++j) {
                        const double weight = sum > 0     ? w[static_cast<std::size_t>(j)] / sum
                                              : c.uniform ? 1.0 / static_cast<double>(s.keys)
                                                          : 0;
                        const double value = weight * at(v, (kv * s.keys + j) * s.value_dim + e);
                        x += value;
                        size += std::abs(value);
                    }
                    out.context.push_back(x);
                    out.magnitude.push_back(size);
                }
            }
    return out;
}

struct Run {
    std::vector<double> context;
    Path path;
    std::vector<std::string> warnings;
};

Run run_of(const Case& c, Request request, bool traced) {
    request.stages = {"context"};
    if (traced) request.stages.emplace_back("weights");
    const Plan plan = make_plan(problem_of(c), request);
    Recorder r;
    run(plan, r);
    return {r.stages().find("context")->second.values, plan.path, r.warnings()};
}

/// The worst error, in units in the last place of the row's largest number.
double worst_ulp(const std::vector<double>& found, const std::vector<double>& exact, Index width,
                 DType type) {
    double worst = 0;
    for (std::size_t row = 0; row < exact.size(); row += static_cast<std::size_t>(width)) {
        double largest = 0;
        for (std::size_t k = row; k < row + static_cast<std::size_t>(width); ++k)
            largest = std::max(largest, std::abs(exact[k]));
        int exponent = 0;
        std::frexp(largest, &exponent);
        const double unit = std::ldexp(1.0, exponent - (type == DType::float32 ? 24 : 53));
        for (std::size_t k = row; k < row + static_cast<std::size_t>(width); ++k) {
            if (largest == 0 && found[k] == 0) continue;
            worst = std::max(worst, std::isfinite(found[k]) ? std::abs(found[k] - exact[k]) / unit : 1e300);
        }
    }
    return worst;
}

std::vector<Case> cases() {
    std::vector<Case> out;
    const auto add = [&](std::string name, Sizes s, auto&& change) {
        Case c;
        c.name = std::move(name);
        c.sizes = s;
        change(c);
        out.push_back(c);
    };
    const auto nothing = [](Case&) {};
    for (const Index n : {64, 65, 127, 128, 129, 191, 193, 257, 400}) {
        add("full " + std::to_string(n), {1, 2, 2, n, n, 8, 8}, nothing);
        add("causal " + std::to_string(n), {2, 2, 1, n, n, 16, 24}, [](Case& c) { c.causal = true; });
    }
    for (const Index d : {1, 3, 17, 64, 80, 96, 128, 300})
        add("width " + std::to_string(d), {1, 1, 1, 70, 130, d, d + 1},
            [](Case& c) { c.causal = true, c.offsets = {60}; });
    const Sizes long_keys{2, 4, 2, 150, 500, 16, 12};
    add("window", long_keys, [](Case& c) { c.left = 20, c.right = 3; });
    add("causal window with offsets", long_keys, [](Case& c) {
        c.causal = true, c.offsets = {350, -40}, c.left = 70;
    });
    add("lengths", long_keys, [](Case& c) { c.lengths = {0, 131}; });
    add("lengths, uniform", long_keys, [](Case& c) { c.lengths = {0, 500}, c.uniform = true; });
    add("keep", long_keys, [](Case& c) { c.keep = true; });
    add("add", long_keys, [](Case& c) { c.add = true; });
    add("everything", long_keys, [](Case& c) {
        c.causal = true, c.offsets = {100, 300}, c.left = 200, c.keep = c.add = true, c.lengths = {500, 340};
    });
    for (const Index rows : {1, 2, 3, 7}) {
        add("few rows " + std::to_string(rows), {1, 2, 2, rows, 9000, 20, 20}, nothing);
        add("few rows, grouped " + std::to_string(rows), {2, 4, 2, rows, 5000, 24, 40}, [](Case& c) {
            c.causal = true, c.offsets = {4997, 1000}, c.left = 3000, c.keep = c.add = true;
        });
    }
    add("one row, nothing seen", {1, 2, 1, 1, 300, 8, 8}, [](Case& c) { c.lengths = {0}, c.uniform = true; });
    return out;
}

}  // namespace

TEST_CASE("paths: every mask, length and width on every path is the formula's") {
    for (const Case& c : cases()) {
        const auto exact = truth(c);
        for (const DType type : {DType::float32, DType::float64}) {
            Request request;
            request.dtype = type;
            request.threads = 2;
            const Run fast = run_of(c, request, false), traced = run_of(c, request, true);
            CHECK(fast.path != Path::traced);
            CHECK(traced.path == Path::traced);
            CHECK(fast.warnings == traced.warnings);
            for (const Run* r : {&fast, &traced}) {
                double worst = 0;
                for (std::size_t k = 0; k < r->context.size(); ++k)
                    worst = std::max(
                        worst, std::abs(r->context[k] - exact.context[k]) / (exact.magnitude[k] + 1e-300));
                const double units = worst / (type == DType::float32 ? 0x1p-24 : 0x1p-53);
                CHECK(r->context.size() == exact.context.size());
                CHECK_MESSAGE(units <= 16, c.name << ", " << std::string(name_of(r->path)) << ": " << units);
            }
        }
    }
}

TEST_CASE("paths: the same bits for any number of threads, any choice of rows and any head") {
    for (const Case& c : cases()) {
        for (const bool traced : {false, true}) {
            Request request;
            request.threads = 1;
            const Run one = run_of(c, request, traced);
            for (const int threads : {3, 2, 7}) {
                if (ATTN_SANITIZED && threads != 3) continue;  // of bits, not of memory
                request.threads = threads;
                const Run other = run_of(c, request, traced);
                REQUIRE(one.context.size() == other.context.size());
                CHECK_MESSAGE(
                    std::memcmp(one.context.data(), other.context.data(), one.context.size() * 8) == 0,
                    c.name);
                CHECK(one.warnings == other.warnings);
            }
            // Enough rows to stay on the path.
            const Index rows = c.sizes.queries, width = c.sizes.value_dim;
            if (rows < 60) continue;
            Request part = request;
            part.rows = "5,9:" + std::to_string(rows - 11);
            part.heads = std::to_string(c.sizes.heads - 1);
            const Run some = run_of(c, part, traced);
            std::vector<double> expected;
            for (Index b = 0; b < c.sizes.batch; ++b)
                for (Index i = 0; i < rows; ++i) {
                    if (i != 5 && (i < 9 || i >= rows - 11)) continue;
                    const auto at = one.context.begin() + (((b + 1) * c.sizes.heads - 1) * rows + i) * width;
                    expected.insert(expected.end(), at, at + width);
                }
            CHECK_MESSAGE(some.context == expected, c.name);
        }
    }
}

TEST_CASE("paths: options between the scores and the softmax give the same on every path") {
    using Change = void (*)(Problem&);
    const std::pair<const char*, Change> changes[] = {
        {"softcap", [](Problem& p) { p.softcap = 2.0; }},
        {"alibi", [](Problem& p) { p.alibi = Alibi{}; }},
        {"position bias",
         [](Problem& p) {
             p.position_bias = PositionBias{
                 drawn({p.queries->shape[1], p.queries->shape[2], p.keys->shape[2]}, 9), std::nullopt};
         }},
        {"buckets",
         [](Problem& p) {
             p.position_bias = PositionBias{drawn({12, 2}, 9), Buckets{40, true}};
         }},
        {"sinks",
         [](Problem& p) {
             p.sinks = std::vector<double>{3.0, -2.0};
         }},
        {"a key of zeros", [](Problem& p) { p.add_zero_attn = true; }},
        {"a cache",
         [](Problem& p) {
             p.past_keys = drawn({1, 2, 70, 12}, 6);
             p.past_values = drawn({1, 2, 70, 9}, 7);
         }},
        {"rope and a norm",
         [](Problem& p) {
             p.rope = Rope{};
             p.qk_norm = QkNorm{};
         }},
        {"all together",
         [](Problem& p) {
             p.softcap = 5.0;
             p.alibi = Alibi{{0.25, 0.5}};
             p.sinks = std::vector<double>{0.5, 1.0};
             p.past_keys = drawn({1, 2, 70, 12}, 6);
             p.past_values = drawn({1, 2, 70, 9}, 7);
             p.add_zero_attn = true;
             p.rope = Rope{};
         }},
    };
    const std::pair<const char*, Change> masks[] = {
        {"no mask", [](Problem&) {}},
        {"causal",
         [](Problem& p) {
             p.causal = Causal{Causal::Kind::cache, {}, false};
         }},
        {"window",
         [](Problem& p) {
             p.window = Window{Index{20}, Index{1}};
         }},
        {"lengths", [](Problem& p) { p.key_lengths = std::vector<Index>{0}; }},
        {"chunk",
         [](Problem& p) {
             p.causal = Causal{Causal::Kind::cache, {}, false};
             p.chunk = 50;
         }},
        {"a window and a prefix",
         [](Problem& p) {
             p.causal = Causal{Causal::Kind::bottom_right, {}, false};
             p.window = Window{Index{5}, std::nullopt};
             p.prefix_keys = PerItem{{30}, false};
         }},
        {"blocks",
         [](Problem& p) {
             p.causal = Causal{Causal::Kind::top_left, {}, false};
             p.window = Window{Index{7}, std::nullopt};
             p.token_blocks = TokenBlocks{{{{0, 3}, {40, 100}, {90, 120}}}, false};
         }},
        {"an added mask",
         [](Problem& p) {
             MaskInput m;
             m.kind = MaskKind::add;
             m.tensor.shape = {1};
             m.tensor.numbers = Numbers(std::vector<double>{-0.5});
             p.masks.push_back(m);
         }},
    };
    for (const Index queries : {1, 3, 150}) {
        for (const auto& [change_name, change] : changes) {
            for (const auto& [mask_name, mask] : masks) {
                Case c;
                c.sizes = {1, 2, 2, queries, queries == 150 ? Index{150} : Index{5000}, 12, 9};
                const auto context = [&](bool traced) {
                    Problem p = problem_of(c);
                    change(p);
                    mask(p);
                    Request request;
                    request.dtype = DType::float64;
                    request.threads = 2;
                    request.stages = {"context"};
                    if (traced) request.stages.emplace_back("weights");
                    const Plan plan = make_plan(std::move(p), request);
                    CHECK((plan.path == Path::traced) == traced);
                    Recorder r;
                    run(plan, r);
                    return r.stages().find("context")->second.values;
                };
                INFO(change_name << ", " << mask_name << ", " << queries << " queries");
                const auto fast = context(false), traced = context(true);
                REQUIRE(fast.size() == traced.size());
                double worst = 0;
                for (std::size_t k = 0; k < fast.size(); ++k)
                    worst = std::max(worst, std::isfinite(fast[k]) ? std::abs(fast[k] - traced[k]) : 1e300);
                CHECK(worst <= 1e-13);
            }
        }
    }
}

TEST_CASE("paths: within 6 units in the last place at any length, for every instruction set") {
    if (ATTN_SANITIZED) return;  // of rounding, not of memory: the release build goes over it
    struct Length {
        Index rows, keys, width;
    };
    for (const Length& n : {Length{4096, 4096, 64}, {4, 4096, 64}, {17, 131'072, 32}, {2, 131'072, 32}}) {
        Case c;
        c.sizes = {1, 1, 1, n.rows, n.keys, n.width, n.width};
        Request wide;
        wide.dtype = DType::float64;
        const auto exact = run_of(c, wide, false).context;
        for (const std::string_view set : kernels::known_sets()) {
            if (!kernels::is_available(set)) continue;
            kernels::choose(set, "the test");
            for (const bool traced : {false, true}) {
                const Run found = run_of(c, {}, traced);
                const double ulp = worst_ulp(found.context, exact, n.width, DType::float32);
                MESSAGE(n.keys << " keys, " << n.rows << " rows, " << std::string(name_of(found.path)) << ", "
                               << std::string(set) << ": " << ulp << " units");
                CHECK(ulp <= 6);
            }
        }
        kernels::choose("auto", "the test");
    }
}

TEST_CASE("paths: the mean of a million equal values is that value") {
    if (ATTN_SANITIZED) return;  // of rounding, not of memory: the release build goes over it
    constexpr Index keys = 1'000'000;
    const std::vector<double> constants{1, 0.1, 0.7, 1.0 / 3, 1.1, 1e-6, 3e-20, 5e8, 1.9999999, 0.6, 123.456};
    const auto columns = static_cast<Index>(constants.size());
    const auto literal = [](Shape shape, std::vector<double> numbers) {
        TensorSource t;
        t.shape = std::move(shape);
        t.numbers = Numbers(std::move(numbers));
        return t;
    };
    for (const Index rows : {Index{1}, Index{17}}) {
        Problem p;
        p.variant = "scaled_dot_product";
        p.queries = literal({1, 1, rows, 1}, std::vector<double>(static_cast<std::size_t>(rows), 0.0));
        p.keys = literal({1, 1, keys, 1}, std::vector<double>(keys, 0.3));
        std::vector<double> values;
        for (Index k = 0; k < keys; ++k) values.insert(values.end(), constants.begin(), constants.end());
        p.values = literal({1, 1, keys, columns}, std::move(values));
        for (const std::string_view set : kernels::known_sets()) {
            if (!kernels::is_available(set)) continue;
            kernels::choose(set, "the test");
            for (const bool traced : {false, true}) {
                Request request;
                request.stages = {"context"};
                if (traced) request.stages.emplace_back("weights");
                const Plan plan = make_plan(p, request);
                Recorder r;
                run(plan, r);
                const auto& context = r.stages().find("context")->second.values;
                REQUIRE(context.size() == static_cast<std::size_t>(rows * columns));
                double worst = 0;
                for (std::size_t k = 0; k < context.size(); ++k) {
                    const double exact = static_cast<float>(constants[k % constants.size()]);
                    worst = std::max(worst, worst_ulp({context[k]}, {exact}, 1, DType::float32));
                }
                MESSAGE("equal values, " << rows << " rows, " << std::string(name_of(plan.path)) << ", "
                                         << std::string(set) << ": " << worst << " units");
                CHECK(worst <= 6);
            }
        }
        kernels::choose("auto", "the test");
    }
}

}  // namespace attn::test
