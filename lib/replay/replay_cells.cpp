// The stages of queries x keys of a replay.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/replay/replay_work.hpp"
#include "lib/run/dropout_rows.hpp"
#include "lib/run/ops.hpp"

namespace attn {
namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();
constexpr std::uint64_t bit(Stage s) { return std::uint64_t{1} << static_cast<unsigned>(s); }

void cap(double* row, Index keys, const Plan& plan, const Quirks& quirks) {
    for (Index j = 0; j < keys; ++j) row[j] *= quirks.cap_inside;
    ops::cap(row, row, keys, *plan.softcap, plan.rounding);
    for (Index j = 0; j < keys; ++j) row[j] *= quirks.cap_outside;
}

}  // namespace

/// Scores to contexts, stage by stage in the order of the plan, each in the place of the one before.
void Replay::attend(Work& w, std::uint64_t kept) const {
    const Plan& plan = w.plan;
    const auto rows = static_cast<Index>(w.made.rows.size());
    // Nothing before the last given stage is needed.
    const PlannedStage* last_given = nullptr;
    for (const PlannedStage& s : plan.stages)
        if (is_cells(s) && w.given[s.stage]) {
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
        if (!is_cells(s)) continue;
        if (skip) {
            if (&s != last_given) continue;
            *cells = *w.given[s.stage];
            skip = false;
            if (s.stage == last_scores) take_lse(*cells);
            if (s.stage == Stage::scores) scale_unplanned(w, *cells);
            continue;
        }
        if (s.stage == Stage::differential_weights) {
            *cells = subtracted(w, *cells);
        } else if (s.stage == Stage::scores) {
            scores(w, *cells);
        } else if (s.stage == Stage::weights) {
            mask_unplanned(w, *cells);
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
                                  w.quirks.dropout_factor.value_or(dropout->kept_factor<double>()));
                    }
        } else {
            for (Index b = 0; b < plan.batch; ++b)
                for (Index h = 0; h < plan.heads; ++h)
                    for (Index i = 0; i < rows; ++i) row_stage(w, s.stage, b, h, i, cells->row(b, h, i));
        }
        w.rounding_of(s.stage)(cells->values.data(), static_cast<Index>(cells->values.size()));
        if (kept & bit(s.stage)) w[s.stage] = std::make_shared<Numbers4>(*cells);
        if (!goes_on(w)) return;
        if (s.stage == last_scores) take_lse(*cells);
        if (s.stage == Stage::scores) scale_unplanned(w, *cells);
    }
    if (last_weights) w.take(Stage::mean_weights, [&] { return mean_over_heads(w, *cells); });
    if (!w.given[Stage::context]) context(w, *cells);
}

/// A scale where the plan has none, and no stage for it.
void Replay::scale_unplanned(const Work& w, Numbers4& cells) const {
    if (!w.plan.scaled || plan_.find(Stage::scaled_scores)) return;
    for (double& x : cells.values) x *= w.plan.scale;
}

