#include "lib/random/torch.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

namespace attn::torch {
namespace {

constexpr std::size_t block = 16;

/// Natural logarithm of a positive normal float by the Cephes polynomial, fused as GCC fuses
/// native/cpu/avx_mathfun.h (log256_ps).
float cephes_log(float x) {
    constexpr float sqrt_half = 0.707106781186547524F;
    constexpr std::array coefficients{7.0376836292E-2F,  -1.1514610310E-1F, 1.1676998740E-1F,
                                      -1.2420140846E-1F, 1.4249322787E-1F,  -1.6668057665E-1F,
                                      2.0000714765E-1F,  -2.4999993993E-1F, 3.3333331174E-1F};
    const auto bits = std::bit_cast<std::uint32_t>(x);
    float exponent = static_cast<float>(static_cast<int>(bits >> 23U) - 127) + 1.0F;
    float mantissa = std::bit_cast<float>((bits & 0x007fffffU) | 0x3f000000U);
    if (mantissa < sqrt_half) {
        exponent -= 1.0F;
        mantissa = (mantissa - 1.0F) + mantissa;
    } else {
        mantissa -= 1.0F;
    }
    const float square = mantissa * mantissa;
    float y = coefficients[0];
    for (std::size_t i = 1; i < coefficients.size(); ++i) y = std::fma(y, mantissa, coefficients[i]);
    y *= mantissa;
    y = std::fma(y, square, exponent * -2.12194440e-4F);
    y = std::fma(-square, 0.5F, y);
    return std::fma(exponent, 0.693359375F, mantissa + y);
}

/// Sine and cosine of x >= 0 by the Cephes polynomials, fused as GCC fuses avx_mathfun.h (sincos256_ps).
std::pair<float, float> cephes_sincos(float x) {
    const auto octant = (static_cast<std::uint32_t>(x * 1.27323954473516F) + 1U) & ~1U;
    const auto y = static_cast<float>(octant);
    x = std::fma(y, -0.78515625F, x);
    x = std::fma(y, -2.4187564849853515625e-4F, x);
    x = std::fma(y, -3.77489497744594108e-8F, x);
    const float z = x * x;

    float cosine = std::fma(2.443315711809948E-5F, z, -1.388731625493765E-3F);
    cosine = std::fma(cosine, z, 4.166664568298827E-2F);
    cosine *= z;
    cosine = std::fma(cosine, z, z * -0.5F) + 1.0F;

    float sine = std::fma(-1.9515295891E-4F, z, 8.3321608736E-3F);
    sine = std::fma(sine, z, -1.6666654611E-1F);
    sine *= z;
    sine = std::fma(sine, x, x);

    if ((octant & 2U) != 0) std::swap(sine, cosine);
    if ((octant & 4U) != 0) sine = -sine;
    if (((octant + 2U) & 4U) != 0) cosine = -cosine;
    return {sine, cosine};
}

/// Turns 16 uniforms into 16 normals: element j and element j + 8 are a Box-Muller pair.
void uniform_to_normal(std::span<float, block> values, float mean, float std) {
    for (std::size_t j = 0; j < block / 2; ++j) {
        const float radius = std::sqrt(-2.0F * cephes_log(1.0F - values[j]));
        const auto [sine, cosine] = cephes_sincos(2.0F * std::numbers::pi_v<float> * values[j + block / 2]);
        values[j] = std::fma(radius * cosine, std, mean);
        values[j + block / 2] = std::fma(radius * sine, std, mean);
    }
}

std::size_t area(std::int64_t rows, std::int64_t columns) { return static_cast<std::size_t>(rows * columns); }

/// The same in double, with libm's functions (native/cpu/DistributionTemplates.h normal_fill_16).
void uniform_to_normal(std::span<double, block> values, double mean, double std) {
    for (std::size_t j = 0; j < block / 2; ++j) {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - values[j]));
        const double angle = 2.0 * std::numbers::pi * values[j + block / 2];
        values[j] = std::fma(radius * std::cos(angle), std, mean);
        values[j + block / 2] = std::fma(radius * std::sin(angle), std, mean);
    }
}

template <class T>
T unit(Generator& generator) {
    if constexpr (sizeof(T) == sizeof(float))
        return generator.u24();
    else
        return generator.u53();
}

template <class T>
void draw_uniform(Generator& generator, std::span<T> out, double from, double to) {
    const auto low = static_cast<T>(from);
    const T width = static_cast<T>(to) - low;
    for (T& x : out) x = std::fma(unit<T>(generator), width, low);
}

template <class T>
void draw_normal(Generator& generator, std::span<T> out, double mean, double std) {
    if (out.size() < block) {
        // Fused or not is the same but for a double in 2^29; fused, no compiler has a choice.
        for (T& x : out) x = static_cast<T>(std::fma(generator.normal53(), std, mean));
        return;
    }
    const auto shift = static_cast<T>(mean);
    const auto scale = static_cast<T>(std);
    for (T& x : out) x = unit<T>(generator);
    for (std::size_t i = 0; i + block <= out.size(); i += block)
        uniform_to_normal(out.subspan(i).template first<block>(), shift, scale);
    if (out.size() % block == 0) return;
    // PyTorch draws the last 16 anew, over the end of the block before.
    const auto tail = out.template last<block>();
    for (T& x : tail) x = unit<T>(generator);
    uniform_to_normal(tail, shift, scale);
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
