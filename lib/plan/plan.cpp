#include "lib/plan/plan.hpp"

#include <cmath>

#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Numbers of a text in the precision of the arithmetic.
void choose_precision(Plan& plan) {
    for (TensorSource& t : plan.tensors) {
        if (t.as_float64 && plan.dtype == DType::float64) t.numbers = t.as_float64();
        t.as_float64 = nullptr;
    }
}

/// In float32 a number above its largest is refused, not turned into an infinity.
void check_ranges(const Plan& plan) {
    if (plan.dtype != DType::float32) return;
    for (const TensorSource& t : plan.tensors) {
        if (t.numbers.element() != Element::float64) continue;
        for (Index k = 0; k < t.numbers.size(); ++k) {
            const double v = t.numbers[k];
            if (!std::isfinite(v) || std::isfinite(static_cast<float>(v))) continue;
            fail(t.pointer, "holds " + significant(v, 9) + ", above the largest float32 (3.4028235e+38)",
                 "use \"dtype\": \"float64\"");
        }
    }
}

}  // namespace

const PlannedStage* Plan::find(Stage stage) const {
    for (const PlannedStage& s : stages)
        if (s.stage == stage) return &s;
    return nullptr;
}

bool Plan::shows_part() const {
    return !batch_shown.all || !heads_shown.all || !queries_shown.all || !keys_shown.all;
}

const AxisSelection& Plan::heads_of(StageShape family) const {
    static const AxisSelection one{true, false, {0}};
    if (family == StageShape::shared_keys || !has_heads(family)) return one;
    return has_kv_heads(family) ? kv_heads_shown : heads_shown;
}

const AxisSelection& Plan::rows_of(StageShape family) const {
    static const AxisSelection no_tokens;
    switch (row_kind(family)) {
        case RowKind::queries:
            return queries_shown;
        case RowKind::new_keys:
            return new_keys_shown;
        case RowKind::all_keys:
            return keys_shown;
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
    const auto axes = axes_of(stage.family);
    const bool all_keys = stage.family == StageShape::all_key_dim || has_all_keys(stage.family);
    for (std::size_t k = 0; k < axes.size(); ++k) {
        const AxisSelection* s = axes[k] == Axis::batch   ? &batch_shown
                                 : axes[k] == Axis::head  ? &heads_of(stage.family)
                                 : axes[k] == Axis::query ? &queries_shown
                                 : axes[k] == Axis::key   ? (all_keys ? &keys_shown : &new_keys_shown)
                                                          : nullptr;
        if (s) shape[k] = static_cast<Index>(s->indices.size());
    }
    return shape;
}

Schedule whole(const Rules& rules) {
    Schedule out;
    const auto all = [](AxisSelection& s, Index n) { s.indices = counted(n); };
    all(out.batch_shown, rules.batch);
    all(out.heads_shown, rules.heads);
    all(out.queries_shown, rules.queries);
    all(out.keys_shown, rules.keys);
    all(out.kv_heads_shown, rules.kv_heads);
    all(out.new_keys_shown, rules.new_keys);
    out.path = rules.state ? Path::recurrent : Path::traced;
    return out;
}

Plan make_plan(Problem problem, const Request& request) {
    Builder b{std::move(problem), request, {}, {}, {}, {}, {}};
    b.plan.dtype = request.dtype ? *request.dtype : b.problem.dtype.value_or(DType::float32);
    b.plan.weights_from = b.problem.weights_from;
    choose_variant(b);
    refuse_foreign_options(b);
    if (b.plan.variant->keeps_state()) b.plan.state.emplace();
    resolve_inputs(b);
    resolve_weights(b);
    resolve_keys(b);
    resolve_state(b);
    choose_scale(b);
    resolve_masks(b);
    resolve_scores(b);
    resolve_tokens(b);
    choose_precision(b.plan);
    check_ranges(b.plan);
    resolve_stages(b);
    resolve_selection(b);
    resolve_cost(b);
    return std::move(b.plan);
}

}  // namespace attn
