#pragma once
#include <span>

#include "lib/run/arena.hpp"
#include "lib/run/materialize.hpp"
#include "lib/run/operands.hpp"

namespace attn {

/// What is done to queries, keys and values between the projections and the scores. Each result is a tensor
/// of its own [batch, head, token, dim], dense; arithmetic is in double, each number rounded once.
template <class T>
class Sources {
  public:
    Sources(const Plan& plan, const Tensors<T>& tensors, Arena& arena)
        : plan_(plan), tensors_(tensors), arena_(arena) {}

    /// x / norm(x) · weight, over each head or over all heads together (Henry et al. 2020; Zhang and Sennrich
    /// 2019).
    View<T> normed(const View<T>& x, Index heads, Index tokens, Index dim,
                   const std::optional<std::size_t>& weight) const;
    /// Pairs of columns from `first` on, turned by the angles of their positions (Su et al. 2021, equation
    /// 34). `tokens` are places in `positions`, or rows of the tables.
    View<T> rotated(const View<T>& x, Index heads, Index dim, Index first, const std::vector<Index>& tokens,
                    const std::vector<double>& positions) const;
    /// elu(x) + 1, relu(x), or x.
    View<T> mapped(const View<T>& x, Index heads, Index tokens, FeatureMap map) const;
    /// Every head's columns, then those that all heads share.
    View<T> widened(const View<T>& x, Index dim, const View<T>& shared, Index shared_dim, Index tokens) const;
    /// The cache, the new rows, what is appended: all keys, or all values.
    View<T> joined(const View<T>& past, const View<T>& x, const std::optional<std::size_t>& bias,
                   Index dim) const;

  private:
    View<T> take(Index heads, Index tokens, Index dim, T*& data) const;

    const Plan& plan_;
    const Tensors<T>& tensors_;
    Arena& arena_;
};

/// out = x / sqrt(mean(x²) + eps) · weight, weight may be empty.
template <class T>
void rms_norm(const T* x, T* out, Index n, double eps, std::span<const T> weight);

}  // namespace attn
