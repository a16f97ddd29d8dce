#include <algorithm>
#include <array>

#include "lib/input/choices.hpp"
#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// "embeddings · W_query + b_query", or the input's own name where nothing projects it.
std::string projected(const Builder& b, WeightRole r, const std::string& input, std::string_view role) {
    const Projection& p = b.plan.projection(r);
    if (b.plan.projected_given) return "as given";
    if (p.weight.empty()) return input;
    return input + " · W_" + std::string(role) + (p.bias.empty() ? "" : " + b_" + std::string(role));
}

std::string scaled(const Plan& plan, const std::string& of) {
    if (plan.scale_text.starts_with("1/√")) return of + " / " + plan.scale_text.substr(2);
    return of + " · " + plan.scale_text;
}

/// Columns of a stage.
Index width_of(const Plan& plan, Stage stage) {
    switch (stage) {
        case Stage::queries:
        case Stage::normed_queries:
            return plan.query_dim;
        case Stage::keys:
        case Stage::normed_keys:
            return plan.key_dim;
        case Stage::latent:
            return plan.projection(WeightRole::latent).d_out;
        case Stage::rope_keys:
            return plan.projection(WeightRole::rope_key).d_out;
        case Stage::rotated_queries:
        case Stage::rotated_keys:
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::all_keys:
        case Stage::decay:
            return plan.dim;
        case Stage::concat:
            return plan.heads * plan.value_dim;
        case Stage::head_outputs:
        case Stage::output:
            return plan.output_dim;
        default:
            return plan.value_dim;
    }
}

Shape shape_of(const Plan& plan, Stage stage, StageShape family) {
    const bool states = family == StageShape::state || family == StageShape::states;
    const bool all_keys = family == StageShape::all_key_dim || family == StageShape::query_key;
    Shape shape;
    for (const Axis a : axes_of(family)) {
        shape.push_back(a == Axis::batch   ? plan.batch
                        : a == Axis::head  ? (family == StageShape::shared_keys ? 1
                                              : has_kv_heads(family)            ? plan.kv_heads
                                                                                : plan.heads)
                        : a == Axis::query ? plan.queries
                        : a == Axis::key   ? (all_keys ? plan.keys : plan.new_keys)
                                           : width_of(plan, stage));
    }
    if (states) shape[shape.size() - 2] = plan.dim;
    return shape;
}

/// From the scores to the context; returns the name of the last stage.
template <class Add>
std::string add_scores(Builder& b, const std::string& queries, const std::string& keys, Add&& add) {
    Plan& plan = b.plan;
    add(Stage::scores,
        plan.additive ? "v · tanh(" + queries + " + " + keys + ")"
                      : queries + (plan.projects(WeightRole::score) ? " · W_score · " : " · ") + keys + "ᵀ");
    std::string last = "scores";
    const bool adds = std::any_of(plan.masks.begin(), plan.masks.end(),
                                  [](const MaskRule& m) { return m.kind == MaskKind::add; });
    const bool hides = plan.causal || plan.window || plan.key_lengths ||
                       std::any_of(plan.masks.begin(), plan.masks.end(),
                                   [](const MaskRule& m) { return m.kind != MaskKind::add; });
    const auto scale = [&] {
        if (!plan.scaled) return;
        add(Stage::scaled_scores, scaled(plan, last));
        last = "scaled_scores";
    };
    const auto mask = [&] {
        add(Stage::masked_scores, last + (adds ? " + mask" : "") + (hides ? ", -inf where hidden" : ""));
        last = "masked_scores";
    };
    const auto cap_and_bias = [&] {
        if (plan.softcap) {
            const std::string c = significant(*plan.softcap, 9);
            add(Stage::capped_scores, c + " · tanh(" + last + " / " + c + ")");
            last = "capped_scores";
        }
        if (plan.alibi.empty() && !plan.position_bias) return;
        add(Stage::biased_scores, last + (plan.alibi.empty() ? "" : " - slope · (i + offset - j)") +
                                      (plan.position_bias ? " + position_bias" : ""));
        last = "biased_scores";
    };
    if (plan.masked && plan.mask_at == MaskAt::scores) {
        mask();
        scale();
        cap_and_bias();
    } else {
        scale();
        cap_and_bias();
        if (plan.masked && plan.mask_at == MaskAt::scaled_scores) mask();
    }
    add(Stage::weights, plan.normalize == Normalize::sum       ? last + " / row sum"
                        : plan.normalize == Normalize::sigmoid ? "sigmoid(" + last + ")"
                        : plan.sinks.empty()                   ? "softmax(" + last + ")"
                                                               : "softmax(" + last + ", sink)");
    last = "weights";
    if (plan.masked && plan.mask_at == MaskAt::weights) {
        add(Stage::masked_weights, "weights, 0 where hidden");
        add(Stage::renormalized_weights, "masked_weights / row sum");
        last = "renormalized_weights";
    }
    if (plan.dropout) {
        add(Stage::dropped_weights, plan.dropout->p == 1
                                        ? "0 · " + last
                                        : last + " · keep / (1 - " + significant(plan.dropout->p, 9) + ")");
        last = "dropped_weights";
    }
    add(Stage::context, last + " · " + b.values_name);
    return "context";
}

