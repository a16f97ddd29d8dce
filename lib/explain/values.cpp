#include "lib/explain/values.hpp"

#include <algorithm>

#include "lib/run/materialize.hpp"

namespace attn::explain {

/// One of them is there: that of the plan's type.
struct Values::Inputs {
    explicit Inputs(const Plan& plan) : pool(1) {
        if (!is_wide(plan.dtype))
            singles = std::make_unique<Tensors<float>>(plan, pool);
        else
            doubles = std::make_unique<Tensors<double>>(plan, pool);
    }

    Pool pool;
    std::unique_ptr<Tensors<float>> singles;
    std::unique_ptr<Tensors<double>> doubles;
};

Values::Values(const Plan& plan, std::vector<Index> state_tokens, std::optional<Index> kv_head)
    : plan_(plan),
      state_tokens_(std::move(state_tokens)),
      kv_head_(kv_head),
      inputs_(std::make_unique<Inputs>(plan)) {}

Values::~Values() = default;

void Values::rows(const Rows& rows) {
    const Stage stage = rows.stage->stage;
    const Index gradient = rows.stage->of == StageOf::forward
                               ? Index{-1}
                               : static_cast<Index>(rows.stage - plan_.gradients.data());
    const StageShape family = rows.stage->family;
    if (family == StageShape::states &&
        std::find(state_tokens_.begin(), state_tokens_.end(), rows.token) == state_tokens_.end())
        return;
    if (kv_head_ && has_kv_heads(family) && family != StageShape::shared_keys && rows.head != *kv_head_)
        return;
    for (Index i = 0; i < rows.row_count(); ++i) {
        Row& row = rows_[{stage, gradient, rows.batch, rows.head, rows.token, rows.row_begin + i}];
        for (Index j = 0; j < rows.column_count(); ++j) {
            const std::size_t column = idx(rows.columns[idx(j)]);
            if (row.numbers.size() <= column) row.numbers.resize(column + 1);
            row.numbers[column] = rows.at(i, j);
            if (rows.hidden) row.hidden.push_back(rows.hidden[i * rows.column_count() + j] != 0);
        }
    }
}

const Values::Row& Values::row_of(const Cell& cell) const {
    return rows_.at({cell.stage, cell.gradient, cell.batch, cell.head, cell.token, cell.row});
}

double Values::at(const Cell& cell) const {
    return row_of(cell).numbers.at(static_cast<std::size_t>(cell.column));
}

bool Values::is_hidden(const Cell& cell) const {
    const Row& row = row_of(cell);
    return !row.hidden.empty() && row.hidden[idx(cell.column)];
}

double Values::tensor(std::size_t k, Index flat) const {
    const auto one = [&](auto& tensors, auto value) {
        tensors.copy(k, flat, {&value, 1});
        return static_cast<double>(value);
    };
    return inputs_->singles ? one(*inputs_->singles, 0.0F) : one(*inputs_->doubles, 0.0);
}

}  // namespace attn::explain
