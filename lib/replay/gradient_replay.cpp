#include "lib/replay/gradient_replay.hpp"

#include "lib/replay/gradient_cells.hpp"
#include "lib/theirs/align.hpp"

namespace attn {

GradientReplay::GradientReplay(const Replay& replay)
    : replay_(replay), forward_(replay.plan(), BackwardNeeds::whole()) {
    forward_.compute();
}

HeldStages GradientReplay::forward(const HeldStages& given) const {
    HeldStages from = given;
    from.rows = from.merged_rows = counted(plan().queries);
    return replay_.run(replay_.none(), from, {});
}

std::optional<std::size_t> GradientReplay::place(std::string_view name) const {
    const std::vector<PlannedStage>& all = plan().gradients;
    for (std::size_t k = 0; k < all.size(); ++k)
        if (all[k].name == name) return k;
    return std::nullopt;
}

std::array<Index, 4> GradientReplay::shape_of(std::size_t place) const {
    const PlannedStage& s = plan().gradients[place];
    return four_by_axes(s.family, s.shape);
}

HeldGradients GradientReplay::run(const BackwardDeviation& deviation, const HeldStages& forward,
                                  const HeldGradients& given, bool cells) const {
    const Plan& p = plan();
    std::array<const Numbers4*, stage_count> taken{};
    for (const PlannedStage& s : p.stages) {
        const Phase phase = info_of(s.stage).phase;
        if (phase != Phase::cells && phase != Phase::paired) taken[idx(s.stage)] = forward[s.stage].get();
    }
    forward_.take(taken);
    HeldGradients out(p.gradients.size());
    gradient::Changes changes;
    changes.quirks = deviation.steps;
    for (std::size_t k = 0; k < given.size(); ++k)
        if (given[k] && p.gradients[k].of == StageOf::gradient)
            changes.given[idx(p.gradients[k].stage)] = given[k];
    HeldStages again;
    const HeldStages* read = &forward;
    if (deviation.recomputed) {
        HeldStages sources = replay_.before(forward, Stage::scores);
        sources.rows = sources.merged_rows = counted(p.queries);
        again = replay_.run(*deviation.recomputed, sources, {});
        read = &again;
    }
    GradientCells of_cells(replay_, deviation.cells, deviation.recomputed ? deviation.recomputed->plan : p,
                           *read, forward, changes.given);
    if (!p.state)
        changes.cells = [&](gradient::Backward<double>& backward) { of_cells.run(backward, cells); };
    gradient::Backward<double> backward(forward_, &changes);
    backward.run();
    for (std::size_t k = 0; k < out.size(); ++k) {
        const PlannedStage& s = p.gradients[k];
        const Phase phase = info_of(s.stage).phase;
        if (s.of == StageOf::gradient && (phase == Phase::cells || phase == Phase::paired)) {
            out[k] = of_cells.made(s.stage);
            continue;
        }
        if (s.of == StageOf::gradient && s.stage == Stage::states) continue;
        auto numbers = std::make_shared<Numbers4>();
        numbers->shape = shape_of(k);
        numbers->values = backward.numbers_of(s);
        out[k] = std::move(numbers);
    }
    return out;
}

}  // namespace attn
