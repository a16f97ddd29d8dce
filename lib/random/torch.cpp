#include "lib/random/torch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

#include "lib/kernels/kernels.hpp"

namespace attn::torch {
namespace {

constexpr auto block = static_cast<std::size_t>(kernels::normal_block);
constexpr auto of_a_twist = static_cast<std::size_t>(kernels::twister_words);
/// Words that are drawn before numbers are made of them: they stay in the first cache.
constexpr std::size_t drawn_together = 4 * of_a_twist;

const kernels::DrawTable& kernel() { return kernels::table<float>().draw; }

std::size_t area(std::int64_t rows, std::int64_t columns) { return static_cast<std::size_t>(rows * columns); }

/// Turns 16 uniforms into 16 normals: element j and element j + 8 are a Box-Muller pair, with libm's
/// functions (native/cpu/DistributionTemplates.h normal_fill_16).
void uniform_to_normal(std::span<double, block> values, double mean, double std) {
    for (std::size_t j = 0; j < block / 2; ++j) {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - values[j]));
        const double angle = 2.0 * std::numbers::pi * values[j + block / 2];
        values[j] = std::fma(radius * std::cos(angle), std, mean);
        values[j + block / 2] = std::fma(radius * std::sin(angle), std, mean);
    }
}

/// Calls f(words, numbers) with the words of some numbers of `out` at a time.
template <class F>
void by_words(Generator& generator, std::span<float> out, F&& f) {
    std::vector<std::uint32_t> words(std::min(out.size(), drawn_together));
    for (std::size_t from = 0; from < out.size(); from += drawn_together) {
        const std::size_t count = std::min(drawn_together, out.size() - from);
        generator.fill(std::span(words).first(count));
        f(words.data(), out.subspan(from, count));
    }
}

void draw_uniform(Generator& generator, std::span<float> out, double from, double to) {
    const auto low = static_cast<float>(from);
    const float step = static_cast<float>(to) - low;
    by_words(generator, out, [&](const std::uint32_t* words, std::span<float> part) {
        kernel().uniform(words, part.data(), static_cast<kernels::Index>(part.size()), low, step);
    });
}

void draw_uniform(Generator& generator, std::span<double> out, double from, double to) {
    for (double& x : out) x = std::fma(generator.u53(), to - from, from);
}

void draw_blocks(Generator& generator, std::span<float> out, double mean, double std) {
    by_words(generator, out, [&](const std::uint32_t* words, std::span<float> part) {
        kernel().uniform(words, part.data(), static_cast<kernels::Index>(part.size()), 0, 1);
        kernel().normal(part.data(), static_cast<kernels::Index>(part.size() / block),
                        static_cast<float>(mean), static_cast<float>(std));
    });
}

void draw_blocks(Generator& generator, std::span<double> out, double mean, double std) {
    for (double& x : out) x = generator.u53();
    for (std::size_t i = 0; i + block <= out.size(); i += block)
        uniform_to_normal(out.subspan(i).first<block>(), mean, std);
}

template <class T>
void draw_normal(Generator& generator, std::span<T> out, double mean, double std) {
    if (out.size() < block) {
        // Fused or not is the same but for a double in 2^29; fused, no compiler has a choice.
        for (T& x : out) x = static_cast<T>(std::fma(generator.normal53(), std, mean));
        return;
    }
    draw_blocks(generator, out, mean, std);
    // PyTorch draws the last 16 anew, over the end of the block before.
    if (out.size() % block != 0) draw_blocks(generator, out.template last<block>(), mean, std);
}

template <class T>
void draw_linear(Generator& generator, std::int64_t d_in, std::span<T> weight, std::span<T> bias) {
    // kaiming_uniform_'s gain for the slope sqrt(5): sqrt(2 / (1 + sqrt(5)^2)) in double.
    constexpr double gain = 0.5773502691896257;
    if (d_in <= 0) {
        uniform(generator, bias, 0, 0);
        return;
    }
    const double root = std::sqrt(static_cast<double>(d_in));
    const double bound = std::sqrt(3.0) * (gain / root);
    uniform(generator, weight, -bound, bound);
    uniform(generator, bias, -1.0 / root, 1.0 / root);
}

template <class T>
std::vector<T> xavier_uniform(Generator& generator, std::int64_t rows, std::int64_t columns) {
    std::vector<T> weight(area(rows, columns));
    const double bound = std::sqrt(3.0) * std::sqrt(2.0 / static_cast<double>(rows + columns));
    uniform(generator, std::span<T>(weight), -bound, bound);
    return weight;
}

}  // namespace

