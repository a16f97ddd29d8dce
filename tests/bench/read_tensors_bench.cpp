// read/npz, read/safetensors: a file of tensors from memory, checked whole, its numbers copied out as
// float32.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/input/tensor_file.hpp"
#include "lib/render/traces/write_tensors.hpp"
#include "tests/bench/machine.hpp"

namespace attn::bench {
namespace {

class Text : public Output {
  public:
    void write(std::string_view bytes) override { text += bytes; }
    std::string text;
};

void read_tensors(benchmark::State& state, Format format, const char* name) {
    constexpr Index rows = 1024, columns = 768;
    const std::vector<float> numbers(static_cast<std::size_t>(rows * columns), 1.0F / 3);
    FileTensor tensor;
    tensor.name = "embeddings";
    tensor.shape = {rows, columns};
    tensor.numbers = Numbers(numbers);
    const auto file = std::make_shared<Text>();
    write_tensors(format, {tensor}, {}, *file);
    const std::span<const std::byte> bytes = std::as_bytes(std::span(file->text));
    std::vector<float> out(numbers.size());
    for (auto _ : state) {
        const auto opened = read_tensor_file(name, file, bytes);
        opened->take(0).copy(std::span(out));
        benchmark::DoNotOptimize(out.data());
    }
    rate(state, "numbers/s", static_cast<double>(numbers.size()));
    rate(state, "bytes/s", static_cast<double>(bytes.size()));
}

BENCHMARK_CAPTURE(read_tensors, npz, Format::npz, "bench.npz")->Name("read/npz");
BENCHMARK_CAPTURE(read_tensors, safetensors, Format::safetensors, "bench.safetensors")
    ->Name("read/safetensors");

}  // namespace
}  // namespace attn::bench
