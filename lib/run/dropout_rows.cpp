#include "lib/run/dropout_rows.hpp"

#include <algorithm>

namespace attn {
namespace {

torch::Dropout start(const DropoutInput& d, const torch::Generator* shared) {
    const auto kind =
        d.kind == DropoutKind::torch ? torch::DropoutGenerator::torch : torch::DropoutGenerator::torch_mkl;
    return shared ? torch::Dropout(kind, *shared, d.p) : torch::Dropout(kind, d.seed, d.p);
}

}  // namespace

template <class T>
DropoutRows::DropoutRows(const Plan& plan, const Tensors<T>& tensors) : plan_(plan) {
    if (!plan.dropout) return;
    if (!plan.dropout_keep) {
        start_.emplace(start(*plan.dropout, plan.dropout->shared ? tensors.dropout_start() : nullptr));
        generator_ = start_;
        return;
    }
    given_ = aligned<std::uint8_t>(plan.tensors[*plan.dropout_keep].shape, tensors[*plan.dropout_keep]);
}

void DropoutRows::row(Index batch, Index head, Index query, std::uint8_t* keep) {
    if (!generator_) {
        const std::uint8_t* cells = attn::row(given_, batch, head, query);
        const auto step = static_cast<Index>(given_.strides()[3]);
        for (Index j = 0; j < plan_.keys; ++j) keep[j] = cells[j * step];
        return;
    }
    const Index item = plan_.heads_first_dropout ? head * plan_.batch + batch : batch * plan_.heads + head;
    const Index wanted = (item * plan_.queries + query) * plan_.keys;
    if (wanted < position_) {
        generator_ = start_;
        position_ = 0;
    }
    if (wanted > position_) generator_->skip(static_cast<std::uint64_t>(wanted - position_));
    for (Index j = 0; j < plan_.keys; ++j) keep[j] = generator_->keep();
    position_ = wanted + plan_.keys;
}

template <class T>
T DropoutRows::kept_factor() const {
    const T factor = plan_.dropout->p == 1 ? T{0} : T{1} / static_cast<T>(1 - plan_.dropout->p);
    return plan_.rounding(factor);
}

template DropoutRows::DropoutRows(const Plan&, const Tensors<float>&);
template DropoutRows::DropoutRows(const Plan&, const Tensors<double>&);
template float DropoutRows::kept_factor() const;
template double DropoutRows::kept_factor() const;

}  // namespace attn
