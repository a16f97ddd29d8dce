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
    const Index dim = stage == Stage::queries || stage == Stage::keys          ? plan.dim
                      : stage == Stage::concat                                 ? plan.heads * plan.value_dim
                      : stage == Stage::output || stage == Stage::head_outputs ? plan.output_dim
                                                                               : plan.value_dim;
    Shape shape;
    for (const Axis a : axes_of(info_of(stage).shape)) {
        shape.push_back(a == Axis::batch ? plan.batch
                        : a == Axis::head
                            ? (info_of(stage).shape == StageShape::key_dim ? plan.kv_heads : plan.heads)
                        : a == Axis::query ? plan.queries
                        : a == Axis::key   ? plan.keys
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
    add(Stage::scores, "queries · keysᵀ");
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
    if (plan.masked && plan.mask_at == MaskAt::scores) {
        mask();
        scale();
    } else {
        scale();
        if (plan.masked && plan.mask_at == MaskAt::scaled_scores) mask();
    }
    add(Stage::weights, plan.normalize == Normalize::softmax ? "softmax(" + last + ")" : last + " / row sum");
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
    add(Stage::context, last + " · values");
    last = "context";
    if (plan.heads > 1) {
        add(Stage::concat, "context of all heads, side by side");
        last = "concat";
    }
    if (plan.has_output) {
        add(Stage::head_outputs, "context · W_out, the rows of this head");
        add(Stage::output, last + " · W_out" + (plan.output_projection.bias.empty() ? "" : " + b_out"));
    }
}

}  // namespace attn
