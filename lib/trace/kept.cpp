#include "lib/trace/kept.hpp"

#include <algorithm>
#include <cstring>

namespace attn {
namespace {

Index place_in(const AxisSelection& s, Index number) {
    return std::lower_bound(s.indices.begin(), s.indices.end(), number) - s.indices.begin();
}

}  // namespace

Index first_number_of(const Plan& plan, const Rows& rows) {
    const StageShape family = rows.stage->family;
    const Shape shape = plan.shown_shape(*rows.stage);
    if (is_of_parameter(family)) {
        // Shown whole: batch, head and row are places.
        const std::size_t axis = has_batch(family) ? 1 : 0;
        Index before = rows.batch;
        if (rows.has_head) before = before * shape[axis] + rows.head;
        if (!has_one_row(family)) before = before * shape[shape.size() - 2] + rows.row_begin;
        return before * rows.column_count();
    }
    Index at = place_in(plan.batch_shown, rows.batch);
    if (rows.has_head) at = at * shape[1] + place_in(plan.heads_of(family), rows.head);
    if (family == StageShape::states) at = at * shape[2] + place_in(plan.new_keys_shown, rows.token);
    if (!has_one_row(family)) {
        const bool is_token = row_kind(family) != RowKind::whole;
        at = at * shape[shape.size() - 2] +
             (is_token ? place_in(plan.rows_of(family), rows.row_begin) : rows.row_begin);
    }
    return at * rows.column_count();
}

void KeptTrace::begin(const Plan& plan) {
    plan_ = &plan;
    arena_.rewind();
    stages_ = {};
    gradients_.clear();
    for (const PlannedStage* s : plan.shown_stages())
        (s->of == StageOf::forward ? stages_[idx(s->stage)] : gradients_[s]) =
            arena_.take<char>(*element_count(plan.shown_shape(*s)) * size_of(plan.dtype));
}

void* KeptTrace::memory_of(const Rows& rows) {
    char* const at = rows.stage->of == StageOf::forward ? stages_[idx(rows.stage->stage)]
                                                        : gradients_.find(rows.stage)->second;
    return at + first_number_of(*plan_, rows) * size_of(plan_->dtype);
}

void KeptTrace::rows(const Rows& rows) {
    std::memcpy(memory_of(rows), rows.data,
                static_cast<std::size_t>(rows.row_count() * rows.column_count() * size_of(plan_->dtype)));
}

}  // namespace attn