Generator::Generator(std::uint64_t seed) : state(of_a_twist), words(of_a_twist), next(of_a_twist) {
    // std::mt19937's, Knuth's linear congruential generator (Matsumoto and Nishimura 2002).
    state[0] = static_cast<std::uint32_t>(seed);
    for (std::uint32_t k = 1; k < of_a_twist; ++k)
        state[k] = 1812433253U * (state[k - 1] ^ (state[k - 1] >> 30U)) + k;
}

void Generator::refill() {
    kernel().twist(state.data());
    kernel().temper(state.data(), words.data());
    next = 0;
}

void Generator::fill(std::span<std::uint32_t> out) {
    while (!out.empty()) {
        if (next == words.size() && out.size() >= words.size()) {
            kernel().twist(state.data());
            kernel().temper(state.data(), out.data());
            out = out.subspan(words.size());
            continue;
        }
        if (next == words.size()) refill();
        const std::size_t count = std::min(out.size(), words.size() - next);
        std::copy_n(words.begin() + static_cast<std::ptrdiff_t>(next), count, out.begin());
        next += count;
        out = out.subspan(count);
    }
}

void Generator::discard(std::uint64_t count) {
    const std::uint64_t there = std::min<std::uint64_t>(count, words.size() - next);
    next += there;
    count -= there;
    if (count == 0) return;
    for (; count > words.size(); count -= words.size()) kernel().twist(state.data());
    refill();
    next = count;
}

std::uint64_t Generator::r64() {
    const std::uint64_t high = r32();
    return (high << 32U) | r32();
}

double Generator::normal53() {
    if (next_normal) return *std::exchange(next_normal, std::nullopt);
    const double u1 = u53();
    const double u2 = u53();
    const double radius = std::sqrt(-2.0 * std::log1p(-u2));
    const double angle = 2.0 * std::numbers::pi * u1;
    next_normal = radius * std::sin(angle);
    return radius * std::cos(angle);
}

void uniform(Generator& generator, std::span<float> out, double from, double to) {
    draw_uniform(generator, out, from, to);
}
void uniform(Generator& generator, std::span<double> out, double from, double to) {
    draw_uniform(generator, out, from, to);
}

void normal(Generator& generator, std::span<float> out, double mean, double std) {
    draw_normal(generator, out, mean, std);
}
void normal(Generator& generator, std::span<double> out, double mean, double std) {
    draw_normal(generator, out, mean, std);
}

void linear(Generator& generator, std::int64_t d_in, std::span<float> weight, std::span<float> bias) {
    draw_linear(generator, d_in, weight, bias);
}
void linear(Generator& generator, std::int64_t d_in, std::span<double> weight, std::span<double> bias) {
    draw_linear(generator, d_in, weight, bias);
}

void embedding(Generator& generator, std::span<float> weight) { normal(generator, weight); }
void embedding(Generator& generator, std::span<double> weight) { normal(generator, weight); }

template <class T>
MultiheadWeights<T> multihead(Generator& generator, std::int64_t embed, bool bias, bool add_bias_kv,
                              std::int64_t kdim, std::int64_t vdim) {
    MultiheadWeights<T> w;
    w.out_proj_weight.resize(area(embed, embed));
    w.out_proj_bias.resize(bias ? area(1, embed) : 0);
    linear(generator, embed, std::span<T>(w.out_proj_weight), std::span<T>(w.out_proj_bias));
    w.out_proj_bias.assign(w.out_proj_bias.size(), T{0});
    if (kdim == embed && vdim == embed) {
        w.in_proj_weight = xavier_uniform<T>(generator, 3 * embed, embed);
    } else {
        w.q_proj_weight = xavier_uniform<T>(generator, embed, embed);
        w.k_proj_weight = xavier_uniform<T>(generator, embed, kdim);
        w.v_proj_weight = xavier_uniform<T>(generator, embed, vdim);
    }
    w.in_proj_bias.resize(bias ? area(3, embed) : 0);
    if (add_bias_kv) {
        const double std = std::sqrt(2.0 / static_cast<double>(2 * embed));
        for (auto* row : {&w.bias_k, &w.bias_v}) {
            row->resize(area(1, embed));
            normal(generator, std::span<T>(*row), 0, std);
        }
    }
    return w;
}

template MultiheadWeights<float> multihead(Generator&, std::int64_t, bool, bool, std::int64_t, std::int64_t);
template MultiheadWeights<double> multihead(Generator&, std::int64_t, bool, bool, std::int64_t, std::int64_t);

}  // namespace attn::torch
