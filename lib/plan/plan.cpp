#include "lib/plan/plan.hpp"

#include <cmath>

#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

const Variant& variant_named(std::string_view name) {
    for (const Variant& v : all_variants())
        if (v.name == name) return v;
    throw Error(Exit::defect, {}, "the table of variants has no " + std::string(name));
}

/// W_Q of TransformerLens says how many heads there are.
bool weights_have_heads(const Problem& p) {
    for (const NamedWeights& set : p.weights)
        for (const NamedTensor& t : set.tensors) {
            const WeightName& name = *weight_named(t.name);
            if (name.role == WeightRole::query && name.family == WeightFamily::lens && !name.bias &&
                t.tensor.shape[0] > 1)
                return true;
        }
    return false;
}

void choose_scale(Builder& b) {
    Plan& plan = b.plan;
    if (b.problem.scale_none || (!b.problem.scale && (!plan.variant->scaled || b.problem.normalizer))) {
        plan.scale_text = "none";
        return;
    }
    plan.scaled = true;
    if (b.problem.scale) {
        plan.scale = *b.problem.scale;
        plan.scale_text = significant(plan.scale, 9);
        if (plan.dtype == DType::float32 && !std::isfinite(static_cast<float>(plan.scale)))
            fail("/scale", "is " + plan.scale_text + ", above the largest float32",
                 "use \"dtype\": \"float64\"");
    } else {
        plan.scale = 1 / std::sqrt(static_cast<double>(plan.dim));
        plan.scale_text = "1/√" + std::to_string(plan.dim);
    }
}

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

void choose_variant(Builder& b) {
    const Problem& p = b.problem;
    Plan& plan = b.plan;
    if (p.variant) {
        std::vector<std::string_view> names;
        for (const Variant& v : all_variants()) names.push_back(v.name);
        for (const Variant& v : all_variants())
            if (v.name == *p.variant) plan.variant = &v;
        if (plan.variant) return;
        std::string hint = did_you_mean(*p.variant, names);
        if (hint.empty()) {
            hint = "variants:";
            for (const auto& n : names) hint += " " + std::string(n);
        }
        fail("/variant", "is \"" + *p.variant + "\", which is no variant", hint);
    }
    const auto infer = [&](std::string_view name, std::string because) {
        plan.variant = &variant_named(name);
        plan.inferred_because = std::move(because);
    };
    if (p.queries) {
        infer("scaled_dot_product", "queries are given");
    } else if (p.weights_are_a_list) {
        infer("stacked_heads", "the weights are a list");
    } else if (!p.has_weights) {
        infer("simplified", "there are no weights");
    } else if (p.key_embeddings) {
        infer("cross_attention", "key_embeddings are given");
    } else if (p.num_heads && *p.num_heads > 1) {
        infer("multi_head", "num_heads is above 1");
    } else if (!p.num_heads && weights_have_heads(p)) {
        infer("multi_head", "the weights have a head axis");
    } else if (p.causal && p.causal->kind != Causal::Kind::none) {
        infer("causal_attention", "causal is asked for");
    } else {
        infer("self_attention", "there are weights and one head");
    }
}

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
            return &query_tokens[static_cast<std::size_t>(row)];
        case RowKind::new_keys:
            return &key_tokens[static_cast<std::size_t>(row + past)];
        case RowKind::all_keys:
            return &key_tokens[static_cast<std::size_t>(row)];
        case RowKind::whole:
            break;
    }
    return nullptr;
}

const std::string* Plan::column_token(StageShape family, Index column) const {
    if (!has_key_columns(family)) return nullptr;
    return &key_tokens[static_cast<std::size_t>(family == StageShape::query_key ? column : column + past)];
}

Shape Plan::shown_shape(const PlannedStage& stage) const {
    Shape shape = stage.shape;
    const auto axes = axes_of(stage.family);
    const bool all_keys = stage.family == StageShape::all_key_dim || stage.family == StageShape::query_key;
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