/// What stands in place of scores and weights where a state is kept.
template <class Add, class AddAs>
std::string add_state(const Builder& b, std::string queries, std::string keys, Add&& add, AddAs&& add_as) {
    const Plan& plan = b.plan;
    const PlannedState& state = *plan.state;
    if (state.feature_map) {
        constexpr std::array<const char*, 3> maps{"elu", "relu", "identity"};
        const bool elu = *state.feature_map == FeatureMap::elu1;
        const auto mapped = [&](const std::string& of) {
            return maps[static_cast<std::size_t>(*state.feature_map)] + ("(" + of + ")") +
                   (elu ? " + 1" : "");
        };
        add(Stage::mapped_queries, mapped(queries));
        add(Stage::mapped_keys, mapped(keys));
        queries = "mapped_queries";
        keys = "mapped_keys";
    }
    const auto per_key = [&](Stage stage, bool by_column, std::string formula) {
        add_as(stage, by_column ? StageShape::key_dim : StageShape::per_key, std::move(formula));
    };
    if (state.decays)
        per_key(Stage::decay, state.decay_by_column,
                state.decay ? "as given"
                            : (state.log_rate ? "-exp(A_log) · softplus(" : "-softplus(") + b.key_name +
                                  " · W_decay" + (state.bias ? " + dt_bias)" : ")"));
    if (state.has_beta)
        per_key(Stage::beta, state.beta_by_column,
                state.beta ? "as given" : "sigmoid(" + b.key_name + " · W_beta)");
    const std::string seen = plan.causal ? "state after the token" : "state";
    add(Stage::context,
        (plan.scaled ? scaled(plan, queries + " · (" + seen + ")") : queries + " · (" + seen + ")") +
            (state.normalizer ? " / (" + queries + " · sum of " + keys + ")" : ""));
    const std::string old = state.decays ? "e^decay · S" : "S";
    const std::string step = state.delta ? old + " + " + keys + "ᵀ · " + (state.has_beta ? "beta · " : "") +
                                               "(values - " + keys + " · " + old + ")"
                                         : old + " + " + keys + "ᵀ · values";
    add(Stage::state, "S after the last token: S = " + step);
    add(Stage::states, "S after each token: S = " + step);
    return "context";
}

}  // namespace

