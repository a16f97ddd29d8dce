#include "lib/plan/needs.hpp"

#include <algorithm>

namespace attn {
namespace {

void add(const Plan& plan, const PlannedStage& stage, Needs& needs) {
    bool& there = needs.stages[idx(stage.stage)];
    if (there) return;
    there = true;
    for (const Stage s : stage.reads) add(plan, *plan.find(s), needs);
    for (std::size_t r = 0; r < projection_count; ++r) {
        const auto role = static_cast<WeightRole>(r);
        if (has(stage.projections, role) && plan.projects(role)) needs.projections |= set_of({role});
    }
}

}  // namespace

bool Needs::any(Phase phase) const {
    return std::any_of(all_stages().begin(), all_stages().end(),
                       [&](const StageInfo& s) { return s.phase == phase && has(s.stage); });
}

Needs needs_of(const Plan& plan, std::span<const PlannedStage* const> shown) {
    Needs needs;
    for (const PlannedStage* s : shown) add(plan, *s, needs);
    // What has no axis of heads is made of all of them.
    const bool merges = std::any_of(plan.stages.begin(), plan.stages.end(), [&](const PlannedStage& s) {
        return needs.has(s.stage) && !has_heads(s.family) && row_kind(s.family) == RowKind::queries;
    });
    needs.heads = merges ? counted(plan.heads) : plan.heads_shown.indices;
    for (const Index h : needs.heads) needs.kv_heads.push_back(plan.kv_head_of(h));
    std::sort(needs.kv_heads.begin(), needs.kv_heads.end());
    needs.kv_heads.erase(std::unique(needs.kv_heads.begin(), needs.kv_heads.end()), needs.kv_heads.end());
    return needs;
}

Needs needs_of(const Plan& plan) {
    std::vector<const PlannedStage*> shown;
    for (const PlannedStage& s : plan.stages)
        if (s.shown) shown.push_back(&s);
    return needs_of(plan, shown);
}

bool is_read(const Plan& plan, const Needs& needs, Stage stage) {
    return std::any_of(plan.stages.begin(), plan.stages.end(), [&](const PlannedStage& s) {
        return needs.has(s.stage) && std::find(s.reads.begin(), s.reads.end(), stage) != s.reads.end();
    });
}

bool is_made_of(const Plan& plan, Stage later, Stage earlier) {
    const std::vector<Stage>& reads = plan.find(later)->reads;
    return std::any_of(reads.begin(), reads.end(),
                       [&](Stage s) { return s == earlier || is_made_of(plan, s, earlier); });
}

}  // namespace attn
