#include "lib/run/score_rules.hpp"

#include <cmath>
#include <limits>
#include <numbers>

#include "lib/kernels/kernels.hpp"
#include "lib/run/ops.hpp"

namespace attn {

template <class T>
ScoreRules<T>::ScoreRules(const Operands<T>& operands)
    : plan_(operands.plan),
      mask_(operands.mask),
      biases_(operands.biases),
      changes_all_(mask_.has_cells() || mask_.has_holes() || biases_.any() || plan_.softcap) {
    // What comes after the scale needs the scale first; otherwise the scale waits for the exponential.
    scales_ = plan_.scaled &&
              (plan_.softcap || biases_.any() || (mask_.adds() && plan_.mask_at == MaskAt::scaled_scores));
    left_ = plan_.scaled && !scales_ ? plan_.scale : 1;
    if (scales_) scale_ = static_cast<T>(plan_.scale);
    factor_ = left_ * std::numbers::log2e;
}

template <class T>
T ScoreRules<T>::sink(Index head) const {
    return static_cast<T>(plan_.sinks[idx(head)] / left_);
}

template <class T>
T ScoreRules<T>::log_sum(T max, double sum) const {
    // Sums are of 2^(score * factor - exponent): e to the power of what the scale left, and the rounding.
    const double top = max == -std::numeric_limits<T>::infinity() ? 0 : static_cast<double>(max) * left_;
    return static_cast<T>(top +
                          (std::log(sum) + std::numbers::ln2 * kernels::table<T>().rounding(max, factor_)));
}

template <class T>
double ScoreRules<T>::power_between(T from, T to) const {
    const auto& kernel = kernels::table<T>();
    return std::exp2((static_cast<double>(from) - static_cast<double>(to)) * factor_ +
                     (kernel.rounding(from, factor_) - kernel.rounding(to, factor_)));
}

template <class T>
bool ScoreRules<T>::is_empty(Index batch, Index head, Index query, bool saw_nothing) const {
    if (!plan_.masked) return false;
    return plan_.sinks.empty() ? saw_nothing : !plan_.has_appended() && mask_.hides_all(batch, head, query);
}

template <class T>
void ScoreRules<T>::apply(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const {
    if (mask_.adds() && plan_.mask_at == MaskAt::scores)
        mask_.add_to_scores(batch, head, query, k0, k1, scores);
    if (scales_) kernels::table<T>().scale(scores, scores, k1 - k0, scale_);
    if (plan_.softcap) ops::cap(scores, scores, k1 - k0, *plan_.softcap);
    if (biases_.any()) biases_.add(batch, head, query, k0, k1, scores);
    if (mask_.adds() && plan_.mask_at != MaskAt::scores)
        mask_.add_to_scores(batch, head, query, k0, k1, scores);
    if (plan_.masked) mask_.hide_scores(batch, head, query, k0, k1, scores);
}

template class ScoreRules<float>;
template class ScoreRules<double>;

}  // namespace attn
