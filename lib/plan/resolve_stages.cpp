#include <algorithm>
#include <array>
#include <cstdio>

#include "lib/plan/builder.hpp"

namespace attn {
namespace {

std::string number(double v) {
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%.9g", v);
    return text.data();
}

/// "embeddings · W_query + b_query", or the input's own name where nothing projects it.
std::string projected(const Builder& b, const Projection& p, const std::string& input,
                      std::string_view role) {
    if (b.plan.projected_given) return "as given";
    if (p.weight.empty()) return input;
    return input + " · W_" + std::string(role) + (p.bias.empty() ? "" : " + b_" + std::string(role));
}

std::string scaled(const Plan& plan, const std::string& of) {
    if (plan.scale_text.starts_with("1/√")) return of + " / " + plan.scale_text.substr(2);
    return of + " · " + plan.scale_text;
}

Shape shape_of(const Plan& plan, Stage stage) {
    const bool scored = stage == Stage::queries || stage == Stage::keys ||
                        (stage >= Stage::normed_queries && stage <= Stage::all_keys);
    const Index dim = scored                                                   ? plan.dim
                      : stage == Stage::concat                                 ? plan.heads * plan.value_dim
                      : stage == Stage::output || stage == Stage::head_outputs ? plan.output_dim
                                                                               : plan.value_dim;
    Shape shape;
    for (const Axis a : axes_of(info_of(stage).shape)) {
        shape.push_back(a == Axis::batch   ? plan.batch
                        : a == Axis::head  ? (has_key_rows(info_of(stage).shape) ? plan.kv_heads : plan.heads)
                        : a == Axis::query ? plan.queries
                        : a == Axis::key
                            ? (info_of(stage).shape == StageShape::key_dim ? plan.new_keys : plan.keys)
                            : dim);
    }
    return shape;
}

}  // namespace

void resolve_stages(Builder& b) {
    Plan& plan = b.plan;
    const auto add = [&](Stage stage, std::string formula) {
        const StageInfo& row = info_of(stage);
        plan.stages.push_back({stage, row.name, std::move(formula), row.shape, shape_of(plan, stage), false});
    };
    add(Stage::queries, projected(b, plan.query_projection, b.query_name, "query"));
    add(Stage::keys, projected(b, plan.key_projection, b.key_name, "key"));
    add(Stage::values, projected(b, plan.value_projection, b.value_name, "value"));
    std::string queries = "queries", keys = "keys";
    if (plan.qk_norm) {
        constexpr std::array<const char*, 3> norms{"rms_norm", "layer_norm", "l2_norm"};
        const std::string norm = norms[static_cast<std::size_t>(plan.qk_norm->type)];
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
        add(Stage::rotated_queries, "rotate(" + queries + ", position)");
        add(Stage::rotated_keys, "rotate(" + keys + ", position)");
        queries = "rotated_queries";
        keys = "rotated_keys";
    }
    if (plan.past > 0 || plan.has_appended()) {
        const auto joined = [&](const std::string& name, const char* past, const char* bias) {
            return (plan.past_keys ? past + std::string(", ") : "") + name +
                   (plan.bias_k ? std::string(", ") + bias : "") + (plan.zero_key ? ", 0" : "");
        };
        add(Stage::all_keys, joined(keys, "past_keys", "bias_k"));
        add(Stage::all_values, joined("values", "past_values", "bias_v"));
        keys = "all_keys";
        b.values_name = "all_values";
    } else {
        b.values_name = "values";
    }
    add(Stage::scores, queries + " · " + keys + "ᵀ");
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
            const std::string c = number(*plan.softcap);
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
        add(Stage::dropped_weights,
            plan.dropout->p == 1 ? "0 · " + last : last + " · keep / (1 - " + number(plan.dropout->p) + ")");
        last = "dropped_weights";
    }
    add(Stage::context, last + " · " + b.values_name);
    last = "context";
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
        add(Stage::output, last + " · W_out" + (plan.output_projection.bias.empty() ? "" : " + b_out"));
    }
}

}  // namespace attn
