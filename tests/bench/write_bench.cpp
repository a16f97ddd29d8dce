// write/FORMAT: how fast a computed trace becomes the bytes of a file, the file left out. The rows of one
// stage are pushed again and again, as a run pushes them.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/render.hpp"
#include "tests/bench/machine.hpp"
#include "tests/drawn.hpp"

namespace attn::bench {
namespace {

/// Takes bytes anywhere and forgets them.
class Nowhere : public Output {
  public:
    void write(std::string_view bytes) override {
        written += static_cast<double>(bytes.size());
        benchmark::DoNotOptimize(bytes.data());
    }
    bool is_seekable() const override { return true; }
    void write_at(Index, std::string_view bytes) override { write(bytes); }
    double written = 0;
};

void write_weights(benchmark::State& state, Format format) {
    constexpr Index tokens = 2048, block = 64;
    Problem problem;
    problem.variant = "scaled_dot_product";
    problem.queries = test::drawn({1, 1, tokens, 64}, 1);
    problem.keys = test::drawn({1, 1, tokens, 64}, 2);
    problem.values = test::drawn({1, 1, tokens, 64}, 3);
    Request request;
    request.stages = {"weights"};
    request.rows = request.cols = "0:2048";  // or text leaves most of them out
    const Plan plan = make_plan(std::move(problem), request);
    // As the weights of a softmax are: shortest texts of every length. Some above 1e-3: text has no
    // exponents.
    std::vector<float> numbers(static_cast<std::size_t>(block * tokens));
    std::mt19937_64 random(1);
    std::uniform_real_distribution<float> uniform(0, 4.0F / tokens);
    for (float& x : numbers) x = uniform(random);
    Rows rows;
    rows.stage = plan.find(Stage::weights);
    rows.columns = plan.keys_shown.indices;
    rows.data = numbers.data();
    Nowhere nowhere;
    RenderOptions options;
    options.width = 1 << 20;
    for (auto _ : state) {
        const auto sink = make_sink(format, nowhere, options);
        sink->begin(plan);
        sink->begin_stage(plan, *rows.stage);
        for (rows.row_begin = 0; rows.row_begin < tokens; rows.row_begin += block) {
            rows.row_end = rows.row_begin + block;
            sink->rows(rows);
        }
        sink->end_stage(*rows.stage);
        sink->end({});
    }
    rate(state, "numbers/s", static_cast<double>(tokens * tokens));
    state.counters["bytes/s"] = benchmark::Counter(nowhere.written, benchmark::Counter::kIsRate);
}

BENCHMARK_CAPTURE(write_weights, json, Format::json)->Name("write/json")->UseRealTime();
BENCHMARK_CAPTURE(write_weights, text, Format::text)->Name("write/text")->UseRealTime();
BENCHMARK_CAPTURE(write_weights, csv, Format::csv)->Name("write/csv")->UseRealTime();
BENCHMARK_CAPTURE(write_weights, ndjson, Format::ndjson)->Name("write/ndjson")->UseRealTime();
BENCHMARK_CAPTURE(write_weights, npz, Format::npz)->Name("write/npz");
BENCHMARK_CAPTURE(write_weights, safetensors, Format::safetensors)->Name("write/safetensors");

}  // namespace
}  // namespace attn::bench
