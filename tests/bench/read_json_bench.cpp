// read/json/...: documents of numbers as attn-calc reads them, every check included, from memory.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <random>
#include <string>

#include "lib/input/problem.hpp"
#include "lib/input/value.hpp"
#include "tests/bench/machine.hpp"

namespace attn::bench {
namespace {

constexpr int rows = 1024, columns = 768;

/// One matrix of numbers as printf writes them, in rows as json.dump separates them.
std::string document(const char* format, const char* dtype) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(-1, 1);
    std::string text = std::string("{\"dtype\": \"") + dtype + "\", \"embeddings\": [";
    std::array<char, 40> number{};
    for (int i = 0; i < rows; ++i) {
        text += i > 0 ? ",\n  [" : "\n  [";
        for (int j = 0; j < columns; ++j) {
            std::snprintf(number.data(), number.size(), format, uniform(random));
            text += (j > 0 ? ", " : "") + std::string(number.data());
        }
        text += "]";
    }
    return text + "]}";
}

void read_json(benchmark::State& state, const char* format, const char* dtype) {
    const Source source("bench.json", document(format, dtype));
    for (auto _ : state) {
        const auto documents = parse_documents(source);
        benchmark::DoNotOptimize(read_problem(documents[0].root));
    }
    rate(state, "numbers/s", double{rows} * columns);
    rate(state, "bytes/s", static_cast<double>(source.text.size()));
}

const auto* const digits4 = benchmark::RegisterBenchmark("read/json/4_digits", read_json, "%.4f", "float32");
const auto* const digits9 = benchmark::RegisterBenchmark("read/json/9_digits", read_json, "%.9g", "float32");
const auto* const digits17 =
    benchmark::RegisterBenchmark("read/json/17_digits", read_json, "%.17g", "float32");
const auto* const doubles =
    benchmark::RegisterBenchmark("read/json/17_digits/float64", read_json, "%.17g", "float64");

}  // namespace
}  // namespace attn::bench