void resolve_stages(Builder& b) {
    Plan& plan = b.plan;
    const auto add_as = [&](Stage stage, StageShape family, std::string formula) {
        plan.stages.push_back(
            {stage, info_of(stage).name, std::move(formula), family, shape_of(plan, stage, family), false});
    };
    const auto add = [&](Stage stage, std::string formula) {
        add_as(stage, info_of(stage).shape, std::move(formula));
    };
    if (plan.variant->is_latent()) {
        const bool two = plan.projects(WeightRole::query_latent);
        add(Stage::queries,
            two ? b.query_name + " · W_DQ · W_UQ" : projected(b, WeightRole::query, b.query_name, "query"));
        add(Stage::keys, "latent · W_UK");
        add(Stage::values, "latent · W_UV");
        add(Stage::latent, b.key_name + " · W_DKV");
    } else {
        add(Stage::queries, projected(b, WeightRole::query, b.query_name, "query"));
        add(Stage::keys, projected(b, WeightRole::key, b.key_name, "key"));
        add(Stage::values, projected(b, WeightRole::value, b.value_name, "value"));
    }
    std::string queries = "queries", keys = "keys";
    if (plan.qk_norm) {
        const std::string norm = std::string(choice_name(plan.qk_norm->type)) + "_norm";
        const std::string gain = plan.qk_norm->plus_one ? " · (1 + " : " · ";
        const auto weighted = [&](const std::string& of, bool given, const char* name) {
            return norm + "(" + of + ")" + (given ? gain + name + (plan.qk_norm->plus_one ? ")" : "") : "");
        };
        add(Stage::normed_queries, weighted(queries, plan.query_norm.has_value(), "q_norm"));
        add(Stage::normed_keys, weighted(keys, plan.key_norm.has_value(), "k_norm"));
        queries = "normed_queries";
        keys = "normed_keys";
    }
    if (plan.rope) {
        if (plan.projects(WeightRole::rope_key)) {
            const std::string last = std::to_string(plan.rope->dims);
            add(Stage::rope_keys, "rotate(" + b.key_name + " · W_KR, position)");
            add(Stage::rotated_queries, "queries, the last " + last + " columns rotated");
            add(Stage::rotated_keys, "keys, rope_keys");
        } else {
            add(Stage::rotated_queries, "rotate(" + queries + ", position)");
            add(Stage::rotated_keys, "rotate(" + keys + ", position)");
        }
        queries = "rotated_queries";
        keys = "rotated_keys";
    }
    if (plan.past > 0 || plan.has_appended()) {
        const auto joined = [&](const std::string& name, const char* past, const char* bias) {
            return (plan.past > 0 ? past + std::string(", ") : "") + name +
                   (plan.bias_k ? std::string(", ") + bias : "") + (plan.zero_key ? ", 0" : "");
        };
        const bool latent = plan.past_latent.has_value();
        add(Stage::all_keys, joined(keys,
                                    !latent               ? "past_keys"
                                    : plan.past_rope_keys ? "(past_latent · W_UK, past_rope_keys)"
                                                          : "past_latent · W_UK",
                                    "bias_k"));
        add(Stage::all_values, joined("values", latent ? "past_latent · W_UV" : "past_values", "bias_v"));
        keys = "all_keys";
        b.values_name = "all_values";
    } else {
        b.values_name = "values";
    }
    std::string last =
        plan.state ? add_state(b, queries, keys, add, add_as) : add_scores(b, queries, keys, add);
    if (plan.gate) {
        if (plan.gate->norm) {
            add(Stage::normed_context,
                std::string("rms_norm(context)") + (plan.context_norm ? " · norm" : ""));
            last = "normed_context";
        }
        add(Stage::gated_context, last + (plan.gate->silu ? " · silu(gate)" : " · sigmoid(gate)"));
        last = "gated_context";
    }
    if (plan.heads > 1) {
        add(Stage::concat, last + " of all heads, side by side");
        last = "concat";
    }
    if (plan.has_output) {
        add(Stage::head_outputs,
            (plan.gate ? "gated_context" : "context") + std::string(" · W_out, the rows of this head"));
        add(Stage::output,
            last + " · W_out" + (plan.projection(WeightRole::output).bias.empty() ? "" : " + b_out"));
    }
}

}  // namespace attn
