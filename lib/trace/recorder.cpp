#include "lib/trace/recorder.hpp"

#include "lib/trace/kept.hpp"

namespace attn {

void Recorder::begin(const Plan& plan) {
    plan_ = &plan;
    for (const PlannedStage* s : plan.shown_stages()) {
        Recorded& r = stages_[s->name];
        r.shape = plan.shown_shape(*s);
        r.values.assign(static_cast<std::size_t>(*element_count(r.shape)), 0);
    }
}

void Recorder::rows(const Rows& rows) {
    Recorded& r = stages_.find(rows.stage->name)->second;
    const Index first = first_number_of(*plan_, rows);
    for (Index i = 0; i < rows.row_count(); ++i)
        for (Index j = 0; j < rows.column_count(); ++j)
            r.values[idx(first + i * rows.column_count() + j)] = rows.at(i, j);
}

}  // namespace attn
