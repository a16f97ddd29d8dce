// growth/...: how the cost of a run grows with its tokens: of a context, of a window of keys, of gradients,
// and of one row of a stage.
#include <benchmark/benchmark.h>

#include <string>
#include <utility>

#include "lib/gradient/computation.hpp"
#include "lib/plan/plan.hpp"
#include "lib/trace/kept.hpp"
#include "tests/bench/machine.hpp"
#include "tests/drawn.hpp"

namespace attn::bench {
namespace {

using test::drawn;

constexpr Index width = 64, window = 256;

/// Queries, keys and values of one head, causal.
Problem one_head(Index n) {
    Problem p;
    p.variant = "scaled_dot_product";
    p.queries = drawn({1, 1, n, width}, 1);
    p.keys = drawn({1, 1, n, width}, 2);
    p.values = drawn({1, 1, n, width}, 3);
    p.causal = Causal{Causal::Kind::top_left, {}, false};
    return p;
}

void run_all(benchmark::State& state, Problem problem, const Request& request) {
    const Plan plan = make_plan(std::move(problem), request);
    Computation computation(plan);
    KeptTrace kept;
    computation.run(kept);  // the first run touches its memory for the first time
    for (auto _ : state) computation.run(kept);
}

double d(Index n) { return static_cast<double>(n); }

void context(benchmark::State& state) {
    const Index n = state.range(0);
    Request request;
    request.stages = {"context"};
    run_all(state, one_head(n), request);
    rate(state, "GFLOPS", 2 * d(n) * d(n) * d(width) / 1e9);
}

void windowed(benchmark::State& state) {
    const Index n = state.range(0);
    Request request;
    request.stages = {"context"};
    Problem p = one_head(n);
    p.window = Window{window - 1, 0};
    run_all(state, std::move(p), request);
    rate(state, "GFLOPS", 4 * d(n) * d(window) * d(width) / 1e9);
}

void gradient(benchmark::State& state) {
    const Index n = state.range(0);
    Request request;
    request.stages = {"d_queries", "d_keys", "d_values"};
    Problem p = one_head(n);
    p.gradient.emplace().context = drawn({1, 1, n, width}, 4);
    run_all(state, std::move(p), request);
    rate(state, "GFLOPS", 3.5 * 2 * d(n) * d(n) * d(width) / 1e9);
}

/// The last row of a stage, from given queries, keys and values.
void row(benchmark::State& state, const std::string& stage) {
    const Index n = state.range(0);
    Request request;
    request.stages = {stage};
    request.rows = std::to_string(n - 1);
    Problem p = one_head(n);
    if (stage == "d_queries") p.gradient.emplace().context = drawn({1, 1, n, width}, 4);
    run_all(state, std::move(p), request);
    rate(state, "GBs", 2 * d(n) * d(width) * sizeof(float) / 1e9);
}

void sized(benchmark::internal::Benchmark* b) {
    b->ArgName("n")->Arg(4096)->Arg(16384)->Arg(65536)->UseRealTime()->Unit(benchmark::kMillisecond);
}

const bool added = [] {
    sized(benchmark::RegisterBenchmark("growth/context", &context));
    sized(benchmark::RegisterBenchmark("growth/window", &windowed));
    sized(benchmark::RegisterBenchmark("growth/gradient", &gradient));
    for (const char* stage :
         {"scores", "masked_scores", "weights", "lse", "context", "mean_weights", "d_queries"})
        sized(benchmark::RegisterBenchmark(("growth/row/" + std::string(stage)).c_str(),
                                           [stage](benchmark::State& state) { row(state, stage); }));
    return true;
}();

}  // namespace
}  // namespace attn::bench
