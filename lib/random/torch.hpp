#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// PyTorch's CPU random numbers, bit for bit (the AVX2 build: fused multiply-adds and Cephes polynomials).
/// Every result is the same on every CPU and at every optimisation level: each fusion that PyTorch's build
/// makes is an explicit std::fma, and no other expression has a product for a compiler to fuse into a sum.
namespace attn::torch {

/// The state behind torch.manual_seed (ATen CPUGeneratorImpl.cpp, core/MT19937RNGEngine.h).
class Generator {
  public:
    /// Only the low 32 bits of `seed` count: 2^32 + 5 is the seed 5, and -1 is 0xffffffff.
    explicit Generator(std::uint64_t seed);

    std::uint32_t r32() {
        if (next == words.size()) refill();
        return words[next++];
    }
    /// As many outputs of r32 as `out` holds.
    void fill(std::span<std::uint32_t> out);
    /// The first word drawn is the high one.
    std::uint64_t r64();
    /// A multiple of 2^-24 in [0, 1) (core/TransformationHelper.h uniform_real_distribution).
    float u24() { return static_cast<float>(r32() & 0xffffffU) * 0x1p-24F; }
    /// A multiple of 2^-53 in [0, 1); two words.
    double u53() { return static_cast<double>(r64() & ((std::uint64_t{1} << 53U) - 1)) * 0x1p-53; }
    /// Box-Muller in double; every second call returns the sine kept by the one before, across all draws of
    /// other kinds in between (core/DistributionsHelper.h normal_distribution).
    double normal53();
    /// Jumps over `count` outputs of r32.
    void discard(std::uint64_t count);

  private:
    void refill();

    std::vector<std::uint32_t> state, words;  ///< of std::mt19937, and its outputs
    std::size_t next;                         ///< the output that comes next
    std::optional<double> next_normal;
};

/// tensor.uniform_(from, to) of a float32 tensor, in memory order (native/cpu/DistributionTemplates.h).
/// torch.rand is uniform(0, 1).
void uniform(Generator& generator, std::span<float> out, double from, double to);
/// The same of a float64 tensor: another sequence, of 53 bits and two words an element.
void uniform(Generator& generator, std::span<double> out, double from, double to);

/// tensor.normal_(mean, std) of a contiguous float32 tensor (native/cpu/DistributionTemplates.h). Fewer than
/// 16 elements are drawn in double, more in blocks of 16 in float; torch.randn is normal(0, 1).
void normal(Generator& generator, std::span<float> out, double mean = 0, double std = 1);
/// The same of a float64 tensor: 16 elements or more in blocks of 16 too, with the functions of libm.
void normal(Generator& generator, std::span<double> out, double mean = 0, double std = 1);

/// nn.Linear(d_in, d_out): `weight` [d_out, d_in] row-major, then `bias` [d_out], empty where there is none
/// (torch/nn/modules/linear.py reset_parameters).
void linear(Generator& generator, std::int64_t d_in, std::span<float> weight, std::span<float> bias);
void linear(Generator& generator, std::int64_t d_in, std::span<double> weight, std::span<double> bias);

/// nn.Embedding(n, d): `weight` [n, d], standard normal (torch/nn/modules/sparse.py).
void embedding(Generator& generator, std::span<float> weight);
void embedding(Generator& generator, std::span<double> weight);

/// Row-major, as the module lays them out; what the module does not have is empty.
template <class T>
struct MultiheadWeights {
    std::vector<T> in_proj_weight;   ///< [3 embed, embed], or the next three
    std::vector<T> q_proj_weight;    ///< [embed, embed]
    std::vector<T> k_proj_weight;    ///< [embed, kdim]
    std::vector<T> v_proj_weight;    ///< [embed, vdim]
    std::vector<T> in_proj_bias;     ///< [3 embed], zeros
    std::vector<T> out_proj_weight;  ///< [embed, embed]
    std::vector<T> out_proj_bias;    ///< [embed], zeros
    std::vector<T> bias_k;           ///< [1, 1, embed]
    std::vector<T> bias_v;           ///< [1, 1, embed]
};

/// nn.MultiheadAttention(embed, heads, bias, add_bias_kv, kdim, vdim); the number of heads draws nothing.
/// kdim = vdim = embed gives in_proj_weight, any other the three (torch/nn/modules/activation.py).
template <class T = float>
MultiheadWeights<T> multihead(Generator& generator, std::int64_t embed, bool bias, bool add_bias_kv,
                              std::int64_t kdim, std::int64_t vdim);

/// One seed has two masks: PyTorch's own kernel, and the one of builds with Intel's MKL up to torch 2.4.
enum class DropoutGenerator { torch, torch_mkl };

/// Passes over what nn.Dropout(p) draws for so many elements.
void skip_dropout(Generator& generator, DropoutGenerator kind, double p, std::uint64_t elements);

/// The mask of nn.Dropout(p) in training after torch.manual_seed(seed), element by element in the order of
/// the tensor (native/Dropout.cpp). p = 0 keeps all, p = 1 none.
class Dropout {
  public:
    /// Throws std::invalid_argument unless 0 <= p <= 1.
    Dropout(DropoutGenerator kind, std::uint64_t seed, double p);
    /// From a generator that has drawn other things before.
    Dropout(DropoutGenerator kind, const Generator& generator, double p);

    /// Whether the next element is kept.
    bool keep();
    /// Jumps over `n` elements: in no time with MKL's generator, at the pace of its words with PyTorch's.
    void skip(std::uint64_t n);

    /// What a kept element is multiplied by where the arithmetic is float32: 1 / float(1 - p); 0 for p = 1.
    float factor_float() const { return p == 1 ? 0.0F : 1.0F / static_cast<float>(1 - p); }
    /// The same in float64.
    double factor_double() const { return p == 1 ? 0.0 : 1 / (1 - p); }

  private:
    DropoutGenerator kind;
    double p;
    Generator generator;
    std::uint64_t mcg = 0;  ///< the next output of MKL's generator
};

}  // namespace attn::torch
