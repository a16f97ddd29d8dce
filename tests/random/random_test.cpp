#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/kernels/dispatch.hpp"
#include "lib/random/torch.hpp"

#ifndef ATTN_TEST_DATA
#define ATTN_TEST_DATA "tests/data"
#endif

using namespace attn::torch;

namespace {

using Tensors = std::map<std::string, std::vector<std::uint32_t>>;

std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
    std::vector<std::uint32_t> bits;
    for (const float x : values) bits.push_back(std::bit_cast<std::uint32_t>(x));
    return bits;
}

std::uint64_t fnv_1a(const std::vector<std::uint32_t>& words) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const auto word : words) hash = (hash ^ word) * 0x100000001b3U;
    return hash;
}
/// torch.randn(16384) of seed 42, drawn in Python's Fraction.
constexpr std::uint64_t hash_of_42 = 0x085f72fab7647eecU;

/// The numbers in "5, 7".
std::vector<std::int64_t> integers(const std::string& text) {
    std::vector<std::int64_t> found;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) found.push_back(std::stoll(part));
    return found;
}

std::size_t elements(const std::string& shape) {
    std::size_t count = 1;
    for (const auto axis : integers(shape)) count *= static_cast<std::size_t>(axis);
    return count;
}

/// The parts of `text` that stand for each @ of `pattern`; none where the text is not of this form.
std::vector<std::string> match(const std::string& text, const std::string& pattern) {
    std::vector<std::string> parts;
    std::size_t at = 0;
    std::istringstream stream(pattern);
    for (std::string literal; std::getline(stream, literal, '@');) {
        const std::size_t found = text.find(literal, at);
        if (found == std::string::npos || (at == 0 && found != 0)) return {};
        if (at != 0) parts.push_back(text.substr(at, found - at));
        at = found + literal.size();
    }
    if (at != text.size()) return {};
    return parts;
}

/// Runs the Python lines of a golden with this library in PyTorch's place; throws on a line it does not know.
class Interpreter {
  public:
    void line(const std::string& text) {
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = std::min(text.find("; ", begin), text.size());
            const std::string statement = text.substr(begin, end - begin);
            if (statement.compare(1, 3, " = ") == 0)
                evaluate(statement.substr(4), statement.substr(0, 1));
            else
                evaluate(statement, "value");
            begin = end + 2;
        }
    }

    Tensors tensors;

  private:
    void evaluate(const std::string& code, const std::string& name) {
        std::vector<std::string> m;
        const auto is = [&](const char* pattern) { return !(m = match(code, pattern)).empty(); };
        if (is("torch.manual_seed(@)")) {
            seed = std::stoull(m[0]);
            generator = Generator(seed);
        } else if (is("torch.rand(@)")) {
            std::vector<float> out(elements(m[0]));
            uniform(generator, out, 0, 1);
            add(name, out);
        } else if (is("torch.randn(@)")) {
            std::vector<float> out(elements(m[0]));
            normal(generator, out);
            add(name, out);
        } else if (is("torch.empty(@).normal_(@, @)")) {
            std::vector<float> out(elements(m[0]));
            normal(generator, out, std::stod(m[1]), std::stod(m[2]));
            add(name, out);
        } else if (is("nn.Linear(@, @, bias=True)")) {
            std::vector<float> weight(elements(m[0]) * elements(m[1]));
            std::vector<float> bias(elements(m[1]));
            linear(generator, std::stoll(m[0]), weight, bias);
            add("weight", weight);
            add("bias", bias);
        } else if (is("nn.Embedding(@)")) {
            std::vector<float> out(elements(m[0]));
            embedding(generator, out);
            add(name, out);
        } else if (is("nn.Dropout(@)(torch.ones(@))")) {
            Dropout dropout(DropoutGenerator::torch, seed, std::stod(m[0]));
            std::vector<float> out(elements(m[1]));
            for (float& x : out) x = dropout.keep() ? dropout.factor_float() : 0.0F;
            add(name, out);
        } else if (is("nn.MultiheadAttention(@, @, **{@})")) {
            const bool bias = m[2] != "'bias': False";
            const bool add_bias_kv = m[2] == "'add_bias_kv': True";
            if (!m[2].empty() && bias && !add_bias_kv) throw std::runtime_error("unknown options: " + m[2]);
            const auto embed = std::stoll(m[0]);
            const auto w = multihead(generator, embed, bias, add_bias_kv, embed, embed);
            add("in_proj_weight", w.in_proj_weight);
            add("q_proj_weight", w.q_proj_weight);
            add("k_proj_weight", w.k_proj_weight);
            add("v_proj_weight", w.v_proj_weight);
            add("in_proj_bias", w.in_proj_bias);
            add("out_proj.weight", w.out_proj_weight);
            add("out_proj.bias", w.out_proj_bias);
            add("bias_k", w.bias_k);
            add("bias_v", w.bias_v);
        } else {
            throw std::runtime_error("unknown code: " + code);
        }
    }

    void add(const std::string& name, const std::vector<float>& values) {
        if (!values.empty()) tensors[name] = bits_of(values);
    }

    std::uint64_t seed = 0;
    Generator generator{0};
};

