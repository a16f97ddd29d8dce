#include "lib/run/biases.hpp"

#include <algorithm>

namespace attn {

template <class T>
Biases<T>::Biases(const Plan& plan, const Tensors<T>& tensors) : plan_(plan) {
    if (!plan.position_bias) return;
    table_ = tensors[plan.position_bias->tensor];
    if (!plan.position_bias->buckets) return;
    const auto [least, most] = std::minmax_element(plan.offsets.begin(), plan.offsets.end());
    nearest_ = 1 - plan.queries - *most;
    for (Index d = nearest_; d < plan.given_keys() - *least; ++d)
        bucket_numbers_.push_back(bucket_of(d, plan.position_bias->rows, *plan.position_bias->buckets) *
                                  plan.heads);
}

template <class T>
void Biases<T>::add(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const {
    const Index given = plan_.given_keys(), end = std::min(k1, given);
    const Rounding rounding = plan_.rounding;
    const Index diagonal = query + plan_.offsets[idx(batch)];
    const double slope = plan_.alibi.empty() ? 0 : plan_.alibi[idx(head)];
    const bool by_bucket = !bucket_numbers_.empty();
    const T* row =
        table_.empty() || by_bucket ? nullptr : table_.data() + plan_.bias_number(batch, head, query, 0);
    for (Index j = k0; j < end; ++j) {
        double sum = -slope * static_cast<double>(diagonal - j);
        if (row) sum += static_cast<double>(row[j]);
        if (by_bucket)
            sum += static_cast<double>(table_[idx(bucket_numbers_[idx(j - diagonal - nearest_)] + head)]);
        scores[j - k0] = static_cast<T>(static_cast<double>(scores[j - k0]) + rounding(sum));
    }
}

template class Biases<float>;
template class Biases<double>;

}  // namespace attn
