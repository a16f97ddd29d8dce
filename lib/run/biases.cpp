#include "lib/run/biases.hpp"

#include <algorithm>

namespace attn {

template <class T>
Biases<T>::Biases(const Plan& plan, const Tensors<T>& tensors) : plan_(plan) {
    if (plan.position_bias) table_ = tensors[*plan.position_bias];
}

template <class T>
void Biases<T>::add(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const {
    const Index given = plan_.given_keys(), end = std::min(k1, given);
    const Index diagonal = query + plan_.offsets[idx(batch)];
    const double slope = plan_.alibi.empty() ? 0 : plan_.alibi[idx(head)];
    const T* row = table_.empty() ? nullptr : table_.data() + (head * plan_.queries + query) * given;
    for (Index j = k0; j < end; ++j) {
        double sum = -slope * static_cast<double>(diagonal - j);
        if (row) sum += static_cast<double>(row[j]);
        scores[j - k0] = static_cast<T>(static_cast<double>(scores[j - k0]) + sum);
    }
}

template class Biases<float>;
template class Biases<double>;

}  // namespace attn
