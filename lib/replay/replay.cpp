#include "lib/replay/replay.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/kernels/kernels.hpp"
#include "lib/replay/replay_work.hpp"
#include "lib/run/ops.hpp"
#include "lib/run/recurrence.hpp"
#include "lib/run/sources.hpp"

namespace attn {
namespace {

/// The plan in double, by one worker, without what only is shown.
Plan plain(Plan plan) {
    plan = in_double(std::move(plan));
    plan.query_tokens.clear();
    plan.key_tokens.clear();
    return plan;
}

}  // namespace

Replay::Replay(const Plan& plan) : plan_(plain(plan)), pool_(1), tensors_(plan_, pool_) {}

std::array<Index, 4> Replay::shape_of(const PlannedStage& stage) const {
    const Shape& s = stage.shape;
    switch (stage.family) {
        case StageShape::embedded:
        case StageShape::merged_queries:
        case StageShape::merged:
        case StageShape::merged_cells:
        case StageShape::merged_keys:
            return {s[0], 1, s[1], s[2]};
        case StageShape::per_query:
            return {s[0], s[1], s[2], 1};
        case StageShape::per_key:
            if (s.size() == 3) return {s[0], s[1], s[2], 1};
            break;
        case StageShape::states:
            return {s[0], s[1], s[2] * s[3], s[4]};
        case StageShape::query_dim:
        case StageShape::grouped_queries:
        case StageShape::paired_queries:
        case StageShape::key_dim:
        case StageShape::grouped_keys:
        case StageShape::all_key_dim:
        case StageShape::paired_keys:
        case StageShape::paired_all_keys:
        case StageShape::shared_keys:
        case StageShape::query_key:
        case StageShape::paired_cells:
        case StageShape::state:
        // Of gradients alone, which no replay has.
        case StageShape::past_key_dim:
        case StageShape::paired_past_keys:
        case StageShape::merged_past_keys:
        case StageShape::past_taps:
        case StageShape::vector:
        case StageShape::per_head:
        case StageShape::head_vectors:
        case StageShape::matrix_in_out:
        case StageShape::matrix_out_in:
        case StageShape::matrices_in_out:
        case StageShape::matrices_out_in:
        case StageShape::split_kernel:
        case StageShape::taps:
        case StageShape::bias_cells:
        case StageShape::item_bias_cells:
        case StageShape::bucket_heads:
            break;
    }
    return {s[0], s[1], s[2], s[3]};
}

std::vector<Index> Replay::rows_of(const Deviation& d, const Slice& slice) const {
    const Index n = d.plan.queries;
    if (slice.rows.empty() || d.plan.state) return counted(n);
    if (d.quirks.weights_transposed || d.quirks.along == Along::queries ||
        d.quirks.batch_axes != BatchAxes::planned)
        return counted(n);
    if (d.quirks.merge != HeadLayout::flat) return slice.rows;
    std::vector<Index> rows = slice.rows;  // the mean over heads is of these
    // A merged row holds the contexts heads * r ... of [head, query].
    for (const Index r : slice.rows)
        for (Index k = 0; k < d.plan.context_heads(); ++k)
            rows.push_back((r * d.plan.context_heads() + k) % n);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
}

HeldStages Replay::before(const HeldStages& held, Stage first) const {
    HeldStages out;
    // Where a plan masks before it scales, its order is not that of all stages: stopping early is safe, more
    // is computed than need be.
    for (const PlannedStage& s : plan_.stages) {
        if (!stands_before(s.stage, first)) break;
        out[s.stage] = held[s.stage];
    }
    out.rows = held.rows;
    out.merged_rows = held.merged_rows;
    return out;
}

HeldStages Replay::run(const Deviation& deviation, const HeldStages& given, const Slice& slice,
                       std::uint64_t kept, const Watch& watch) const {
    Work w(deviation, plan_, given, tensors_);
    if (watch) w.watch = &watch;
    w.made.rows = rows_of(deviation, slice);
    w.made.merged_rows = slice.rows.empty() || w.plan.state ? counted(w.plan.queries) : slice.rows;
    // Rows that were taken for another slice, or another need, are of no use.
    for (const PlannedStage& s : plan_.stages) {
        const Phase phase = info_of(s.stage).phase;
        if (phase == Phase::source || phase == Phase::state) continue;
        if (phase == Phase::merged ? given.merged_rows != w.made.merged_rows : given.rows != w.made.rows)
            w.given[s.stage] = nullptr;
    }
    project(w);
    if (goes_on(w)) prepare(w);
    if (goes_on(w)) {
        if (w.plan.state) {
            recur(w);
        } else if (w.quirks.batch_axes != BatchAxes::planned) {
            attend_across_items(w, kept);
        } else {
            attend(w, kept);
        }
    }
    if (goes_on(w)) finish(w);
    return std::move(w.made);
}

bool Replay::goes_on(Work& w) const {
    if (!w.watch || w.ended) return !w.ended;
    for (const PlannedStage& s : plan_.stages) {
        const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(s.stage);
        if (!w.made[s.stage] || (w.told & bit) != 0) continue;
        w.told |= bit;
        w.ended = !(*w.watch)(s.stage, w.made);
        if (w.ended) return false;
    }
    return true;
}

void Replay::recur(Work& w) const {
    const Plan& plan = w.plan;
    Arena arena;
    Findings findings(plan);
    const Operands<double> operands{
        plan, w.mask, w.biases, w.q->view(), true, w.k->view(), w.v->view(), counted(plan.heads), {}};
    const auto view = [&](Stage s) { return w[s] ? w[s]->view() : View<double>{}; };
    const std::span<const double> past =
        plan.state->past ? tensors_[*plan.state->past] : std::span<const double>{};
    Recurrence<double> recurrence(operands, view(Stage::decay), view(Stage::beta), past, arena, pool_);
    const std::array<Index, 4> state_shape{plan.batch, plan.kv_heads, plan.dim, plan.value_dim};
    w.take(Stage::context, [&] {
        auto out = std::make_shared<Numbers4>(
            std::array<Index, 4>{plan.batch, plan.heads, plan.queries, plan.value_dim});
        Contexts<double> contexts(plan, findings, false, plan.heads);
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.heads; ++h) contexts.set_place(b, h, out->row(b, h, 0));
        recurrence.run(&contexts, true);
        auto state = std::make_shared<Numbers4>(state_shape);
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.kv_heads; ++h)
                std::copy_n(recurrence.state(b, h), plan.dim * plan.value_dim, state->row(b, h, 0));
        w[Stage::state] = state;
        return Held(out);
    });
    if (w.given[Stage::state]) w[Stage::state] = w.given[Stage::state];
}

