// attention/what/shape/threads: the library as the program calls it, on inputs that PyTorch's generator
// draws.
#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

#include "lib/gradient/computation.hpp"
#include "lib/plan/plan.hpp"
#include "lib/trace/kept.hpp"
#include "tests/bench/machine.hpp"
#include "tests/drawn.hpp"

namespace attn::bench {
namespace {

using test::drawn;

struct Sizes {
    const char* name;
    Index batch, queries, keys, heads, kv_heads, dim;
    bool causal;
    bool module;  ///< also measured with projections
};

constexpr Sizes shapes[] = {
    {"S2_causal", 1, 1024, 1024, 12, 12, 64, true, true},
    {"S3_causal", 1, 4096, 4096, 12, 12, 64, true, true},
    {"S6_causal", 8, 512, 512, 12, 12, 64, true, true},
    {"S2_full", 1, 1024, 1024, 12, 12, 64, false, true},
    {"S3_full", 1, 4096, 4096, 12, 12, 64, false, true},
    {"S4_full", 1, 16384, 16384, 1, 1, 64, false, true},
    {"S5_decode", 1, 1, 32768, 32, 8, 128, false, false},
};

/// Queries, keys and values given.
Problem given(const Sizes& s) {
    Problem p;
    p.variant = "scaled_dot_product";
    p.queries = drawn({s.batch, s.heads, s.queries, s.dim}, 1);
    p.keys = drawn({s.batch, s.kv_heads, s.keys, s.dim}, 2);
    p.values = drawn({s.batch, s.kv_heads, s.keys, s.dim}, 3);
    if (s.causal) p.causal = Causal{Causal::Kind::top_left, {}, false};
    return p;
}

/// Embeddings, projections without biases, an output projection.
Problem whole(const Sizes& s) {
    Problem p;
    p.variant = "multi_head";
    const Index width = s.heads * s.dim;
    p.embeddings = drawn({s.batch, s.queries, width}, 1);
    p.embeddings->pointer = "/embeddings";
    p.num_heads = s.heads;
    p.has_weights = true;
    WeightsInit init;
    init.seed = 2;
    init.d_out = width;
    init.bias = false;
    init.out_proj = true;
    p.init = init;
    if (s.causal) p.causal = Causal{Causal::Kind::top_left, {}, false};
    return p;
}

double useful_flops(const Sizes& s, bool with_projections) {
    const auto d = [](Index n) { return static_cast<double>(n); };
    const double width = d(s.heads) * d(s.dim);
    const double attention = 4 * d(s.batch) * d(s.queries) * d(s.keys) * width * (s.causal ? 0.5 : 1);
    return attention + (with_projections ? 8 * d(s.batch) * d(s.queries) * width * width : 0);
}

enum class What { context, module, trace, gradient, module_gradient };

bool has_projections(What what) { return what != What::context && what != What::gradient; }

/// Two products of scores and contexts, and five on the way back, one for each side of each and scores once
/// more; of projections three where they go forwards and back.
double useful_flops_of_gradients(const Sizes& s, bool with_projections) {
    const double attention = useful_flops(s, false);
    return 3.5 * attention + 3 * (with_projections ? useful_flops(s, true) - attention : 0);
}

void measure(benchmark::State& state, What what, const Sizes& s, int threads) {
    Request request;
    request.threads = threads;
    if (what == What::context) request.stages = {"context"};
    if (what == What::module) request.stages = {"output"};
    Problem problem = has_projections(what) ? whole(s) : given(s);
    const bool backward = what == What::gradient || what == What::module_gradient;
    if (backward) {
        GradientInput& enters = problem.gradient.emplace();
        if (what == What::gradient) {
            enters.context = drawn({s.batch, s.heads, s.queries, s.dim}, 4);
            request.stages = {"d_queries", "d_keys", "d_values"};
        } else {
            enters.output = drawn({s.batch, s.queries, s.heads * s.dim}, 4);
            request.stages = {"d_embeddings", "d_W_query.weight", "d_W_key.weight", "d_W_value.weight",
                              "d_out_proj.weight"};
        }
    }
    const Plan plan = make_plan(std::move(problem), request);
    Computation computation(plan);
    KeptTrace kept;
    computation.run(kept);  // the first run touches its memory for the first time
    for (auto _ : state) computation.run(kept);
    const double flops = backward ? useful_flops_of_gradients(s, what == What::module_gradient)
                                  : useful_flops(s, what != What::context);
    rate(state, "GFLOPS", flops / 1e9);
    if (s.queries == 1) {
        const double bytes = 2.0 * static_cast<double>(s.batch * s.kv_heads * s.keys * s.dim) * 4;
        rate(state, "GBs", bytes / 1e9);
    }
}

void add(const std::string& name, int threads, void (*run)(benchmark::State&, What, const Sizes&, int),
         What what, const Sizes& s) {
    benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(), run, what, s,
                                 threads)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
}

void add_shapes() {
    for (const int threads : {1, 2}) {
        for (const Sizes& s : shapes) {
            add(std::string("context/") + s.name, threads, &measure, What::context, s);
            if (!s.module) continue;
            add(std::string("module/") + s.name, threads, &measure, What::module, s);
            add(std::string("trace/") + s.name, threads, &measure, What::trace, s);
            add(std::string("gradient/") + s.name, threads, &measure, What::gradient, s);
            add(std::string("module_gradient/") + s.name, threads, &measure, What::module_gradient, s);
        }
        // The same work per row at every length, and at every width of a head.
        for (const Index n : {128, 256, 512, 1024, 2048, 4096, 8192, 16384})
            add("sweep/n:" + std::to_string(n), threads, &measure, What::context,
                {"", 1, n, n, 12, 12, 64, true, false});
        for (const Index dim : {32, 64, 80, 96, 128, 256})
            add("dims/d:" + std::to_string(dim), threads, &measure, What::context,
                {"", 1, 2048, 2048, 768 / dim, 768 / dim, dim, true, false});
    }
}

}  // namespace
}  // namespace attn::bench

int main(int count, char** arguments) {
    attn::bench::add_machine();
    attn::bench::add_kernels();
    attn::bench::add_shapes();
    benchmark::Initialize(&count, arguments);
    if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
