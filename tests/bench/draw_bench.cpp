// draw/rand, draw/randn: PyTorch's random numbers a second on one core.
#include <benchmark/benchmark.h>

#include <vector>

#include "lib/random/torch.hpp"
#include "tests/bench/machine.hpp"

namespace attn::bench {
namespace {

template <class F>
void draw(benchmark::State& state, F&& f) {
    torch::Generator generator(1);
    std::vector<float> numbers(1 << 20);
    for (auto _ : state) {
        f(generator, numbers);
        benchmark::DoNotOptimize(numbers.data());
    }
    rate(state, "numbers/s", static_cast<double>(numbers.size()));
}

void rand(torch::Generator& generator, std::vector<float>& out) { torch::uniform(generator, out, 0, 1); }
void randn(torch::Generator& generator, std::vector<float>& out) { torch::normal(generator, out); }

BENCHMARK_CAPTURE(draw, rand, rand)->Name("draw/rand");
BENCHMARK_CAPTURE(draw, randn, randn)->Name("draw/randn");

}  // namespace
}  // namespace attn::bench