/// A mask where the plan has none, and no stage for it.
void Replay::mask_unplanned(const Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    if (!plan.masked || plan_.masked || w.quirks.masks_weights) return;
    const auto rows = static_cast<Index>(w.made.rows.size());
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h)
            for (Index i = 0; i < rows; ++i)
                mask_row(w, b, h, w.made.rows[idx(i)], w.hidden_row(b, h, i), cells.row(b, h, i));
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
            for (Index h = 0; h < cells.shape[1]; ++h)
                for (Index j = 0; j < plan.keys; ++j)
                    out->row(b, 0, i)[j] +=
                        cells.row(b, h, at - w.made.rows.begin())[j] / static_cast<double>(cells.shape[1]);
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
            if (quirks.cap_before_scale && plan.softcap) cap(row, keys, plan, quirks);
            for (Index j = 0; j < keys && plan.scaled; ++j) row[j] *= plan.scale;
            return;
        case Stage::capped_scores:
            if (plan.softcap && !quirks.cap_after_mask && !quirks.cap_before_scale)
                cap(row, keys, plan, quirks);
            return;
        case Stage::biased_scores:
            if (quirks.bias_times != 1 || quirks.bias_transposed || plan.alibi != plan_.alibi)
                add_biases(w, b, h, query, row);
            else
                w.biases.add(b, h, query, 0, keys, row);
            return;
        case Stage::masked_scores:
            if (plan.masked) mask_row(w, b, h, query, hidden, row);
            if (quirks.cap_after_mask && plan.softcap) cap(row, keys, plan, quirks);
            return;
        case Stage::masked_weights:
            if (hidden) ops::mask_weights(row, row, keys, hidden);
            return;
        case Stage::renormalized_weights:
            if (!hidden || quirks.masks_weights) return;
            if (std::all_of(hidden, hidden + keys, [](std::uint8_t c) { return c != 0; })) {
                ops::fill_empty(row, keys, plan.empty_rows);
            } else {
                ops::renormalize(row, row, keys, plan.rounding);
            }
            return;
        // These look at more than one row (attend), and the others are no cells.
        case Stage::scores:
        case Stage::weights:
        case Stage::dropped_weights:
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
        case Stage::query_latent:
        case Stage::normed_query_latent:
        case Stage::latent:
        case Stage::normed_latent:
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::rope_keys:
        case Stage::rotated_queries:
        case Stage::rotated_keys:
        case Stage::tempered_queries:
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
        case Stage::decay:
        case Stage::beta:
        case Stage::all_keys:
        case Stage::all_values:
        case Stage::differential_weights:
        case Stage::context:
        case Stage::state:
        case Stage::states:
        case Stage::normed_context:
        case Stage::gated_context:
        case Stage::concat:
        case Stage::normed_concat:
        case Stage::head_outputs:
        case Stage::output:
        case Stage::lse:
        case Stage::mean_weights:
            return;
    }
}

/// ALiBi with the slopes of the deviation, the position bias with its factor, the other way round.
void Replay::add_biases(const Work& w, Index b, Index h, Index query, double* row) const {
    const Plan& slopes = w.plan;
    const double slope = slopes.alibi.empty() ? 0 : slopes.alibi[idx(h)];
    const Index diagonal = query + plan_.offsets[idx(b)];
    for (Index j = 0; j < plan_.given_keys(); ++j) {
        row[j] -= slope * static_cast<double>(diagonal - j);
        if (!plan_.position_bias || w.quirks.bias_times == 0) continue;
        const Index number =
            w.quirks.bias_transposed ? plan_.bias_number(b, h, j, query) : plan_.bias_number(b, h, query, j);
        row[j] += w.quirks.bias_times * tensors_[plan_.position_bias->tensor][idx(number)];
    }
}

/// Masks added and hidden cells filled.
void Replay::mask_row(const Work& w, Index b, Index h, Index query, const std::uint8_t* hidden,
                      double* row) const {
    std::vector<double> added(static_cast<std::size_t>(w.plan.keys));
    b = w.mask_item(b, h);
    if (w.mask.adds()) w.mask.add(b, h, query, added.data());
    const std::uint8_t* ones = w.ones.empty() ? nullptr : w.ones.data() + (hidden - w.hidden.data());
    for (Index j = 0; j < w.plan.keys && ones; ++j) row[j] += ones[j];
    for (Index j = 0; j < w.plan.keys; ++j) {
        const double more = added[idx(j)];
        if (hidden[j] != 0 && !w.quirks.masks_weights) {
            row[j] =
                w.quirks.fill_is_added
                    ? static_cast<double>(static_cast<float>(row[j]) + static_cast<float>(*w.quirks.fill))
                    : w.quirks.fill.value_or(minus_infinity);
        } else if (more != minus_infinity) {
            row[j] += w.quirks.added_times * more;
        }
    }
}

}  // namespace attn
