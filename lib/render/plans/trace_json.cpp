// What a trace says before its numbers, and of each stage.
#include <string>
#include <vector>

#include "lib/render/plans/plan_json.hpp"
#include "lib/text.hpp"

namespace attn {

JsonMembers trace_members(const Plan& plan, int indent) {
    JsonMembers m = plan_head(trace_format, plan, indent);
    std::vector<std::string> order;
    for (const PlannedStage* s : plan.shown_stages()) order.push_back(s->name);
    m.emplace_back("order", json_strings(order));
    return m;
}

JsonMembers stage_members(const Plan& plan, const PlannedStage& stage, bool squeeze) {
    const Shape whole = plan.shown_shape(stage);
    const auto all = axes_of(stage.family);
    std::vector<std::string> axes;
    Shape shape;
    for (std::size_t k = 0; k < whole.size(); ++k) {
        if (squeeze && whole[k] == 1) continue;
        axes.emplace_back(name_of(all[k]));
        shape.push_back(whole[k]);
    }
    return {{"formula", json_string(stage.formula)},
            {"axes", json_strings(axes)},
            {"shape", json_indices(shape)},
            {"dtype", json_string(name_of(plan.dtype))}};
}

std::string trace_without_data(const Plan& plan, bool squeeze, const std::vector<std::string>& warnings) {
    JsonMembers m = trace_members(plan, 0), stages;
    for (const PlannedStage* s : plan.shown_stages())
        stages.emplace_back(s->name, json_object(stage_members(plan, *s, squeeze)));
    m.emplace_back("stages", json_object(stages));
    m.emplace_back("warnings", json_strings(warnings));
    return json_object(m);
}

}  // namespace attn