std::string kept(Dropout dropout, int n) {
    std::string mask;
    for (int i = 0; i < n; ++i) mask += dropout.keep() ? '1' : '0';
    return mask;
}

}  // namespace

TEST_CASE("PyTorch's own numbers, bit for bit") {
    std::ifstream file(std::string(ATTN_TEST_DATA) + "/rng/torch_cpu_rng.json");
    REQUIRE(file);
    const auto goldens = nlohmann::json::parse(file);
    CHECK(goldens.at("cases").size() == 21);
    for (const auto& golden : goldens.at("cases")) {
        const auto name = golden.at("name").get<std::string>();
        CAPTURE(name);
        Interpreter python;
        for (const auto& line : golden.at("code")) CHECK_NOTHROW(python.line(line.get<std::string>()));
        Tensors expected;
        for (const auto& [tensor, value] : golden.at("tensors").items())
            for (const auto& hex : value.at("float32_hex"))
                expected[tensor].push_back(
                    static_cast<std::uint32_t>(std::stoul(hex.get<std::string>(), nullptr, 16)));
        CHECK(python.tensors.size() == expected.size());
        for (const auto& tensor : expected) {
            CAPTURE(tensor.first);
            CHECK(python.tensors[tensor.first] == tensor.second);
        }
    }
}

TEST_CASE("PyTorch's own numbers in float64, bit for bit, several draws from one generator") {
    std::ifstream file(std::string(ATTN_TEST_DATA) + "/rng/torch_cpu_float64.json");
    REQUIRE(file);
    const auto goldens = nlohmann::json::parse(file);
    CHECK(goldens.at("cases").size() == 9);
    for (const auto& golden : goldens.at("cases")) {
        Generator generator(golden.at("seed").get<std::uint64_t>());
        for (const auto& step : golden.at("steps")) {
            const auto kind = step.at("draw").get<std::string>();
            const auto sizes = step.at("sizes").get<std::vector<std::int64_t>>();
            const auto hex = step.at("hex").get<std::vector<std::string>>();
            CAPTURE(golden.at("seed").get<int>());
            CAPTURE(kind);
            CAPTURE(sizes);
            std::vector<double> out(hex.size());
            std::vector<float> singles(kind == "randn32" ? hex.size() : 0);
            if (kind == "rand") {
                uniform(generator, out, 0, 1);
            } else if (kind == "randn" || kind == "embedding") {
                normal(generator, out);
            } else if (kind == "randn32") {
                normal(generator, singles);
            } else if (kind == "linear") {
                const auto weight = static_cast<std::size_t>(sizes[0] * sizes[1]);
                linear(generator, sizes[0], std::span(out).first(weight), std::span(out).subspan(weight));
            } else {
                REQUIRE(kind == "multihead");
                const auto w = multihead<double>(generator, sizes[0], true, true, sizes[0], sizes[0]);
                out.clear();
                for (const auto* part : {&w.in_proj_weight, &w.in_proj_bias, &w.out_proj_weight,
                                         &w.out_proj_bias, &w.bias_k, &w.bias_v})
                    out.insert(out.end(), part->begin(), part->end());
            }
            std::vector<std::uint64_t> bits, expected;
            for (const double x : out) bits.push_back(std::bit_cast<std::uint64_t>(x));
            if (!singles.empty()) {
                const auto words = bits_of(singles);
                bits.assign(words.begin(), words.end());
            }
            for (const auto& h : hex) expected.push_back(std::stoull(h, nullptr, 16));
            CHECK(bits == expected);
        }
    }
}

TEST_CASE("a line of Python that the interpreter does not know is no golden") {
    Interpreter python;
    CHECK_THROWS(python.line("torch.randperm(4)"));
    CHECK_THROWS(python.line("nn.MultiheadAttention(4, 2, **{'kdim': 3})"));
}

