#include "lib/diff/ours.hpp"

#include <algorithm>

#include "lib/error.hpp"
#include "lib/run/run.hpp"
#include "lib/text.hpp"
#include "lib/trace/recorder.hpp"

namespace attn {
namespace {

void sort(StageSet& set) {
    std::sort(set.begin(), set.end(),
              [](const WholeStage& a, const WholeStage& b) { return a.stage < b.stage; });
}

}  // namespace

std::vector<Stage> order_of(const Plan& plan) {
    std::vector<Stage> order;
    for (const PlannedStage& s : plan.stages) order.push_back(s.stage);
    return order;
}

Ours computed(const Plan& plan, std::vector<std::string>& warnings) {
    Recorder recorder;
    warnings = run(plan, recorder);
    Ours ours;
    ours.order = order_of(plan);
    ours.type = plan.dtype == DType::float32 ? Element::float32 : Element::float64;
    ours.heads = plan.heads_shown.all ? plan.heads : static_cast<Index>(plan.heads_shown.indices.size());
    for (const auto& [name, recorded] : recorder.stages()) {
        GivenArray array;
        array.shape = recorded.shape;
        array.values = recorded.values;
        if (auto stage = own_stage(array, *stage_named(name))) ours.stages.push_back(std::move(*stage));
    }
    sort(ours.stages);
    return ours;
}

Ours traced(const Layer& layer) {
    Ours ours;
    ours.type = Element::float64;
    bool narrow = false, known = true;
    for (const NamedArray& a : layer.arrays) {
        auto stage = own_stage(*a.array, a.stage);
        if (!stage) {
            Error error(Exit::input, {},
                        visible(a.array->name) + " is " + to_string(a.array->shape) + ", which no " +
                            std::string(info_of(a.stage).name) + " is");
            if (layer.dump) error.place.file = layer.dump->file;
            throw error;
        }
        known = known && a.array->type.has_value();
        narrow = narrow || a.array->type != Element::float64;
        if (has_heads(info_of(a.stage).shape) && row_kind(info_of(a.stage).shape) == RowKind::queries)
            ours.heads = std::max(ours.heads, stage->shape[1]);
        ours.stages.push_back(std::move(*stage));
        ours.order.push_back(a.stage);
    }
    if (narrow || !known) ours.type = Element::float32;
    sort(ours.stages);
    if (layer.dump && !layer.dump->order.empty()) {
        const auto& order = layer.dump->order;
        const auto place = [&](Stage s) { return std::find(order.begin(), order.end(), info_of(s).name); };
        std::stable_sort(ours.order.begin(), ours.order.end(),
                         [&](Stage a, Stage b) { return place(a) < place(b); });
    }
    return ours;
}

}  // namespace attn
