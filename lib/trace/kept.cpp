#include "lib/trace/kept.hpp"

#include <algorithm>
#include <cstring>

namespace attn {
namespace {

Index place_in(const AxisSelection& s, Index number) {
    return std::lower_bound(s.indices.begin(), s.indices.end(), number) - s.indices.begin();
}

}  // namespace

Index place_of(const Plan& plan, const Rows& rows) {
    const Shape shape = plan.shown_shape(*rows.stage);
    const AxisSelection& row_axis = plan.rows_of(rows.stage->family);
    const Index heads = rows.has_head ? shape[1] : 1;
    const Index head = rows.has_head ? place_in(plan.heads_of(rows.stage->family), rows.head) : 0;
    const Index item = place_in(plan.batch_shown, rows.batch) * heads + head;
    return (item * shape[shape.size() - 2] + place_in(row_axis, rows.row_begin)) * rows.column_count();
}

void KeptTrace::begin(const Plan& plan) {
    plan_ = &plan;
    arena_.rewind();
    stages_ = {};
    for (const PlannedStage& s : plan.stages)
        if (s.shown)
            stages_[static_cast<std::size_t>(s.stage)] =
                arena_.take<char>(*element_count(plan.shown_shape(s)) * size_of(plan.dtype));
}

void* KeptTrace::place(const Rows& rows) {
    return stages_[static_cast<std::size_t>(rows.stage->stage)] +
           place_of(*plan_, rows) * size_of(plan_->dtype);
}

void KeptTrace::rows(const Rows& rows) {
    std::memcpy(place(rows), rows.data,
                static_cast<std::size_t>(rows.row_count() * rows.column_count() * size_of(plan_->dtype)));
}

}  // namespace attn
