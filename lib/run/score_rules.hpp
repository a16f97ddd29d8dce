#pragma once
#include "lib/run/operands.hpp"

namespace attn {

/// What happens to a score between the product and the softmax, for paths that keep no stages: a row's scores
/// of some keys become such that softmax(factor() * scores) are the weights.
template <class T>
class ScoreRules {
  public:
    explicit ScoreRules(const Operands<T>& operands);

    /// Above 0, times log2(e): the softmax is computed with powers of 2.
    double factor() const { return factor_; }
    /// The sink of a head, as a score.
    T sink(Index head) const;
    /// Masks leave the row nothing. `saw_nothing`: no score above -inf has come, nor a sink; a sink hides the
    /// difference.
    bool is_empty(Index batch, Index head, Index query, bool saw_nothing) const;
    /// The logarithm of a row's sum of exponentials, from its running maximum and sum.
    T log_sum(T max, double sum) const;
    /// 2^ what the exponent of powers that were computed with one maximum is above that of another
    /// (kernels::Table::weigh); either may be -inf, where nothing has been seen.
    double power_between(T from, T to) const;
    /// Every score is changed, seen in full or not.
    bool changes_all() const { return changes_all_; }
    /// Applied to scores[k1 - k0] of keys k0 ... k1 - 1.
    void apply(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const;

  private:
    const Plan& plan_;
    const Mask<T>& mask_;
    const Biases<T>& biases_;
    double left_ = 1;  ///< of the scale, for the exponential
    double factor_;
    T scale_ = 1;
    bool changes_all_, scales_ = false;
};

}  // namespace attn
