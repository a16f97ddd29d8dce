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
    if (plan.scale_root > 0) return of + " / √" + std::to_string(plan.scale_root);
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
    const bool all_keys = family == StageShape::all_key_dim || has_all_keys(family);
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

std::string called(Stage stage) { return std::string(info_of(stage).name); }

/// The stages that the scores, or the state, are made of.
struct Made {
    Stage queries = Stage::queries, keys = Stage::keys, values = Stage::values;
};

/// Puts stages at the end of the plan, each with its formula and what this reads.
class Adder {
  public:
    explicit Adder(Plan& plan) : plan_(plan) {}

    void operator()(Stage stage, std::string formula, std::vector<Stage> reads, WeightRoles projections = 0) {
        as(stage, info_of(stage).shape, std::move(formula), std::move(reads), projections);
    }
    void as(Stage stage, StageShape family, std::string formula, std::vector<Stage> reads,
            WeightRoles projections = 0) {
        plan_.stages.push_back({stage, info_of(stage).name, std::move(formula), family,
                                shape_of(plan_, stage, family), std::move(reads), projections, false});
    }

  private:
    Plan& plan_;
};

/// Stages that stand at the end and are made of scores or weights.
struct Last {
    std::optional<Stage> scores, weights;
};

/// From the scores to the context.
Last add_scores(const Plan& plan, const Made& made, Adder& add) {
    const std::string queries = called(made.queries), keys = called(made.keys);
    add(Stage::scores,
        plan.additive ? "v · tanh(" + queries + " + " + keys + ")"
                      : queries + (plan.projects(WeightRole::score) ? " · W_score · " : " · ") + keys + "ᵀ",
        {made.queries, made.keys}, set_of({WeightRole::score}));
    Stage last = Stage::scores;
    /// A stage of queries x keys is made of the one before it.
    const auto next = [&](Stage stage, std::string formula) {
        add(stage, std::move(formula), {last});
        last = stage;
    };
    const bool adds = std::any_of(plan.masks.begin(), plan.masks.end(),
                                  [](const MaskRule& m) { return m.kind == MaskKind::add; });
    const bool hides = plan.causal || plan.window || plan.key_lengths ||
                       std::any_of(plan.masks.begin(), plan.masks.end(),
                                   [](const MaskRule& m) { return m.kind != MaskKind::add; });
    const auto scale = [&] {
        if (plan.scaled) next(Stage::scaled_scores, scaled(plan, called(last)));
    };
    const auto mask = [&] {
        next(Stage::masked_scores,
             called(last) + (adds ? " + mask" : "") + (hides ? ", -inf where hidden" : ""));
    };
    const auto cap_and_bias = [&] {
        if (plan.softcap) {
            const std::string c = significant(*plan.softcap, 9);
            next(Stage::capped_scores, c + " · tanh(" + called(last) + " / " + c + ")");
        }
        if (plan.alibi.empty() && !plan.position_bias) return;
        next(Stage::biased_scores, called(last) + (plan.alibi.empty() ? "" : " - slope · (i + offset - j)") +
                                       (plan.position_bias ? " + position_bias" : ""));
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
    Last out;
    if (plan.normalize == Normalize::softmax) out.scores = last;
    next(Stage::weights, plan.normalize == Normalize::sum       ? called(last) + " / row sum"
                         : plan.normalize == Normalize::sigmoid ? "sigmoid(" + called(last) + ")"
                         : plan.sinks.empty()                   ? "softmax(" + called(last) + ")"
                                                                : "softmax(" + called(last) + ", sink)");
    if (plan.masked && plan.mask_at == MaskAt::weights) {
        next(Stage::masked_weights, "weights, 0 where hidden");
        next(Stage::renormalized_weights, "masked_weights / row sum");
    }
    if (plan.dropout)
        next(Stage::dropped_weights,
             plan.dropout->p == 1 ? "0 · " + called(last)
                                  : called(last) + " · keep / (1 - " + significant(plan.dropout->p, 9) + ")");
    add(Stage::context, called(last) + " · " + called(made.values), {last, made.values});
    out.weights = last;
    return out;
}

/// What stands in place of scores and weights where a state is kept.
void add_state(const Builder& b, Made made, Adder& add) {
    const Plan& plan = b.plan;
    const PlannedState& state = *plan.state;
    if (state.feature_map) {
        constexpr std::array<const char*, 3> maps{"elu", "relu", "identity"};
        const bool elu = *state.feature_map == FeatureMap::elu1;
        const auto mapped = [&](const std::string& of) {
            return maps[idx(*state.feature_map)] + ("(" + of + ")") + (elu ? " + 1" : "");
        };
        add(Stage::mapped_queries, mapped(called(made.queries)), {made.queries});
        add(Stage::mapped_keys, mapped(called(made.keys)), {made.keys});
        made.queries = Stage::mapped_queries;
        made.keys = Stage::mapped_keys;
    }
    const std::string queries = called(made.queries), keys = called(made.keys);
    std::vector<Stage> read{made.keys, made.values};
    const auto per_key = [&](Stage stage, bool by_column, std::string formula, WeightRole role) {
        add.as(stage, by_column ? StageShape::key_dim : StageShape::per_key, std::move(formula), {},
               set_of({role}));
        read.push_back(stage);
    };
    if (state.decays)
        per_key(Stage::decay, state.decay_by_column,
                state.decay ? "as given"
                            : (state.log_rate ? "-exp(A_log) · softplus(" : "-softplus(") + b.key_name +
                                  " · W_decay" + (state.bias ? " + dt_bias)" : ")"),
                WeightRole::decay);
    if (state.has_beta)
        per_key(Stage::beta, state.beta_by_column,
                state.beta ? "as given" : "sigmoid(" + b.key_name + " · W_beta)", WeightRole::beta);
    const std::string seen = plan.causal ? "state after the token" : "state";
    std::vector<Stage> read_by_context = read;
    read_by_context.insert(read_by_context.begin(), made.queries);
    add(Stage::context,
        (plan.scaled ? scaled(plan, queries + " · (" + seen + ")") : queries + " · (" + seen + ")") +
            (state.normalizer ? " / (" + queries + " · sum of " + keys + ")" : ""),
        std::move(read_by_context));
    const std::string old = state.decays ? "e^decay · S" : "S";
    const std::string step = state.delta ? old + " + " + keys + "ᵀ · " + (state.has_beta ? "beta · " : "") +
                                               "(values - " + keys + " · " + old + ")"
                                         : old + " + " + keys + "ᵀ · values";
    add(Stage::state, "S after the last token: S = " + step, read);
    add(Stage::states, "S after each token: S = " + step, read);
}

}  // namespace

