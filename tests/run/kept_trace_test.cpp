// Traces that are kept in memory, where workers write.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/gradient/computation.hpp"
#include "lib/trace/kept.hpp"
#include "tests/drawn.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

struct Kept {
    Index keys;
    std::optional<Index> window;
    Index causal_offset;
    std::optional<double> scale;
    EmptyRows empty_rows;
    DType dtype = DType::float32;
    Index dim = 8;
};

Problem kept_problem(const Kept& c) {
    Problem p{};
    p.variant.emplace("scaled_dot_product");
    for (auto* t : {&p.queries, &p.keys, &p.values})
        *t = drawn({1, 1, c.keys, c.dim}, static_cast<std::uint64_t>(c.keys));
    p.causal = Causal{Causal::Kind::offset, {c.causal_offset}, false};
    if (c.window) p.window = Window{c.window, 0};
    p.scale = c.scale;
    p.empty_rows = c.empty_rows;
    p.dtype = c.dtype;
    return p;
}

}  // namespace

TEST_CASE("paths: a trace that is kept has the bits of one that is pushed, past the caches, too") {
    // Of more than 70 keys the four stages of queries x keys take 70 MB; 2112 fill vectors, 2100 do not.
    const std::vector<Kept> cases{{70, {}, 0, {}, EmptyRows::zero},
                                  {2100, {}, 0, {}, EmptyRows::zero},
                                  {2112, {}, 0, {}, EmptyRows::zero},
                                  {2112, 100, 0, {}, EmptyRows::zero},
                                  {2112, {}, 0, 3e38, EmptyRows::zero},  // to infinity
                                  {2112, {}, -3, {}, EmptyRows::nan},
                                  {2112, {}, -3, {}, EmptyRows::uniform},
                                  {2112, {}, 0, {}, EmptyRows::zero, DType::bfloat16},
                                  // queries, keys and values that all workers place
                                  {300, {}, 0, {}, EmptyRows::zero, DType::float32, 250}};
    for (const Kept& c : cases) {
        if (ATTN_SANITIZED && c.keys > 300) continue;
        Request request;
        request.threads = 2;
        const Plan plan = make_plan(kept_problem(c), request);
        Recorder pushed;
        run(plan, pushed);
        KeptTrace kept;
        const std::vector<std::string> warnings = Computation(plan).run(kept);
        for (const PlannedStage* s : plan.shown_stages()) {
            const std::vector<double>& values = pushed.stages().find(s->name)->second.values;
            const auto* const found = static_cast<const float*>(kept.data(s->stage));
            CHECK_MESSAGE(std::equal(values.begin(), values.end(), found,
                                     [](double x, float y) {
                                         return x == static_cast<double>(y) ||
                                                (std::isnan(x) && std::isnan(y));
                                     }),
                          s->name << " of " << c.keys);
        }
        for (const std::string& w : warnings)
            CHECK_MESSAGE(std::count(pushed.warnings().begin(), pushed.warnings().end(), w) == 1, w);
        CHECK(warnings.empty() == (!c.scale && c.causal_offset == 0));
    }
}

}  // namespace attn::test