void Replay::scores(Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    const auto& kernel = kernels::table<double>();
    const std::vector<Index>& rows = w.made.rows;
    const std::span<const double> v = plan.additive ? tensors_[*plan.additive] : std::span<const double>{};
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h) {
            const Index kv = w.kv_head_of(h);
            const double* own =
                v.data() + (static_cast<Index>(v.size()) > plan.dim ? h * plan.dim : Index{0});
            for_ranges(rows, [&](Index from, Index to) {
                const double* q = w.q->row(b, h, rows[idx(from)]);
                double* out = cells.row(b, h, from);
                if (v.empty()) {
                    kernel.dot_rows(q, w.q->shape[3], w.k->row(b, kv, 0), w.k->shape[3], out, plan.keys,
                                    to - from, plan.keys, plan.dim);
                    return;
                }
                for (Index i = 0; i < to - from; ++i)
                    for (Index j = 0; j < plan.keys; ++j)
                        out[i * plan.keys + j] = ops::additive_score(
                            q + i * w.q->shape[3], w.k->row(b, kv, j), own, plan.dim, plan.rounding);
            });
        }
}

/// The weights of heads from those of their half heads.
Numbers4 Replay::subtracted(const Work& w, const Numbers4& cells) const {
    const Plan& plan = w.plan;
    const PlannedDifferential& pairs = *plan.differential;
    const double lambda = pairs.factor([&](std::size_t k, Index at) { return tensors_[k][idx(at)]; });
    const Index heads = plan.context_heads(), n = cells.shape[2] * plan.keys;
    Numbers4 out({plan.batch, heads, cells.shape[2], plan.keys});
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < heads; ++h) {
            const auto half = [&](bool second) {
                const Index of = pairs.half_of(h, second, heads);
                return cells.row(b, w.chosen(w.quirks.weights_of, of, of), 0);
            };
            std::transform(half(false), half(false) + n, half(true), out.row(b, h, 0),
                           [lambda](double first, double second) { return first - lambda * second; });
        }
    return out;
}

void Replay::context(Work& w, const Numbers4& weights) const {
    const Plan& plan = w.plan;
    const Index heads = plan.context_heads();
    const auto& kernel = kernels::table<double>();
    const auto rows = static_cast<Index>(w.made.rows.size());
    auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, heads, rows, plan.value_dim});
    const Quirks& quirks = w.quirks;
    Numbers4 mean;
    if (quirks.weights_averaged) {
        mean = Numbers4({plan.batch, 1, rows, plan.keys});
        const double share = 1 / static_cast<double>(heads);
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < heads; ++h)
                for (Index k = 0; k < rows * plan.keys; ++k)
                    mean.row(b, 0, 0)[k] += share * weights.row(b, h, 0)[k];
    }
    std::vector<double> turned(w.quirks.weights_transposed ? static_cast<std::size_t>(rows * plan.keys) : 0);
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < heads; ++h) {
            const bool own = plan.differential.has_value();  // half heads have been exchanged
            const double* from = quirks.weights_averaged
                                     ? mean.row(b, 0, 0)
                                     : weights.row(b, own ? h : w.chosen(quirks.weights_of, h, h), 0);
            for (Index i = 0; i < rows && !turned.empty(); ++i)
                for (Index j = 0; j < plan.keys; ++j) turned[idx(j * rows + i)] = from[i * plan.keys + j];
            kernel.multiply(turned.empty() ? from : turned.data(), plan.keys, w.v->row(b, w.values_of(h), 0),
                            w.v->shape[3], out->row(b, h, 0), plan.value_dim, rows, plan.value_dim,
                            plan.keys);
        }
    w.rounding_of(Stage::context)(out->values.data(), static_cast<Index>(out->values.size()));
    w[Stage::context] = out;
}

}  // namespace attn