void resolve_stages(Builder& b) {
    Plan& plan = b.plan;
    Adder add(plan);
    Made made;
    constexpr WeightRoles query = set_of({WeightRole::query, WeightRole::query_latent}),
                          key = set_of({WeightRole::key}), value = set_of({WeightRole::value});
    if (plan.variant->is_latent()) {
        const bool two = plan.projects(WeightRole::query_latent);
        add(Stage::queries,
            two ? b.query_name + " · W_DQ · W_UQ" : projected(b, WeightRole::query, b.query_name, "query"),
            {}, query);
        add(Stage::keys, "latent · W_UK", {Stage::latent}, key);
        add(Stage::values, "latent · W_UV", {Stage::latent}, value);
        add(Stage::latent, b.key_name + " · W_DKV", {}, set_of({WeightRole::latent}));
    } else {
        add(Stage::queries, projected(b, WeightRole::query, b.query_name, "query"), {}, query);
        add(Stage::keys, projected(b, WeightRole::key, b.key_name, "key"), {}, key);
        add(Stage::values, projected(b, WeightRole::value, b.value_name, "value"), {}, value);
    }
    if (plan.qk_norm) {
        const std::string norm = std::string(choice_name(plan.qk_norm->type)) + "_norm";
        const std::string gain = plan.qk_norm->plus_one ? " · (1 + " : " · ";
        const auto weighted = [&](Stage of, bool given, const char* name) {
            return norm + "(" + called(of) + ", eps " + significant(plan.qk_norm->eps, 9) + ")" +
                   (given ? gain + name + (plan.qk_norm->plus_one ? ")" : "") : "");
        };
        add(Stage::normed_queries, weighted(made.queries, plan.query_norm.has_value(), "q_norm"),
            {made.queries});
        add(Stage::normed_keys, weighted(made.keys, plan.key_norm.has_value(), "k_norm"), {made.keys});
        made.queries = Stage::normed_queries;
        made.keys = Stage::normed_keys;
    }
    if (plan.rope) {
        if (plan.projects(WeightRole::rope_key)) {
            const std::string last = std::to_string(plan.rope->dims);
            add(Stage::rope_keys, "rotate(" + b.key_name + " · W_KR, position)", {},
                set_of({WeightRole::rope_key}));
            add(Stage::rotated_queries, "queries, the last " + last + " columns rotated", {made.queries});
            add(Stage::rotated_keys, "keys, rope_keys", {made.keys, Stage::rope_keys});
        } else {
            add(Stage::rotated_queries, "rotate(" + called(made.queries) + ", position)", {made.queries});
            add(Stage::rotated_keys, "rotate(" + called(made.keys) + ", position)", {made.keys});
        }
        made.queries = Stage::rotated_queries;
        made.keys = Stage::rotated_keys;
    }
    if (plan.past > 0 || plan.has_appended()) {
        const auto joined = [&](Stage of, const char* past, const char* bias) {
            return (plan.past > 0 ? past + std::string(", ") : "") + called(of) +
                   (plan.bias_k ? std::string(", ") + bias : "") + (plan.zero_key ? ", 0" : "");
        };
        const bool latent = plan.past_latent.has_value();
        add(Stage::all_keys,
            joined(made.keys,
                   !latent               ? "past_keys"
                   : plan.past_rope_keys ? "(past_latent · W_UK, past_rope_keys)"
                                         : "past_latent · W_UK",
                   "bias_k"),
            {made.keys});
        add(Stage::all_values, joined(Stage::values, latent ? "past_latent · W_UV" : "past_values", "bias_v"),
            {Stage::values});
        made.keys = Stage::all_keys;
        made.values = Stage::all_values;
    }
    Last cells;
    if (plan.state) {
        add_state(b, made, add);
    } else {
        cells = add_scores(plan, made, add);
    }
    Stage last = Stage::context;
    if (plan.gate) {
        if (plan.gate->norm) {
            add(Stage::normed_context,
                "rms_norm(context, eps " + significant(plan.context_eps, 9) + ")" +
                    (plan.context_norm ? " · norm" : ""),
                {last});
            last = Stage::normed_context;
        }
        std::vector<Stage> reads{last};
        if (plan.gate->from_queries) reads.push_back(Stage::queries);
        add(Stage::gated_context, called(last) + (plan.gate->silu ? " · silu(gate)" : " · sigmoid(gate)"),
            std::move(reads), set_of({WeightRole::gate}));
        last = Stage::gated_context;
    }
    const Stage of_heads = last;
    if (plan.heads > 1) {
        add(Stage::concat, called(last) + " of all heads, side by side", {last});
        last = Stage::concat;
    }
    if (plan.has_output) {
        constexpr WeightRoles output = set_of({WeightRole::output});
        add(Stage::head_outputs, called(of_heads) + " · W_out, the rows of this head", {of_heads}, output);
        add(Stage::output,
            called(last) + " · W_out" + (plan.projection(WeightRole::output).bias.empty() ? "" : " + b_out"),
            {last}, output);
    }
    if (cells.scores)
        add(Stage::lse,
            "log(row sum of exp(" + called(*cells.scores) + ")" +
                (plan.sinks.empty() ? ")" : " + exp(sink))"),
            {*cells.scores});
    if (cells.weights)
        add(Stage::mean_weights, "mean of " + called(*cells.weights) + " over heads", {*cells.weights});
}

}  // namespace attn
