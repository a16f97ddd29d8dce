#include "lib/mistakes/trial.hpp"

#include <algorithm>
#include <cmath>

namespace attn {
namespace {

/// Numbers of a piece's cells that are held at once.
constexpr Index most_cells = Index{1} << 23;
/// Times the tolerance, at the size of the row: what sums in float32 may be off after a softmax of large
/// scores.
constexpr double room = 4;

/// The rows of a stage that are held; null: all.
const std::vector<Index>* rows_of(Stage s, const HeldStages& held) {
    const Phase phase = info_of(s).phase;
    if (phase == Phase::source || phase == Phase::state) return nullptr;
    return phase == Phase::merged ? &held.merged_rows : &held.rows;
}

}  // namespace

void Distance::add(const Distance& other) {
    squares += other.squares;
    if (other.most > most) {
        most = other.most;
        worst_row = other.worst_row;
        worst_item = other.worst_item;
    }
    count += other.count;
    outside += other.outside;
    above += other.above;
    far += other.far;
    strange += other.strange;
}

void Distance::add(double theirs, double ours, double slack, const Tolerance& tolerance, double size) {
    ++count;
    if (theirs == ours || (std::isnan(theirs) && std::isnan(ours))) return;
    const double d = std::abs(theirs - ours);
    if (!is_close(theirs, ours, slack, tolerance)) {
        ++outside;
        above += ours > theirs ? 1 : 0;
        if (!(d <= room * (tolerance.atol + tolerance.rtol * size))) ++far;
    }
    if (!std::isfinite(d)) {
        ++strange;
        return;
    }
    squares += d * d;
    most = std::max(most, d);
}

bool Distance::looks_rounded() const {
    constexpr Index least = 8, share = 5,
                    each_side = 8;  // a fifth of all cells, an eighth of them either way
    return outside >= std::max(least, count / share) &&
           std::min(above, outside - above) * each_side >= outside;
}

Trials::Trials(const Replay& replay, const StageSet& theirs, const Tolerance& tolerance)
    : replay_(replay), tolerance_(tolerance) {
    for (const PlannedStage& s : replay.plan().stages) {
        const WholeStage* t = find(theirs, s.stage);
        if (!t || s.stage == Stage::states) continue;
        const auto shape = replay.shape_of(s);
        if (static_cast<Index>(t->values.size()) != shape[0] * shape[1] * shape[2] * shape[3]) continue;
        stages_.push_back(&s);
        theirs_.push_back(t);
        finite_.push_back(
            std::any_of(t->values.begin(), t->values.end(), [](double x) { return std::isfinite(x); }));
        kept_ |= std::uint64_t{1} << static_cast<unsigned>(s.stage);
    }
}

Distance Trials::distance(std::size_t k, const Numbers4& ours, const std::vector<Index>* rows) const {
    Distance out;
    const auto shape = replay_.shape_of(*stages_[k]);
    const WholeStage& t = *theirs_[k];
    if (ours.shape[1] != shape[1] || ours.shape[3] != shape[3] || (!rows && ours.shape[2] != shape[2])) {
        out.strange = out.outside = out.far = 1;  // a mistake that changes the width of a stage
        return out;
    }
    const Index count = rows ? static_cast<Index>(rows->size()) : shape[2];
    for (Index b = 0; b < ours.shape[0]; ++b)
        for (Index h = 0; h < shape[1]; ++h)
            for (Index i = 0; i < count; ++i) {
                const Index row = rows ? (*rows)[idx(i)] : i;
                const auto first = static_cast<std::size_t>(((b * shape[1] + h) * shape[2] + row) * shape[3]);
                const double* mine = ours.row(b, h, i);
                double size = 0;
                for (Index j = 0; j < shape[3]; ++j)
                    if (std::isfinite(mine[j])) size = std::max(size, std::abs(mine[j]));
                for (std::size_t j = 0; j < static_cast<std::size_t>(shape[3]); ++j) {
                    const double before = out.most;
                    const Index strange = out.strange;
                    out.add(t.values[first + j], mine[j], t.slack(first + j), tolerance_, size);
                    if (out.most > before || (out.strange > strange && strange == 0 && out.most == 0)) {
                        out.worst_row = row;
                        out.worst_item = b;
                    }
                }
            }
    return out;
}

std::optional<std::size_t> Trials::place(Stage stage) const {
    for (std::size_t k = 0; k < stages_.size(); ++k)
        if (stages_[k]->stage == stage) return k;
    return std::nullopt;
}

Distance Trials::distance(std::size_t k, const HeldStages& held) const {
    const Stage s = stages_[k]->stage;
    if (held[s]) return distance(k, *held[s], rows_of(s, held));
    Distance none;
    none.strange = none.outside = none.far = 1;
    return none;
}

std::vector<Distance> Trials::distances(const HeldStages& held) const {
    std::vector<Distance> out(stages_.size());
    for (std::size_t k = 0; k < stages_.size(); ++k) out[k] = distance(k, held);
    return out;
}

std::vector<double> Trials::residuals(const HeldStages& held) const {
    std::vector<double> out;
    for (std::size_t k = 0; k < stages_.size(); ++k) {
        const Stage s = stages_[k]->stage;
        const auto shape = replay_.shape_of(*stages_[k]);
        if (!held[s] || held[s]->shape[1] != shape[1] || held[s]->shape[3] != shape[3]) return {};
        const std::vector<Index>* rows = rows_of(s, held);
        const Numbers4& ours = *held[s];
        for (Index b = 0; b < ours.shape[0]; ++b)
            for (Index h = 0; h < shape[1]; ++h)
                for (Index i = 0; i < ours.shape[2]; ++i) {
                    const Index row = rows ? (*rows)[idx(i)] : i;
                    const double* theirs =
                        theirs_[k]->values.data() + ((b * shape[1] + h) * shape[2] + row) * shape[3];
                    for (Index j = 0; j < shape[3]; ++j) {
                        const double d = theirs[j] - ours.row(b, h, i)[j];
                        out.push_back(std::isfinite(d) ? d : 0);
                    }
                }
    }
    return out;
}

Index Trials::rows_at_once() const {
    const Plan& p = replay_.plan();
    return std::clamp(most_cells / (p.batch * p.heads * p.keys), Index{1}, p.queries);
}

std::vector<Distance> Trials::whole(const Deviation& deviation) const {
    const Plan& p = replay_.plan();
    const Index step = rows_at_once();
    const bool in_pieces = step < p.queries && !p.state && deviation.quirks.along != Along::queries &&
                           !deviation.quirks.weights_transposed;
    if (!in_pieces) return distances(replay_.run(deviation, {}, {}, kept_));
    std::vector<Distance> out(stages_.size());
    HeldStages sources;
    for (Index from = 0; from < p.queries; from += step) {
        const Slice slice{0, counted(std::min(step, p.queries - from), from)};
        const HeldStages held = replay_.run(deviation, sources, slice, kept_);
        const std::vector<Distance> part = distances(held);
        for (std::size_t k = 0; k < out.size(); ++k) {
            const bool by_rows = info_of(stages_[k]->stage).phase != Phase::source;
            if (by_rows || from == 0) out[k].add(part[k]);
        }
        for (const StageInfo& s : all_stages())
            if (s.phase == Phase::source && from == 0) sources[s.stage] = held[s.stage];
    }
    return out;
}

}  // namespace attn
