// number/shortest, number/fixed: numbers a second on one core, into a text that is kept.
#include <benchmark/benchmark.h>

#include <charconv>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "lib/render/numbers/number.hpp"
#include "tests/bench/machine.hpp"

namespace attn::bench {
namespace {

/// Writes 65 536 numbers of a normal distribution again and again.
template <class F>
void write_numbers(benchmark::State& state, F&& write) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(1 << 16);
    for (float& x : numbers) x = normal(random);
    std::string text;
    for (auto _ : state) {
        text.clear();
        write(text, std::span<const float>(numbers));
        benchmark::DoNotOptimize(text.data());
    }
    rate(state, "numbers/s", static_cast<double>(numbers.size()));
}

void shortest(std::string& text, std::span<const float> all) {
    append_numbers(text, all, ", ", NonFinite::string);
}
void shortest_by_the_library(std::string& text, std::span<const float> all) {
    for (const float x : all) {
        char digits[32];
        text.append(digits, std::to_chars(digits, digits + sizeof digits, x).ptr).append(", ");
    }
}
void fixed(std::string& text, std::span<const float> all) {
    static const std::vector<double> wide(all.begin(), all.end());  // as the tables of text hold them
    static std::vector<std::size_t> ends;
    ends.clear();
    append_fixed(text, wide, 4, false, ends);
}
void fixed_by_the_library(std::string& text, std::span<const float> all) {
    for (const float x : all) {
        char digits[64];
        const auto form = std::chars_format::fixed;
        text.append(digits, std::to_chars(digits, digits + sizeof digits, double{x}, form, 4).ptr);
    }
}

BENCHMARK_CAPTURE(write_numbers, shortest, shortest)->Name("number/shortest");
BENCHMARK_CAPTURE(write_numbers, to_chars, shortest_by_the_library)->Name("number/shortest/to_chars");
BENCHMARK_CAPTURE(write_numbers, fixed, fixed)->Name("number/fixed");
BENCHMARK_CAPTURE(write_numbers, fixed_to_chars, fixed_by_the_library)->Name("number/fixed/to_chars");

}  // namespace
}  // namespace attn::bench
