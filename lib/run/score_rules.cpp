#include "lib/run/score_rules.hpp"

#include <numbers>

#include "lib/kernels/kernels.hpp"

namespace attn {

template <class T>
ScoreRules<T>::ScoreRules(const Operands<T>& operands)
    : plan_(operands.plan), mask_(operands.mask), changes_all_(mask_.has_cells()) {
    // What is added after the scale needs the scale first; otherwise the scale waits for the exponential.
    scales_ = plan_.scaled && mask_.adds() && plan_.mask_at == MaskAt::scaled_scores;
    const double left = plan_.scaled && !scales_ ? plan_.scale : 1;
    if (scales_) scale_ = static_cast<T>(plan_.scale);
    factor_ = static_cast<T>(left * std::numbers::log2e);
}

template <class T>
void ScoreRules<T>::apply(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const {
    if (scales_) kernels::table<T>().scale(scores, scores, k1 - k0, scale_);
    if (mask_.adds()) mask_.add_to_scores(batch, head, query, k0, k1, scores);
    if (plan_.masked) mask_.hide_scores(batch, head, query, k0, k1, scores);
}

template class ScoreRules<float>;
template class ScoreRules<double>;

}  // namespace attn