TEST_CASE("the engine is the standard's: its 10000th word for the default seed, ISO C++ [rand.predef]") {
    Generator generator(5489);
    generator.discard(9999);
    CHECK(generator.r32() == 4123659995U);
}

TEST_CASE("only the low 32 bits of a seed count") {
    constexpr std::uint64_t two_32 = std::uint64_t{1} << 32U;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{5}, two_32 - 1}) {
        Generator a(seed);
        Generator b(seed + two_32);
        Generator c(seed - two_32);
        for (int i = 0; i < 700; ++i) {
            const auto word = a.r32();
            CHECK(word == b.r32());
            CHECK(word == c.r32());
        }
        for (const auto kind : {DropoutGenerator::torch, DropoutGenerator::torch_mkl})
            CHECK(kept(Dropout(kind, seed, 0.5), 50) == kept(Dropout(kind, seed + two_32, 0.5), 50));
    }
}

TEST_CASE("words of 64 bits start with the high half") {
    Generator a(1);
    Generator b(1);
    const std::uint64_t high = a.r32();
    CHECK(b.r64() == ((high << 32U) | a.r32()));
}

TEST_CASE("the polynomials of long draws, each operation rounded from exact fractions") {
    Generator generator(42);
    std::vector<float> out(16384);
    normal(generator, out);
    CHECK(fnv_1a(bits_of(out)) == hash_of_42);
}

TEST_CASE("every instruction set draws the same bits") {
    using attn::kernels::choose;
    for (const auto& name : attn::kernels::known_sets()) {
        if (!attn::kernels::is_available(name)) continue;
        CAPTURE(name);
        choose(name, "--kernels");
        Generator ours(42), drawn(42);
        std::mt19937 standard(42);
        const auto as_standard = [&standard](const std::vector<std::uint32_t>& words) {
            return std::all_of(words.begin(), words.end(), [&](std::uint32_t w) { return w == standard(); });
        };
        for (const std::size_t n : {1U, 623U, 624U, 625U, 1U, 3000U, 1247U}) {
            std::vector<std::uint32_t> words(n);
            ours.fill(words);
            CHECK(as_standard(words));
            ours.discard(n);
            standard.discard(n);
        }
        std::vector<float> numbers(16384);
        normal(drawn, numbers);
        CHECK(fnv_1a(bits_of(numbers)) == hash_of_42);
        standard.seed(7);
        Generator again(7);
        std::vector<float> scaled(1001);
        uniform(again, scaled, -0.3, 0.9);
        const float low = -0.3F, step = 0.9F - low;
        for (const float x : scaled)
            CHECK(x == std::fma(static_cast<float>(standard() & 0xffffffU) * 0x1p-24F, step, low));
        // A mean and a deviation, and an odd number of blocks: each number by itself, from standard ones.
        Generator plain(3), shifted(3);
        std::vector<float> z(48), y(48);
        normal(plain, z);
        normal(shifted, y, 2, 0.5);
        for (std::size_t k = 0; k < z.size(); ++k) CHECK(y[k] == std::fma(z[k], 0.5F, 2.0F));
    }
    choose("auto", "--kernels");
}

TEST_CASE("uniform numbers stay within their bounds and do not depend on how they are asked for") {
    Generator whole(9);
    Generator parts(9);
    std::vector<float> a(1000);
    std::vector<float> b(1000);
    uniform(whole, a, -0.25, 0.5);
    uniform(parts, std::span(b).first(17), -0.25, 0.5);
    uniform(parts, std::span(b).subspan(17), -0.25, 0.5);
    CHECK(bits_of(a) == bits_of(b));
    for (const float x : a) {
        CHECK(x >= -0.25F);
        CHECK(x < 0.5F);
    }
}

