// write/npz: how fast a computed trace becomes the bytes of a file, the file left out. The rows of one stage
// are pushed again and again, as a run pushes them.
#include <benchmark/benchmark.h>

#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/render.hpp"
#include "tests/drawn.hpp"

namespace attn::bench {
namespace {

/// Takes bytes anywhere and forgets them.
class Nowhere : public Output {
  public:
    void write(std::string_view bytes) override { benchmark::DoNotOptimize(bytes.data()); }
    bool is_seekable() const override { return true; }
    void write_at(Index, std::string_view bytes) override { benchmark::DoNotOptimize(bytes.data()); }
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
    const Plan plan = make_plan(std::move(problem), request);
    const std::vector<float> numbers(static_cast<std::size_t>(block * tokens), 1.0F / 3);
    Rows rows;
    rows.stage = plan.find(Stage::weights);
    rows.columns = plan.keys_shown.indices;
    rows.data = numbers.data();
    Nowhere nowhere;
    for (auto _ : state) {
        const auto sink = make_sink(format, nowhere, {});
        sink->begin(plan);
        for (rows.row_begin = 0; rows.row_begin < tokens; rows.row_begin += block) {
            rows.row_end = rows.row_begin + block;
            sink->rows(rows);
        }
        sink->end({});
    }
    state.SetItemsProcessed(state.iterations() * tokens * tokens);
    state.SetBytesProcessed(state.iterations() * tokens * tokens * static_cast<Index>(sizeof(float)));
}

BENCHMARK_CAPTURE(write_weights, npz, Format::npz)->Name("write/npz");
BENCHMARK_CAPTURE(write_weights, safetensors, Format::safetensors)->Name("write/safetensors");

}  // namespace
}  // namespace attn::bench
