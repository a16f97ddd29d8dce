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

    /// x / norm(x) · weight, over each head or over all heads together, then clamped where the plan says so
    /// (Henry et al. 2020; Zhang and Sennrich 2019).
    View<T> normed(const View<T>& x, Index heads, Index tokens, Index dim, Stage stage) const;
    /// -limit ... limit.
    View<T> clamped(const View<T>& x, Index heads, Index tokens, Index dim, double limit) const;
    /// Queries times their own factors; `rows` are their places in the sequence.
    View<T> tempered(const View<T>& x, const std::vector<Index>& rows) const;
    /// A causal convolution over tokens, each column by itself, then silu or nothing (Yang et al. 2025, Gated
    /// DeltaNet, section 3.4).
    View<T> convolved(const View<T>& x, Index heads, Index tokens, Index dim,
                      const PlannedConv::Part& part) const;
    /// Pairs of columns from `first` on, turned by the angles of their positions (Su et al. 2021, equation
    /// 34), or by minus these angles. `tokens` are places in `positions`, or rows of the tables.
    View<T> rotated(const View<T>& x, Index heads, Index dim, Index first, const std::vector<Index>& tokens,
                    const Places& positions) const;
    /// elu(x) + 1, relu(x), or x.
    View<T> mapped(const View<T>& x, Index heads, Index tokens, Index dim, FeatureMap map) const;
    /// Every head's columns, then those that all heads share.
    View<T> widened(const View<T>& x, Index dim, const View<T>& shared, Index shared_dim, Index tokens) const;
    /// The cache, the new rows, what is appended: all keys, or all values.
    View<T> joined(const View<T>& past, const View<T>& x, const std::optional<std::size_t>& bias, Index heads,
                   Index dim) const;

  private:
    View<T> take(Index heads, Index tokens, Index dim, T*& data) const;
    /// f(number, item, head, token) of each.
    template <class F>
    View<T> changed(const View<T>& x, Index heads, Index tokens, Index dim, const F& f) const;

    const Plan& plan_;
    const Tensors<T>& tensors_;
    Arena& arena_;
};

/// One token of one batch item, normed: each head by itself, or all of them together (Ba et al. 2016; Zhang
/// and Sennrich 2019; Henry et al. 2020), then clamped to ±limit if there is one. In double, each number
/// rounded once.
template <class T>
class Norming {
  public:
    Norming(const PlannedNorm& norm, const Tensors<T>& tensors, std::optional<double> limit = {});
    /// `x`, `out`: the first head's columns; the next ones stand so many elements further.
    void operator()(const T* x, Index x_step, T* out, Index out_step, Index heads, Index dim) const;

  private:
    const PlannedNorm& norm_;
    std::span<const T> gain_, bias_;
    std::optional<double> limit_;
};

}  // namespace attn
