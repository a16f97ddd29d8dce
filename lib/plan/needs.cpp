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
    // What has no axis of heads is made of all of them, and so is a norm over the width.
    const bool merges = std::any_of(plan.stages.begin(), plan.stages.end(),
                                    [&](const PlannedStage& s) {
                                        return needs.has(s.stage) && !has_heads(s.family) &&
                                               row_kind(s.family) == RowKind::queries &&
                                               info_of(s.stage).phase != Phase::source;
                                    }) ||
                        (needs.has(Stage::normed_context) && plan.context_norm->over_width);
    needs.heads = merges ? counted(plan.heads) : plan.heads_shown.indices;
    const bool pairs = std::any_of(plan.stages.begin(), plan.stages.end(), [&](const PlannedStage& s) {
        return needs.has(s.stage) && has_paired_heads(s.family);
    });
    if (pairs && !merges) {
        needs.heads.clear();
        for (const Index h : plan.context_heads_shown.indices)
            for (const bool second : {false, true})
                needs.heads.push_back(plan.differential->half_of(h, second, plan.context_heads()));
        std::sort(needs.heads.begin(), needs.heads.end());
    }
    const auto belong = [](const std::vector<Index>& to, auto&& head_of) {
        std::vector<Index> out;
        for (const Index h : to) out.push_back(head_of(h));
        std::sort(out.begin(), out.end());
        out.erase(std::unique(out.begin(), out.end()), out.end());
        return out;
    };
    needs.kv_heads = belong(needs.heads, [&](Index h) { return plan.kv_head_of(h); });
    needs.value_heads = belong(needs.kv_heads, [&](Index h) { return plan.value_head_of(h); });
    needs.context_heads = belong(needs.heads, [&](Index h) { return plan.context_head_of(h); });
    const bool wide = plan.query_norm && plan.query_norm->over_width;
    const auto grouped = [&](Index h) { return h / plan.head_group; };
    needs.query_heads = wide ? counted(plan.query_heads()) : belong(needs.heads, grouped);
    needs.key_heads = wide ? counted(plan.key_heads()) : belong(needs.kv_heads, grouped);
    return needs;
}

Needs needs_of(const Plan& plan) {
    std::vector<const PlannedStage*> shown;
    for (const PlannedStage& s : plan.stages)
        if (s.shown) shown.push_back(&s);
    return needs_of(plan, shown);
}

std::vector<NumberRange> numbers_read(const Plan& plan, const Needs& needs, std::size_t tensor) {
    const Shape& shape = plan.tensors[tensor].shape;
    std::vector<NumberRange> out;
    const auto add = [&](Index first, Index count) {
        if (!out.empty() && out.back().first + out.back().count == first) {
            out.back().count += count;
        } else {
            out.push_back({first, count});
        }
    };
    const auto take = [&](const std::vector<Index>& heads, const std::vector<Index>* rows) {
        const Shape axes = four_axes(shape);
        const Index tokens = axes[2], width = axes[3];
        for (const Index b : plan.batch_shown.indices)
            for (const Index h : heads) {
                const Index at = (b * axes[1] + h) * tokens * width;
                if (!rows) {
                    add(at, tokens * width);
                    continue;
                }
                for (const Index r : *rows) add(at + r * width, width);
            }
        return out;
    };
    // A backward pass reads all that the forward pass has made.
    if (plan.gradient) return {{0, *element_count(shape)}};
    if (plan.projected_given) {
        if (tensor == plan.query_input)
            return needs.has(Stage::queries)
                       ? take(needs.query_heads, plan.conv ? nullptr : &plan.queries_shown.indices)
                       : out;
        if (tensor == plan.key_input) return needs.has(Stage::keys) ? take(needs.key_heads, nullptr) : out;
        if (tensor == plan.value_input)
            return needs.has(Stage::values) ? take(needs.value_heads, nullptr) : out;
    }
    if (tensor == plan.past_keys) return needs.has(Stage::all_keys) ? take(needs.kv_heads, nullptr) : out;
    if (tensor == plan.past_values)
        return needs.has(Stage::all_values) ? take(needs.value_heads, nullptr) : out;
    return {{0, *element_count(shape)}};
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
