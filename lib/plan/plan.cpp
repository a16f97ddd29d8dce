#include "lib/plan/plan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "lib/plan/builder.hpp"
#include "lib/plan/half.hpp"
#include "lib/plan/needs.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Numbers of a text in the precision of the arithmetic.
void choose_precision(Plan& plan) {
    for (TensorSource& t : plan.tensors) {
        if (t.as_float64 && is_wide(plan.dtype)) t.numbers = t.as_float64();
        t.as_float64 = nullptr;
    }
}

/// The numbers that are read are what each tensor may hold; a number above the largest of the arithmetic's
/// type is refused, not turned into an infinity.
void check_numbers(Plan& plan) {
    const Needs needs = needs_of(plan);
    const Rounding rounding = plan.rounding;
    for (std::size_t k = 0; k < plan.tensors.size(); ++k) {
        TensorSource& t = plan.tensors[k];
        const Element stored = t.numbers.element();
        const bool narrows = (!is_wide(plan.dtype) && stored == Element::float64) ||
                             (is_half(plan.dtype) && stored == Element::float32);
        if (t.kind != TensorSource::Kind::literal || (!t.check && !narrows)) continue;
        for (const NumberRange& r : numbers_read(plan, needs, k)) {
            if (t.check) t.check(r.first, r.count);
            for (Index at = r.first; narrows && at < r.first + r.count; ++at) {
                const double v = t.numbers[at];
                if (!std::isfinite(v) || std::isfinite(rounding(static_cast<float>(v)))) continue;
                fail(t.pointer,
                     "holds " + significant(v, 9) + ", above the largest " + name_of(plan.dtype) + " (" +
                         significant(largest_of(plan.dtype), 8) + ")",
                     is_half(plan.dtype) ? "write the type's own largest number; -Infinity hides a key"
                                         : "use \"dtype\": \"float64\"");
            }
        }
        t.check = nullptr;
        t.numbers.let_go();
    }
}

/// What enters arithmetic of half precision is rounded once; masks of 0 and 1 and what is stored in the type
/// stay as they are.
void round_inputs(Plan& plan) {
    const Rounding rounding = plan.rounding;
    if (!rounding.changes()) return;
    for (TensorSource& t : plan.tensors) {
        if (t.kind != TensorSource::Kind::literal || !is_floating(t.numbers.element()) ||
            t.numbers.element() == element_of(plan.dtype))
            continue;
        std::vector<float> numbers(idx(t.numbers.size()));
        t.numbers.copy(std::span<float>(numbers));
        rounding(numbers.data(), t.numbers.size());
        t.numbers = Numbers(std::move(numbers));
    }
    for (double& sink : plan.sinks) sink = rounding(sink);
}

}  // namespace

const PlannedStage* Plan::find(Stage stage) const {
    for (const PlannedStage& s : stages)
        if (s.stage == stage) return &s;
    return nullptr;
}

const PlannedStage* Plan::find_gradient(Stage of) const {
    for (const PlannedStage& s : gradients)
        if (s.of == StageOf::gradient && s.stage == of) return &s;
    return nullptr;
}

std::vector<const PlannedStage*> Plan::shown_stages() const {
    std::vector<const PlannedStage*> out;
    for (const auto* list : {&stages, &gradients})
        for (const PlannedStage& s : *list)
            if (s.shown) out.push_back(&s);
    return out;
}

bool Plan::shows_gradients() const {
    return std::any_of(gradients.begin(), gradients.end(), [](const PlannedStage& s) { return s.shown; });
}

bool Plan::shows_part() const {
    return !batch_shown.all || !heads_shown.all || !queries_shown.all || !keys_shown.all;
}

TokenBlock Plan::own_block(Index item, Index place) const {
    TokenBlock out;
    if (token_blocks.empty()) return out;
    for (const TokenBlock& block : token_blocks[idx(item)]) {
        if (place < block.from || place >= block.to) continue;
        const bool first = out.from == out.to;
        out = first ? block : TokenBlock{std::min(out.from, block.from), std::max(out.to, block.to)};
    }
    return out;
}

bool Plan::shows_anyway(Index item, Index query, Index key) const {
    if (!prefix.empty() && key < prefix[idx(item)]) return true;
    const TokenBlock own = own_block(item, query + offsets[idx(item)]);
    return own.from <= key && key < own.to;
}

Index Plan::rate_number(std::size_t tensor, Index item, Index head, Index token, Index column) const {
    const Shape& s = tensors[tensor].shape;
    const auto on = [&](std::size_t axis, Index n) { return s[axis] > 1 ? n : Index{0}; };
    const Index row = (on(0, item) * s[1] + on(1, head)) * s[2] + on(2, token);
    return s.size() == 4 ? row * s[3] + on(3, column) : row;
}

Index Plan::bias_number(Index item, Index head, Index query, Index key) const {
    const PlannedBias& bias = *position_bias;
    if (bias.buckets)
        return bucket_of(key - query - offsets[idx(item)], bias.rows, *bias.buckets) * heads + head;
    const Shape& shape = tensors[bias.tensor].shape;
    const Index own = shape.size() == 4 && shape[0] > 1 ? item : 0;
    return ((own * heads + head) * queries + query) * given_keys() + key;
}

