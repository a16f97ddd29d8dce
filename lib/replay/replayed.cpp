#include "lib/replay/replayed.hpp"

#include <algorithm>

namespace attn {

HeldStages held_of(const Replay& replay, const StageSet& given) {
    HeldStages held;
    held.rows = held.merged_rows = counted(replay.plan().queries);
    for (const WholeStage& s : given) {
        const PlannedStage* planned = replay.plan().find(s.stage);
        if (!planned) continue;
        const std::array<Index, 4> shape = replay.shape_of(*planned);
        if (!std::equal(s.shape.begin(), s.shape.end(), shape.begin(), shape.end())) continue;
        auto numbers = std::make_shared<Numbers4>();
        numbers->shape = shape;
        numbers->values = s.values;
        held[s.stage] = std::move(numbers);
    }
    return held;
}

HeldGradients held_of(const GradientReplay& replay, const StageSet& gradients) {
    HeldGradients held(replay.plan().gradients.size());
    for (const WholeStage& g : gradients) {
        const auto place = replay.place(g.gradient);
        if (!place) continue;
        const std::array<Index, 4> shape = replay.shape_of(*place);
        if (!std::equal(g.shape.begin(), g.shape.end(), shape.begin(), shape.end())) continue;
        auto numbers = std::make_shared<Numbers4>();
        numbers->shape = shape;
        numbers->values = g.values;
        held[*place] = std::move(numbers);
    }
    return held;
}

std::optional<WholeStage> replayed(const Replay& replay, Stage stage, const StageSet& given) {
    const HeldStages made = replay.run(replay.none(), held_of(replay, given), {},
                                       std::uint64_t{1} << static_cast<unsigned>(stage));
    const Held& found = made[stage];
    if (!found) return std::nullopt;
    return WholeStage{stage, {found->shape.begin(), found->shape.end()}, found->values, {}};
}

std::optional<WholeStage> replayed(const GradientReplay& replay, const std::string& gradient,
                                   const HeldStages& forward, const StageSet& gradients) {
    const auto place = replay.place(gradient);
    if (!place) return std::nullopt;
    const HeldGradients made = replay.run({}, forward, held_of(replay, gradients));
    const Held& found = made[*place];
    if (!found) return std::nullopt;
    WholeStage out{replay.plan().gradients[*place].stage, {}, found->values, {}};
    out.shape = {found->shape.begin(), found->shape.end()};
    out.gradient = gradient;
    out.axes_of_gradient = replay.plan().gradients[*place].family;
    return out;
}

}  // namespace attn
