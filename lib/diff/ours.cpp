#include "lib/diff/ours.hpp"

#include <algorithm>

#include "lib/diff/cut.hpp"
#include "lib/error.hpp"
#include "lib/gradient/computation.hpp"
#include "lib/text.hpp"
#include "lib/theirs/gradient_names.hpp"
#include "lib/trace/recorder.hpp"

namespace attn {
namespace {

void sort(StageSet& set) {
    std::sort(set.begin(), set.end(),
              [](const WholeStage& a, const WholeStage& b) { return a.stage < b.stage; });
}

TraceAxes axes_of_heads(const Plan& plan) {
    return {true, plan.kv_interleaved, plan.past, plan.heads,
            plan.differential ? std::optional(plan.differential->pairing) : std::nullopt};
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
    ours.type = element_of(plan.dtype);
    ours.heads = plan.heads_shown.all ? plan.heads : static_cast<Index>(plan.heads_shown.indices.size());
    auto all = recorder.take_stages();
    for (const PlannedStage& s : plan.gradients) {
        const auto found = all.find(s.name);
        if (found == all.end()) continue;
        const std::array<Index, 4> shape = four_by_axes(s.family, found->second.shape);
        WholeStage& to = ours.gradients.emplace_back();
        to.stage = s.stage;
        to.shape = {shape.begin(), shape.end()};
        to.values = std::move(found->second.values);
        to.gradient = s.name;
        to.axes_of_gradient = s.family;
        all.erase(found);
    }
    for (auto& [name, recorded] : all) {
        GivenArray array;
        array.shape = std::move(recorded.shape);
        array.values = std::move(recorded.values);
        if (auto stage = own_stage(std::move(array), *stage_named(name)))
            ours.stages.push_back(std::move(*stage));
    }
    ours.selection = selection_of(plan);
    ours.axes = axes_of_heads(plan);
    sort(ours.stages);
    return ours;
}

Dump dumped(const Plan& plan, std::vector<std::string>& warnings) {
    Recorder recorder;
    warnings = run(plan, recorder);
    Dump dump;
    auto all = recorder.take_stages();
    for (const PlannedStage* s : plan.shown_stages()) {
        const auto found = all.find(s->name);
        if (found == all.end()) continue;
        GivenArray& array = dump.arrays.emplace_back();
        array.name = s->name;
        array.shape = std::move(found->second.shape);
        array.values = std::move(found->second.values);
        array.type = element_of(plan.dtype);
        array.computed = true;
        for (const Axis axis : axes_of(s->family)) array.axes.emplace_back(name_of(axis));
        dump.order.push_back(s->name);
    }
    dump.selection = selection_of(plan);
    dump.axes = axes_of_heads(plan);
    return dump;
}

std::vector<Stage> order_of(const Layer& layer) {
    std::vector<Stage> stages;
    for (const NamedArray& a : layer.arrays) stages.push_back(a.stage);
    if (!layer.dump || layer.dump->order.empty()) return stages;
    const auto& order = layer.dump->order;
    const auto place = [&](Stage s) { return std::find(order.begin(), order.end(), info_of(s).name); };
    std::stable_sort(stages.begin(), stages.end(), [&](Stage a, Stage b) { return place(a) < place(b); });
    return stages;
}

std::vector<OwnGradient> gradients_of(const Layer& layer) {
    std::vector<OwnGradient> out;
    for (const NamedGradient& g : layer.gradients)
        for (const std::string& name : g.among)
            if (auto own = own_gradient_named(name)) out.push_back(std::move(*own));
    return out;
}

Ours traced(const Layer& layer) {
    Ours ours;
    ours.order = order_of(layer);
    ours.type = Element::float64;
    for (const NamedArray& a : layer.arrays) {
        const Shape shape = a.array->shape;
        ours.decimals = ours.decimals || (a.array->as_ours && !a.array->type);
        if (a.array->type != Element::float64) ours.type = Element::float32;
        auto stage = own_stage(std::move(*a.array), a.stage);
        if (!stage) {
            std::string axes;
            for (const std::string& name : names_by_axes(info_of(a.stage).shape))
                axes += (axes.empty() ? "" : ", ") + name;
            Error error(Exit::input, {},
                        "has " + std::string(info_of(a.stage).name) + " of the shape " + to_string(shape) +
                            ", expected [" + axes + "]");
            if (layer.dump) error.place.file = layer.dump->file;
            throw error;
        }
        if (has_heads(info_of(a.stage).shape) && row_kind(info_of(a.stage).shape) == RowKind::queries)
            ours.heads = std::max(ours.heads, stage->shape[1]);
        ours.stages.push_back(std::move(*stage));
    }
    for (const OwnGradient& own : gradients_of(layer))
        for (const NamedGradient& g : layer.gradients) {
            if (g.among.front() != own.name) continue;
            if (g.array->type != Element::float64) ours.type = Element::float32;
            auto gradient = own_stage(std::move(*g.array), own.stage);
            if (!gradient) continue;
            gradient->gradient = own.name;
            ours.gradients.push_back(std::move(*gradient));
        }
    for (const LeftOut& left : layer.left_out) ours.others.push_back(left.array);
    sort(ours.stages);
    if (layer.dump) {
        ours.selection = layer.dump->selection;
        ours.axes = layer.dump->axes;
        ours.heads = std::max(ours.heads, ours.axes.heads);
    }
    return ours;
}

}  // namespace attn
