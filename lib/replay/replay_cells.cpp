// The stages of queries x keys of a replay.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "lib/replay/replay_work.hpp"
#include "lib/run/dropout_rows.hpp"
#include "lib/run/ops.hpp"

namespace attn {
namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();
constexpr std::uint64_t bit(Stage s) { return std::uint64_t{1} << static_cast<unsigned>(s); }

void round_row(double* row, Index n, Rounding r) {
    std::transform(row, row + n, row, [r](double x) { return rounded(x, r); });
}

}  // namespace

/// Scores to contexts, stage by stage in the order of the plan, each in the place of the one before.
void Replay::attend(Work& w, std::uint64_t kept) const {
    const Plan& plan = w.plan;
    const auto rows = static_cast<Index>(w.made.rows.size());
    // Nothing before the last given stage is needed.
    const PlannedStage* last_given = nullptr;
    for (const PlannedStage& s : plan.stages)
        if (s.family == StageShape::query_key && w.given[s.stage]) {
            last_given = &s;
            w[s.stage] = w.given[s.stage];
        }
    const auto take_lse = [&](const Numbers4& scores) {
        auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, plan.heads, rows, 1});
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.heads; ++h)
                for (Index i = 0; i < rows; ++i)
                    *out->row(b, h, i) = ops::log_of_sum(scores.row(b, h, i), plan.keys,
                                                         plan.sinks.empty() ? -HUGE_VAL : plan.sinks[idx(h)]);
        w.take(Stage::lse, [&] { return Held(out); });
    };
    const auto read_by = [&](Stage s) {
        const PlannedStage* stage = plan.find(s);
        return stage && (kept & bit(s)) ? std::optional(stage->reads.front()) : std::nullopt;
    };
    const std::optional<Stage> last_scores = read_by(Stage::lse), last_weights = read_by(Stage::mean_weights);
    if (w.given[Stage::context]) {
        w[Stage::context] = w.given[Stage::context];
        if (!last_scores && !last_weights) return;
    }
    hide(w);
    auto cells = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, plan.heads, rows, plan.keys});
    std::optional<DropoutRows> dropout;
    bool skip = last_given != nullptr;
    for (const PlannedStage& s : plan.stages) {
        if (s.family != StageShape::query_key) continue;
        if (skip) {
            if (&s != last_given) continue;
            *cells = *w.given[s.stage];
            skip = false;
            if (s.stage == last_scores) take_lse(*cells);
            continue;
        }
        if (s.stage == Stage::scores) {
            scores(w, *cells);
        } else if (s.stage == Stage::weights) {
            weigh(w, *cells);
        } else if (s.stage == Stage::dropped_weights) {
            if (!plan.dropout) continue;
            dropout.emplace(plan, tensors_);
            std::vector<std::uint8_t> keep(static_cast<std::size_t>(plan.keys));
            for (Index b = 0; b < plan.batch; ++b)
                for (Index h = 0; h < plan.heads; ++h)
                    for (Index i = 0; i < rows; ++i) {
                        dropout->row(b, h, w.made.rows[idx(i)], keep.data());
                        ops::drop(cells->row(b, h, i), cells->row(b, h, i), plan.keys, keep.data(),
                                  dropout->kept_factor<double>());
                    }
        } else {
            for (Index b = 0; b < plan.batch; ++b)
                for (Index h = 0; h < plan.heads; ++h)
                    for (Index i = 0; i < rows; ++i) row_stage(w, s.stage, b, h, i, cells->row(b, h, i));
        }
        const bool is_product = s.stage == Stage::scores || s.stage == Stage::scaled_scores;
        if (is_weights(s.stage) ? w.quirks.round_weights
                                : w.quirks.round_scores || (is_product && w.quirks.round_products))
            round_row(cells->values.data(), static_cast<Index>(cells->values.size()), w.quirks.round);
        if (kept & bit(s.stage)) w[s.stage] = std::make_shared<Numbers4>(*cells);
        if (s.stage == last_scores) take_lse(*cells);
    }
    if (last_weights) w.take(Stage::mean_weights, [&] { return mean_over_heads(w, *cells); });
    if (!w.given[Stage::context]) context(w, *cells);
}

/// Of the rows that merged stages hold.
Held Replay::mean_over_heads(const Work& w, const Numbers4& cells) const {
    const Plan& plan = w.plan;
    const auto rows = static_cast<Index>(w.made.merged_rows.size());
    auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, 1, rows, plan.keys});
    for (Index b = 0; b < plan.batch; ++b)
        for (Index i = 0; i < rows; ++i) {
            const auto at =
                std::lower_bound(w.made.rows.begin(), w.made.rows.end(), w.made.merged_rows[idx(i)]);
            for (Index h = 0; h < plan.heads; ++h)
                for (Index j = 0; j < plan.keys; ++j)
                    out->row(b, 0, i)[j] +=
                        cells.row(b, h, at - w.made.rows.begin())[j] / static_cast<double>(plan.heads);
        }
    return out;
}

