#pragma once
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "lib/run/arena.hpp"
#include "lib/run/materialize.hpp"
#include "lib/run/operands.hpp"

namespace attn {

/// The heads of a tensor: how many it has, and which of them are wanted, in order. The others are not
/// computed.
class HeadsOf {
  public:
    /// All of them.
    HeadsOf(Index count) : count_(count), all_(counted(count)) {}  // NOLINT(google-explicit-constructor)
    HeadsOf(Index count, std::span<const Index> wanted) : count_(count), some_(wanted) {}

    Index count() const { return count_; }
    std::span<const Index> wanted() const { return all_.empty() ? some_ : std::span<const Index>(all_); }

  private:
    Index count_;
    std::vector<Index> all_;
    std::span<const Index> some_;
};

/// What is done to queries, keys and values between the projections and the scores. Each result is a tensor
/// of its own [batch, head, token, dim], dense; arithmetic is in double, each number rounded once, in half
/// precision also where rounded_steps() says (lib/plan/half.hpp).
template <class T>
class Sources {
  public:
    /// Of all batch items.
    Sources(const Plan& plan, const Tensors<T>& tensors, Arena& arena)
        : Sources(plan, tensors, arena, counted(plan.batch)) {}
    /// \param items the batch items that are wanted; the others are not computed
    Sources(const Plan& plan, const Tensors<T>& tensors, Arena& arena, std::vector<Index> items)
        : plan_(plan), tensors_(tensors), arena_(arena), items_(std::move(items)), rounding_(plan.rounding) {}

    /// x / norm(x) · weight, over each head or over all heads together, then clamped where the plan says so
    /// (Henry et al. 2020; Zhang and Sennrich 2019).
    View<T> normed(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim, Stage stage) const;
    /// -limit ... limit.
    View<T> clamped(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim, double limit) const;
    /// Queries times their own factors; `rows` are their places in the sequence.
    View<T> tempered(const View<T>& x, const HeadsOf& heads, const std::vector<Index>& rows) const;
    /// A causal convolution over tokens, each column by itself, then silu or nothing (Yang et al. 2025, Gated
    /// DeltaNet, section 3.4).
    View<T> convolved(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim,
                      const PlannedConv::Part& part) const;
    /// Pairs of columns from `first` on, turned by the angles of their positions (Su et al. 2021, equation
    /// 34), or by minus these angles. `tokens` are places in `positions`, or rows of the tables.
    View<T> rotated(const View<T>& x, const HeadsOf& heads, Index dim, Index first,
                    const std::vector<Index>& tokens, const Places& positions) const;
    /// elu(x) + 1, relu(x), or x.
    View<T> mapped(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim, FeatureMap map) const;
    /// Every head's columns, then those that all heads share.
    View<T> widened(const View<T>& x, const HeadsOf& heads, Index dim, const View<T>& shared,
                    Index shared_dim, Index tokens) const;
    /// The cache, the new rows, what is appended: all keys, or all values.
    View<T> joined(const View<T>& past, const View<T>& x, const std::optional<std::size_t>& bias,
                   const HeadsOf& heads, Index dim) const;

  private:
    View<T> take(Index heads, Index tokens, Index dim, T*& data) const;
    /// f(row, item, head, token) writes each row.
    template <class F>
    View<T> row_by_row(const HeadsOf& heads, Index tokens, Index dim, const F& f) const;
    /// f(number, item, head, token) of each.
    template <class F>
    View<T> changed(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim, const F& f) const;

    const Plan& plan_;
    const Tensors<T>& tensors_;
    Arena& arena_;
    std::vector<Index> items_;
    Rounding rounding_;
};

/// By how much a token's columns turn: cosine and sine of every column of a rotary embedding.
template <class T>
class Turning {
  public:
    Turning(const Plan& plan, const Tensors<T>& tensors);
    /// `token`: a place in `positions`, or a row of the tables.
    void to(Index item, Index token, const Places& positions);
    const std::vector<double>& cos() const { return cos_; }
    const std::vector<double>& sin() const { return sin_; }

  private:
    const Plan& plan_;
    const Tensors<T>& tensors_;
    std::vector<double> cos_, sin_, frequency_;
    Rounding rounding_;
};

/// One token of one batch item, normed: each head by itself, or all of them together (Ba et al. 2016; Zhang
/// and Sennrich 2019; Henry et al. 2020), then clamped to ±limit if there is one. In double, each number
/// rounded once.
template <class T>
class Norming {
  public:
    Norming(const PlannedNorm& norm, const Plan& plan, const Tensors<T>& tensors,
            std::optional<double> limit = {});
    /// `x`, `out`: the first head's columns; the next ones stand so many elements further.
    void operator()(const T* x, Index x_step, T* out, Index out_step, Index heads, Index dim) const {
        (*this)(x, x_step, out, out_step, 0, heads, dim);
    }
    /// The same of the heads begin ... end - 1 alone; a norm over the width needs all of them.
    void operator()(const T* x, Index x_step, T* out, Index out_step, Index begin, Index end,
                    Index dim) const;

  private:
    const PlannedNorm& norm_;
    Rounding rounding_;
    std::span<const T> gain_, bias_;
    std::optional<double> limit_;
};

}  // namespace attn
