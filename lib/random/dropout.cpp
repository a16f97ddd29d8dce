#include <stdexcept>

#include "lib/random/torch.hpp"

namespace attn::torch {
namespace {

/// MCG31m1, the multiplicative congruential generator of Intel's VSL (VSL_BRNG_MCG31).
constexpr std::uint64_t mcg_modulus = 0x7fffffff;
constexpr std::uint64_t mcg_multiplier = 1132489760;

/// mcg_multiplier^exponent modulo mcg_modulus, by squaring.
std::uint64_t mcg_power(std::uint64_t exponent) {
    std::uint64_t result = 1;
    for (std::uint64_t base = mcg_multiplier; exponent != 0; exponent >>= 1U) {
        if ((exponent & 1U) != 0) result = result * base % mcg_modulus;
        base = base * base % mcg_modulus;
    }
    return result;
}

}  // namespace

void skip_dropout(Generator& generator, DropoutGenerator kind, double p, std::uint64_t elements) {
    if (p == 0 || p == 1) return;
    if (kind == DropoutGenerator::torch_mkl) return generator.discard(1);
    generator.discard(elements);
    generator.discard(elements);
}

Dropout::Dropout(DropoutGenerator kind_, std::uint64_t seed, double p_)
    : Dropout(kind_, Generator(seed), p_) {}

Dropout::Dropout(DropoutGenerator kind_, const Generator& generator_, double p_)
    : kind(kind_), p(p_), generator(generator_) {
    if (!(p >= 0 && p <= 1)) throw std::invalid_argument("dropout: p must lie in 0..1");
    if (kind == DropoutGenerator::torch_mkl) {
        mcg = generator.r32() % mcg_modulus;
        if (mcg == 0) mcg = 1;
    }
}

bool Dropout::keep() {
    if (p == 0 || p == 1) return p == 0;
    if (kind == DropoutGenerator::torch) return generator.u53() < 1 - p;
    const double u = static_cast<double>(mcg) / static_cast<double>(mcg_modulus);
    mcg = mcg * mcg_multiplier % mcg_modulus;
    return u < 1 - p;
}

void Dropout::skip(std::uint64_t n) {
    if (p == 0 || p == 1) return;
    if (kind == DropoutGenerator::torch_mkl) {
        mcg = mcg * mcg_power(n) % mcg_modulus;
        return;
    }
    generator.discard(n);
    generator.discard(n);
}

}  // namespace attn::torch
