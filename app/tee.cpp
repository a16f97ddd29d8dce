#include "app/tee.hpp"

#include <algorithm>

namespace attn {

Tee::Tee(std::vector<Part>& parts) {
    const auto open = [](const Part& p) { return !p.done && !p.to->closed; };
    // Stages one after another where anybody needs that: those that take any order come along.
    stage_by_stage_ = std::any_of(parts.begin(), parts.end(), [&](const Part& p) {
        return open(p) && p.sink->stage_by_stage() && !p.sink->takes_any_order();
    });
    for (Part& p : parts)
        if (open(p) && (p.sink->takes_any_order() || p.sink->stage_by_stage() == stage_by_stage_))
            parts_.push_back(&p);
}

template <class F>
void Tee::each(F f) {
    bool any = false;
    for (Part* p : parts_) {
        if (p->to->closed) continue;
        try {
            f(*p->sink);
            any = true;
        } catch (const ClosedPipe&) {
            p->to->closed = true;
        }
    }
    if (!any) throw ClosedPipe{};
}

void Tee::begin(const Plan& plan) {
    each([&](Sink& s) { s.begin(plan); });
}
void Tee::begin_stage(const Plan& plan, const PlannedStage& stage) {
    each([&](Sink& s) { s.begin_stage(plan, stage); });
}
void Tee::rows(const Rows& rows) {
    each([&](Sink& s) { s.rows(rows); });
}
void Tee::end_stage(const PlannedStage& stage) {
    each([&](Sink& s) { s.end_stage(stage); });
}
void Tee::end(const std::vector<std::string>& warnings) {
    each([&](Sink& s) { s.end(warnings); });
    for (Part* p : parts_) p->done = !p->sink->wants_again();
}

}  // namespace attn
