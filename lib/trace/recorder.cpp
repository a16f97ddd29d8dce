#include "lib/trace/recorder.hpp"

#include <algorithm>

namespace attn {
namespace {

Index place_in(const AxisSelection& s, Index number) {
    return std::lower_bound(s.indices.begin(), s.indices.end(), number) - s.indices.begin();
}

}  // namespace

void Recorder::begin(const Plan& plan) {
    plan_ = &plan;
    for (const PlannedStage& s : plan.stages) {
        if (!s.shown) continue;
        Recorded& r = stages_[std::string(s.name)];
        r.shape = plan.shown_shape(s);
        r.values.assign(static_cast<std::size_t>(*element_count(r.shape)), 0);
    }
}

void Recorder::rows(const Rows& rows) {
    Recorded& r = stages_.find(rows.stage->name)->second;
    const AxisSelection& row_axis =
        rows.stage->family == StageShape::key_dim ? plan_->keys_shown : plan_->queries_shown;
    const Index n_rows = r.shape[r.shape.size() - 2], heads = rows.has_head ? r.shape[1] : 1;
    const Index head = rows.has_head ? place_in(plan_->heads_shown, rows.head) : 0;
    const Index item = place_in(plan_->batch_shown, rows.batch) * heads + head;
    const Index first = (item * n_rows + place_in(row_axis, rows.row_begin)) * rows.column_count();
    for (Index i = 0; i < rows.row_count(); ++i)
        for (Index j = 0; j < rows.column_count(); ++j)
            r.values[static_cast<std::size_t>(first + i * rows.column_count() + j)] = rows.at(i, j);
}

}  // namespace attn