/// Those stages that look at one row and no other, in place.
void Replay::row_stage(Work& w, Stage stage, Index b, Index h, Index line, double* row) const {
    const Plan& plan = w.plan;
    const Quirks& quirks = w.quirks;
    const Index keys = plan.keys, query = w.made.rows[idx(line)];
    const std::uint8_t* hidden = w.hidden_row(b, h, line);
    switch (stage) {
        case Stage::scaled_scores:
            for (Index j = 0; j < keys && plan.scaled; ++j) row[j] *= plan.scale;
            return;
        case Stage::capped_scores:
            if (plan.softcap && !quirks.cap_after_mask) ops::cap(row, row, keys, *plan.softcap);
            return;
        case Stage::biased_scores:
            w.biases.add(b, h, query, 0, keys, row);
            return;
        case Stage::masked_scores:
            if (plan.masked) mask_row(w, b, h, query, hidden, row);
            if (quirks.cap_after_mask && plan.softcap) ops::cap(row, row, keys, *plan.softcap);
            return;
        case Stage::masked_weights:
            if (hidden) ops::mask_weights(row, row, keys, hidden);
            return;
        case Stage::renormalized_weights:
            if (!hidden || quirks.masks_weights) return;
            if (std::all_of(hidden, hidden + keys, [](std::uint8_t c) { return c != 0; })) {
                ops::fill_empty(row, keys, plan.empty_rows);
            } else {
                ops::renormalize(row, row, keys);
            }
            return;
        // These look at more than one row (attend), and the others are no cells.
        case Stage::scores:
        case Stage::weights:
        case Stage::dropped_weights:
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
        case Stage::latent:
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::rope_keys:
        case Stage::rotated_queries:
        case Stage::rotated_keys:
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::decay:
        case Stage::beta:
        case Stage::all_keys:
        case Stage::all_values:
        case Stage::context:
        case Stage::state:
        case Stage::states:
        case Stage::normed_context:
        case Stage::gated_context:
        case Stage::concat:
        case Stage::head_outputs:
        case Stage::output:
        case Stage::lse:
        case Stage::mean_weights:
            return;
    }
}

/// Masks added and hidden cells filled.
void Replay::mask_row(const Work& w, Index b, Index h, Index query, const std::uint8_t* hidden,
                      double* row) const {
    std::vector<double> added(static_cast<std::size_t>(w.plan.keys));
    if (w.mask.adds()) w.mask.add(b, h, query, added.data());
    for (Index j = 0; j < w.plan.keys; ++j) {
        const double more = added[idx(j)];
        if (hidden[j] != 0 && !w.quirks.masks_weights) {
            row[j] = w.quirks.fill.value_or(minus_infinity);
        } else if (more != minus_infinity) {
            row[j] += more;
        }
    }
}

void Replay::weigh(Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    const auto rows = static_cast<Index>(w.made.rows.size());
    if (w.quirks.along != Along::keys) return weigh_across(w, cells);
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h)
            for (Index i = 0; i < rows; ++i) {
                double* row = cells.row(b, h, i);
                weigh_row(w, b, h, i, row);
                if (w.quirks.weights_times == 1) continue;
                for (Index j = 0; j < plan.keys; ++j) row[j] *= w.quirks.weights_times;
            }
}

void Replay::weigh_row(const Work& w, Index b, Index h, Index line, double* row) const {
    const Plan& plan = w.plan;
    const Index keys = plan.keys;
    const std::uint8_t* hidden = w.hidden_row(b, h, line);
    if (w.quirks.normal == Normal::none) return;
    const bool before = plan.masked && plan.mask_at != MaskAt::weights && !w.quirks.masks_weights;
    if (before && !plan.has_appended() && !ops::sees_a_key(row, keys)) {
        ops::fill_empty(row, keys, plan.empty_rows);
        return;
    }
    if (w.quirks.normal == Normal::base_two)
        for (Index j = 0; j < keys; ++j) row[j] *= std::numbers::ln2;
    if (plan.normalize == Normalize::sum) {
        ops::divide_by_sum(row, row, keys);
    } else if (plan.normalize == Normalize::sigmoid) {
        ops::sigmoid(row, row, keys);
    } else if (plan.sinks.empty()) {
        ops::softmax(row, row, keys);
    } else {
        ops::softmax_with_sink(row, row, keys, plan.sinks[idx(h)]);
    }
    if (w.quirks.masks_weights && plan.mask_at != MaskAt::weights && hidden)
        ops::mask_weights(row, row, keys, hidden);
}

/// A softmax along another axis than the keys.
void Replay::weigh_across(Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    const bool heads = w.quirks.along == Along::heads;
    const auto rows = static_cast<Index>(w.made.rows.size());
    const Index count = heads ? plan.heads : rows, others = heads ? rows : plan.heads;
    const Index step = heads ? rows * plan.keys : plan.keys;
    std::vector<double> line(static_cast<std::size_t>(count));
    for (Index b = 0; b < plan.batch; ++b)
        for (Index o = 0; o < others; ++o)
            for (Index j = 0; j < plan.keys; ++j) {
                double* at = (heads ? cells.row(b, 0, o) : cells.row(b, o, 0)) + j;
                for (Index k = 0; k < count; ++k) line[idx(k)] = at[k * step];
                if (plan.masked && !ops::sees_a_key(line.data(), count)) {
                    ops::fill_empty(line.data(), count, plan.empty_rows);
                } else {
                    ops::softmax(line.data(), line.data(), count);
                }
                for (Index k = 0; k < count; ++k) at[k * step] = line[idx(k)] * w.quirks.weights_times;
            }
    if (!w.quirks.masks_weights || plan.mask_at == MaskAt::weights || !plan.masked) return;
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h)
            for (Index i = 0; i < rows; ++i)
                ops::mask_weights(cells.row(b, h, i), cells.row(b, h, i), plan.keys, w.hidden_row(b, h, i));
}

}  // namespace attn
