#include "lib/run/traced.hpp"

#include <algorithm>
#include <limits>

#include "lib/run/ops.hpp"

namespace attn {
namespace {

bool is_cells(const PlannedStage& s) { return info_of(s.stage).phase == Phase::cells; }

}  // namespace

template <class T>
Traced<T>::Traced(const Operands<T>& operands, const Needs& needs, const DropoutRows& dropout, Arena& arena,
                  Pool& pool)
    : operands_(operands),
      plan_(operands.plan),
      dropout_(dropout),
      pool_(pool),
      rounding_(operands.plan.rounding),
      kernel_(kernels::table<T>()) {
    if (plan_.packed) packs_.emplace(operands, arena, false);
    spaces_.resize(static_cast<std::size_t>(pool.workers()));
    for (TraceSpace<T>& w : spaces_) {
        for (const PlannedStage& s : plan_.stages)
            if (is_cells(s) && needs.has(s.stage))
                w.own[idx(s.stage)] = arena.take<T>(plan_.row_block * plan_.keys);
        w.own[idx(Stage::context)] = arena.take<T>(plan_.row_block * plan_.value_dim);
        w.rest = arena.take<T>(plan_.row_block * plan_.value_dim);
        w.at = w.own;
    }
}

template <class T>
auto Traced<T>::groups(const std::vector<Index>& batch) const -> std::vector<Group> {
    const auto at_once = static_cast<std::size_t>(packs_ ? packs_->capacity() : plan_.batch * plan_.kv_heads);
    std::vector<Group> out;
    for (const Index b : batch) {
        for (const Index h : operands_.heads) {
            const KeyHead key{b, plan_.kv_head_of(h)};
            const auto has = [&](const Group& g) {
                return std::find(g.keys.begin(), g.keys.end(), key) != g.keys.end();
            };
            if (out.empty() || (!has(out.back()) && out.back().keys.size() == at_once)) out.emplace_back();
            if (!has(out.back())) out.back().keys.push_back(key);
            out.back().heads.push_back({b, h});
        }
    }
    return out;
}

template <class T>
void Traced<T>::hold(const Group& group, bool with_values) {
    held_ = group.keys;
    if (packs_) packs_->hold(held_, with_values, pool_);
}

template <class T>
Index Traced<T>::slot_of(const RowBlock& block) const {
    const KeyHead k{block.batch, plan_.kv_head_of(block.head)};
    return std::find(held_.begin(), held_.end(), k) - held_.begin();
}

template <class T>
void Traced<T>::compute(const RowBlock& block, const Needs& needs, bool marks, TraceSpace<T>& w) const {
    const Index keys = plan_.keys;
    w.empty.assign(static_cast<std::size_t>(block.rows), 0);
    if (plan_.masked && (marks || operands_.mask.has_cells() || plan_.mask_at == MaskAt::weights)) {
        w.hidden.resize(static_cast<std::size_t>(block.rows * keys));
        for (Index i = 0; i < block.rows; ++i)
            operands_.mask.hide(block.batch, block.head, block.query + i, w.hidden.data() + i * keys);
    }
    scores(block, w.at[idx(Stage::scores)]);
    rounding_(w.at[idx(Stage::scores)], block.rows * keys);
    // The stages after the scores, as the plan orders them: each reads the one before it.
    std::vector<const PlannedStage*> rest;
    for (const PlannedStage& s : plan_.stages)
        if (is_cells(s) && needs.has(s.stage) && s.stage != Stage::scores) rest.push_back(&s);
    // Row by row, so that what a stage reads has just been written.
    for (Index i = 0; i < block.rows; ++i) {
        const T* in = w.at[idx(Stage::scores)] + i * keys;
        for (const PlannedStage* s : rest) {
            T* out = w.at[idx(s->stage)] + i * keys;
            row(*s, block, i, in, out, w);
            rounding_(out, keys);
            in = out;
        }
    }
    if (w.log_sums) {
        const T* in = w.at[idx(plan_.find(Stage::lse)->reads.front())];
        const double sink =
            plan_.sinks.empty() ? -std::numeric_limits<double>::infinity() : plan_.sinks[idx(block.head)];
        for (Index i = 0; i < block.rows; ++i)
            w.log_sums[i] = rounding_(ops::log_of_sum(in + i * keys, keys, sink));
    }
    if (needs.has(Stage::context))
        context(block, w.at[idx(rest.back()->stage)], w.at[idx(Stage::context)], w);
    if (needs.has(Stage::context)) rounding_(w.at[idx(Stage::context)], block.rows * plan_.value_dim);
}

/// Only a softmax of scaled scores, of keys that follow one another, stands between scores and weights.
template <class T>
bool Traced<T>::is_plain(const Needs& needs, const StagePlaces<T>& past) const {
    const bool others = std::any_of(plan_.stages.begin(), plan_.stages.end(), [&](const PlannedStage& s) {
        return is_cells(s) && needs.has(s.stage) && s.stage != Stage::scores &&
               s.stage != Stage::scaled_scores && s.stage != Stage::masked_scores &&
               s.stage != Stage::weights;
    });
    const Index lanes = kernel_.tile.lanes;
    const auto fits = [&](Stage s) {
        return reinterpret_cast<std::uintptr_t>(past[idx(s)]) % (idx(lanes) * sizeof(T)) == 0;
    };
    const auto& mask = operands_.mask;
    return !rounding_.changes() && !others && needs.has(Stage::weights) && !needs.has(Stage::lse) &&
           plan_.keys % lanes == 0 && fits(Stage::scores) && fits(Stage::scaled_scores) &&
           fits(Stage::masked_scores) && plan_.normalize == Normalize::softmax && plan_.sinks.empty() &&
           !plan_.has_appended() && !mask.has_cells() && !mask.has_holes() &&
           (!plan_.masked || plan_.mask_at != MaskAt::weights);
}

template <class T>
bool Traced<T>::compute_past(const RowBlock& block, const Needs& needs, const StagePlaces<T>& past,
                             TraceSpace<T>& w) const {
    if (!is_plain(needs, past)) return false;
    const Index keys = plan_.keys;
    T* const scores_of_block = w.at[idx(Stage::scores)];
    T* const weights_of_block = w.at[idx(Stage::weights)];
    const T factor = plan_.find(Stage::scaled_scores) ? static_cast<T>(plan_.scale) : T{1};
    w.empty.assign(idx(block.rows), 0);
    w.row.resize(idx(keys));
    scores(block, scores_of_block);
    for (Index i = 0; i < block.rows; ++i) {
        const Visible seen =
            plan_.masked ? operands_.mask.visible(block.batch, block.query + i) : Visible{0, keys};
        if (seen.from >= seen.to) return false;
        const auto place = [&](Stage s) { return past[idx(s)] ? past[idx(s)] + i * keys : nullptr; };
        if (!kernel_.scale_past(
                scores_of_block + i * keys, w.row.data(), keys, factor, seen.from, seen.to,
                {place(Stage::scores), place(Stage::scaled_scores), place(Stage::masked_scores)}))
            return false;
        T* const weights = weights_of_block + i * keys;
        ops::softmax_within(w.row.data(), weights, keys, seen.from, seen.to);
        if (T* const to = place(Stage::weights)) kernel_.copy_past(weights, to, keys);
    }
    if (needs.has(Stage::context)) context(block, weights_of_block, w.at[idx(Stage::context)], w);
    return true;
}

template <class T>
void Traced<T>::scores(const RowBlock& block, T* out) const {
    const T* queries = operands_.queries_of(block);
    const Index stride = operands_.queries.token;
    if (plan_.additive) {
        const std::span<const T> v = operands_.additive;
        const T* own =
            v.data() + (static_cast<Index>(v.size()) > plan_.dim ? block.head * plan_.dim : Index{0});
        for (Index i = 0; i < block.rows; ++i)
            for (Index j = 0; j < plan_.keys; ++j)
                out[i * plan_.keys + j] = ops::additive_score(
                    queries + i * stride, operands_.keys.row(block.batch, plan_.kv_head_of(block.head), j),
                    own, plan_.dim, rounding_);
        return;
    }
    if (packs_) {
        packs_->scores(slot_of(block), 0, plan_.keys, queries, stride, out, plan_.keys, block.rows);
        return;
    }
    kernel_.dot_rows(queries, stride, operands_.keys.row(block.batch, plan_.kv_head_of(block.head), 0),
                     operands_.keys.token, out, plan_.keys, block.rows, plan_.keys, plan_.dim);
}

template <class T>
void Traced<T>::context(const RowBlock& block, const T* weights, T* out, const TraceSpace<T>& w) const {
    const Index keys = plan_.keys, width = plan_.value_dim;
    if (!packs_) {
        kernel_.multiply(
            weights, keys,
            operands_.values.row(block.batch, plan_.value_head_of(plan_.kv_head_of(block.head)), 0),
            operands_.values.token, out, width, block.rows, width, keys);
        return;
    }
    // Blocks that are hidden from every row have weights 0; a row that sees nothing has weights of its own.
    Visible seen{0, keys};
    if (plan_.masked && std::all_of(w.empty.begin(), w.empty.end(), [](std::uint8_t e) { return e == 0; })) {
        seen = {operands_.mask.visible(block.batch, block.query).from,
                operands_.mask.visible(block.batch, block.query + block.rows - 1).to};
        if (plan_.has_appended()) seen.to = keys;
    }
    const Index at = slot_of(block);
    std::fill_n(out, block.rows * width, T{0});
    std::fill_n(w.rest, block.rows * width, T{0});
    constexpr Index step = blocking::unit;
    for (Index from = seen.from / step * step; from < seen.to; from += step)
        packs_->add_values(at, from, std::min(from + step, keys), weights + from, keys, out, w.rest, width,
                           block.rows);
    kernel_.add_rest(w.rest, out, block.rows * width);
}

template <class T>
void Traced<T>::row(const PlannedStage& stage, const RowBlock& block, Index i, const T* in, T* out,
                    TraceSpace<T>& w) const {
    const Index keys = plan_.keys, query = block.query + i;
    const std::uint8_t* hidden = w.hidden.empty() ? nullptr : w.hidden.data() + i * keys;
    const auto fill_if_empty = [&](bool empty) {
        if (!empty) return false;
        w.empty[idx(i)] = 1;
        ops::fill_empty(out, keys, plan_.empty_rows);
        return true;
    };
    switch (stage.stage) {
        case Stage::scaled_scores:
            kernel_.scale(in, out, keys, static_cast<T>(plan_.scale));
            break;
        case Stage::capped_scores:
            ops::cap(in, out, keys, *plan_.softcap, rounding_);
            break;
        case Stage::biased_scores:
            std::copy_n(in, keys, out);
            operands_.biases.add(block.batch, block.head, query, 0, keys, out);
            break;
        case Stage::masked_scores:
            if (!operands_.mask.has_cells()) {
                ops::keep_range(in, out, keys, operands_.mask.visible(block.batch, query), plan_.given_keys(),
                                -std::numeric_limits<T>::infinity());
                break;
            }
            if (operands_.mask.adds()) {
                w.added.resize(static_cast<std::size_t>(keys));
                operands_.mask.add(block.batch, block.head, query, w.added.data());
            }
            ops::mask_scores(in, out, keys, hidden, operands_.mask.adds() ? w.added.data() : nullptr);
            break;
        case Stage::weights: {
            const bool hides = plan_.masked && plan_.mask_at != MaskAt::weights && !plan_.has_appended();
            const Visible seen = hides ? operands_.mask.visible(block.batch, query) : Visible{0, keys};
            if (hides && fill_if_empty(!ops::sees_a_key(in + seen.from, seen.to - seen.from))) break;
            if (plan_.normalize == Normalize::sum) {
                ops::divide_by_sum(in, out, keys, rounding_);
            } else if (plan_.normalize == Normalize::sigmoid) {
                ops::sigmoid(in, out, keys);
            } else if (plan_.sinks.empty()) {
                ops::softmax_within(in, out, keys, seen.from, seen.to);
            } else {
                ops::softmax_with_sink(in, out, keys, plan_.sinks[idx(block.head)]);
            }
            break;
        }
        case Stage::masked_weights:
            ops::mask_weights(in, out, keys, hidden);
            break;
        case Stage::renormalized_weights:
            if (!fill_if_empty(std::all_of(hidden, hidden + keys, [](std::uint8_t c) { return c != 0; })))
                ops::renormalize(in, out, keys, rounding_);
            break;
        case Stage::dropped_weights:
            ops::drop(in, out, keys, w.keep.data() + i * keys, dropout_.kept_factor<T>());
            break;
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
        case Stage::scores:
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
            break;
    }
}

template class Traced<float>;
template class Traced<double>;

}  // namespace attn