TEST_CASE("nn.MultiheadAttention with keys of another width draws three Xavier matrices in order") {
    constexpr std::int64_t embed = 4;
    constexpr std::int64_t kdim = 3;
    constexpr std::int64_t vdim = 6;
    Generator ours(11);
    const auto w = multihead(ours, embed, true, true, kdim, vdim);
    CHECK(w.in_proj_weight.empty());

    Generator by_hand(11);
    std::vector<float> weight(embed * embed);
    std::vector<float> bias(embed);
    linear(by_hand, embed, weight, bias);
    CHECK(bits_of(w.out_proj_weight) == bits_of(weight));
    // sqrt(6 / (fan_in + fan_out)) within a rounding of the float that the bound becomes
    const auto xavier = [&by_hand](std::int64_t fan_in) {
        std::vector<float> drawn(static_cast<std::size_t>(embed * fan_in));
        const double bound = std::sqrt(3.0) * std::sqrt(2.0 / static_cast<double>(embed + fan_in));
        uniform(by_hand, drawn, -bound, bound);
        return bits_of(drawn);
    };
    CHECK(bits_of(w.q_proj_weight) == xavier(embed));
    CHECK(bits_of(w.k_proj_weight) == xavier(kdim));
    CHECK(bits_of(w.v_proj_weight) == xavier(vdim));
    std::vector<float> row(embed);
    for (const auto& drawn : {w.bias_k, w.bias_v}) {
        normal(by_hand, row, 0, 0.5);
        CHECK(bits_of(drawn) == bits_of(row));
    }
    CHECK(bits_of(w.in_proj_bias) == std::vector<std::uint32_t>(3 * embed, 0));
    CHECK(bits_of(w.out_proj_bias) == std::vector<std::uint32_t>(embed, 0));
    CHECK(ours.r32() == by_hand.r32());
}

TEST_CASE("MKL's dropout masks") {
    // x0 = (first word of the seed) mod (2^31 - 1), x' = 1132489760 x mod (2^31 - 1), kept where x / (2^31 -
    // 1) < 0.5: worked out in integers of any size. The first is also the mask printed in the book and its
    // notebook.
    CHECK(kept(Dropout(DropoutGenerator::torch_mkl, 123, 0.5), 36) == "111111010000001010110001100001010000");
    CHECK(kept(Dropout(DropoutGenerator::torch_mkl, 789, 0.5), 36) == "011011001001111101011101001000110010");
    CHECK(kept(Dropout(DropoutGenerator::torch_mkl, 0, 0.5), 36) == "100110011110011101000011111000010110");
    Dropout far(DropoutGenerator::torch_mkl, 123, 0.5);
    far.skip(1'000'000'000'000);
    CHECK(kept(far, 24) == "101011101001011110001011");
}

TEST_CASE("skipping n elements is drawing n") {
    for (const auto kind : {DropoutGenerator::torch, DropoutGenerator::torch_mkl})
        for (const double p : {0.0, 0.1, 0.5, 0.9, 1.0})
            for (const std::uint64_t n : {0U, 1U, 2U, 35U, 311U, 312U, 313U, 799U, 800U, 5000U}) {
                CAPTURE(p);
                CAPTURE(n);
                Dropout drawn(kind, 42, p);
                Dropout skipped(kind, 42, p);
                Dropout in_two(kind, 42, p);
                for (std::uint64_t i = 0; i < n; ++i) drawn.keep();
                skipped.skip(n);
                in_two.skip(n / 3);
                in_two.skip(n - n / 3);
                const auto mask = kept(drawn, 100);
                CHECK(kept(skipped, 100) == mask);
                CHECK(kept(in_two, 100) == mask);
            }
}

TEST_CASE("dropout of nothing, of everything and of the impossible") {
    for (const auto kind : {DropoutGenerator::torch, DropoutGenerator::torch_mkl}) {
        const Dropout none(kind, 1, 0.0);
        CHECK(kept(none, 50) == std::string(50, '1'));
        CHECK(none.factor_float() == 1.0F);
        CHECK(none.factor_double() == 1.0);
        const Dropout all(kind, 1, 1.0);
        CHECK(kept(all, 50) == std::string(50, '0'));
        CHECK(all.factor_float() == 0.0F);
        CHECK(all.factor_double() == 0.0);
        for (const double p : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
            CHECK_THROWS_AS(Dropout(kind, 1, p), std::invalid_argument);
    }
}

TEST_CASE("the share that is kept is 1 - p, and the factor its inverse in each arithmetic") {
    for (const auto kind : {DropoutGenerator::torch, DropoutGenerator::torch_mkl}) {
        const Dropout dropout(kind, 7, 0.1);
        const auto mask = kept(dropout, 100'000);
        const auto share = static_cast<double>(std::count(mask.begin(), mask.end(), '1')) / 100'000;
        CHECK(share == doctest::Approx(0.9).epsilon(0.01));
        CHECK(dropout.factor_float() == 1.0F / 0.9F);
        CHECK(dropout.factor_double() == 1.0 / 0.9);
    }
}
