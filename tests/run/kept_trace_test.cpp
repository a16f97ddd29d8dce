// Traces that are kept in memory, where workers write.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "lib/gradient/computation.hpp"
#include "lib/trace/kept.hpp"
#include "tests/drawn.hpp"
#include "tests/support.hpp"

namespace attn::test {

TEST_CASE("paths: a trace that is kept has the bits of one that is pushed, past the caches, too") {
    for (const Index n : {Index{70}, Index{2100}}) {
        if (ATTN_SANITIZED && n > 70) continue;  // 70 MB of one path
        const auto problem = [&] {
            Problem p{};
            p.variant.emplace("scaled_dot_product");
            for (auto* t : {&p.queries, &p.keys, &p.values})
                *t = drawn({1, 1, n, 8}, static_cast<std::uint64_t>(n));
            p.causal = Causal{Causal::Kind::top_left, {}, false};
            return p;
        };
        Request request;
        request.threads = 2;
        const Plan plan = make_plan(problem(), request);
        Recorder pushed;
        run(plan, pushed);
        KeptTrace kept;
        Computation(plan).run(kept);
        for (const PlannedStage* s : plan.shown_stages()) {
            const std::vector<double>& values = pushed.stages().find(s->name)->second.values;
            const auto* const found = static_cast<const float*>(kept.data(s->stage));
            CHECK_MESSAGE(std::equal(values.begin(), values.end(), found,
                                     [](double x, float y) { return x == static_cast<double>(y); }),
                          s->name);
        }
    }
}

}  // namespace attn::test