const AxisSelection& Plan::heads_of(StageShape family) const {
    static const AxisSelection one{true, false, {0}};
    if (family == StageShape::shared_keys || !has_heads(family)) return one;
    if (has_grouped_heads(family)) return grouped_heads_shown;
    if (has_paired_heads(family)) return context_heads_shown;
    if (has_paired_kv_heads(family)) return value_heads_shown;
    return has_kv_heads(family) ? kv_heads_shown : heads_shown;
}

const AxisSelection& Plan::rows_of(StageShape family) const {
    static const AxisSelection no_tokens;
    if (family == StageShape::embedded) return embeddings_shown;
    switch (row_kind(family)) {
        case RowKind::queries:
            return queries_shown;
        case RowKind::new_keys:
            return new_keys_shown;
        case RowKind::all_keys:
            return keys_shown;
        case RowKind::past_keys:
            return past_keys_shown;
        case RowKind::whole:
            break;
    }
    return no_tokens;
}

const std::string* Plan::row_token(StageShape family, Index row) const {
    switch (row_kind(family)) {
        case RowKind::queries:
            return &query_tokens[idx(row)];
        case RowKind::new_keys:
            return &key_tokens[idx(row + past)];
        case RowKind::all_keys:
        case RowKind::past_keys:
            return &key_tokens[idx(row)];
        case RowKind::whole:
            break;
    }
    return nullptr;
}

const std::string* Plan::column_token(StageShape family, Index column) const {
    if (family == StageShape::per_query) return &query_tokens[idx(column)];
    if (!has_key_columns(family)) return nullptr;
    return &key_tokens[idx(has_all_keys(family) ? column : column + past)];
}

Shape Plan::shown_shape(const PlannedStage& stage) const {
    Shape shape = stage.shape;
    if (is_of_parameter(stage.family)) return shape;
    const auto axes = axes_of(stage.family);
    const bool cached = row_kind(stage.family) == RowKind::past_keys;
    const bool all_keys = row_kind(stage.family) == RowKind::all_keys || has_all_keys(stage.family);
    for (std::size_t k = 0; k < axes.size(); ++k) {
        const AxisSelection* s =
            axes[k] == Axis::batch  ? &batch_shown
            : axes[k] == Axis::head ? &heads_of(stage.family)
            : axes[k] == Axis::query
                ? (stage.family == StageShape::embedded ? &embeddings_shown : &queries_shown)
            : axes[k] == Axis::key ? (cached     ? &past_keys_shown
                                      : all_keys ? &keys_shown
                                                 : &new_keys_shown)
                                   : nullptr;
        if (s) shape[k] = static_cast<Index>(s->indices.size());
    }
    return shape;
}

Index bucket_of(Index distance, Index buckets, const Buckets& rule) {
    const Index left = rule.bidirectional ? buckets / 2 : buckets, half = left / 2;
    const Index first = rule.bidirectional && distance > 0 ? left : 0;
    const Index apart = rule.bidirectional ? std::abs(distance) : std::max(-distance, Index{0});
    if (apart < half) return first + apart;
    const float reach = std::log(static_cast<float>(rule.max_distance) / static_cast<float>(half));
    const float step = std::log(static_cast<float>(apart) / static_cast<float>(half)) / reach *
                       static_cast<float>(left - half);
    return first + half + std::min(static_cast<Index>(step), left - half - 1);
}

Schedule whole(const Rules& rules) {
    Schedule out;
    const auto all = [](AxisSelection& s, Index n) { s.indices = counted(n); };
    all(out.batch_shown, rules.batch);
    all(out.heads_shown, rules.heads);
    all(out.queries_shown, rules.queries);
    all(out.embeddings_shown, rules.queries);
    all(out.keys_shown, rules.keys);
    all(out.kv_heads_shown, rules.kv_heads);
    all(out.value_heads_shown, rules.value_heads());
    all(out.context_heads_shown, rules.context_heads());
    all(out.grouped_heads_shown, rules.query_heads());
    all(out.new_keys_shown, rules.new_keys);
    all(out.past_keys_shown, rules.past);
    out.path = rules.state ? Path::recurrent : Path::traced;
    return out;
}

Plan make_plan(Problem problem, const Request& request) {
    Builder b{std::move(problem), request, {}, {}, {}, {}, {}};
    b.plan.dtype = request.dtype ? *request.dtype : b.problem.dtype.value_or(DType::float32);
    b.plan.rounding = Rounding(b.plan.dtype);
    b.plan.weights_from = b.problem.weights_from;
    b.plan.id = b.problem.id;
    choose_variant(b);
    refuse_foreign_options(b);
    refuse_in_half(b);
    if (b.plan.variant->keeps_state()) b.plan.state.emplace();
    if (b.plan.variant->differential)
        b.plan.differential.emplace().pairing = b.problem.pairing.value_or(Pairing::interleaved);
    resolve_inputs(b);
    resolve_embeddings_norm(b);
    resolve_weights(b);
    resolve_differential(b);
    resolve_keys(b);
    resolve_state(b);
    choose_scale(b);
    resolve_masks(b);
    resolve_scores(b);
    place_gradient(b);
    resolve_draws(b);
    resolve_tokens(b);
    choose_precision(b.plan);
    resolve_stages(b);
    resolve_gradients(b);
    resolve_selection(b);
    check_numbers(b.plan);
    round_inputs(b.plan);
    resolve_cost(b);
    return std::move(b.plan);
}

}  // namespace attn
