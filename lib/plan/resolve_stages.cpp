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
        case Stage::convolved_queries:
        case Stage::normed_queries:
        case Stage::tempered_queries:
            return plan.query_dim;
        case Stage::keys:
        case Stage::convolved_keys:
        case Stage::normed_keys:
            return plan.key_dim;
        case Stage::normed_embeddings:
            return plan.tensors[*plan.query_input].shape.back();
        case Stage::normed_key_embeddings:
            return plan.tensors[*plan.key_input].shape.back();
        case Stage::query_latent:
        case Stage::normed_query_latent:
            return plan.projection(WeightRole::query_latent).d_out;
        case Stage::latent:
        case Stage::normed_latent:
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
        case Stage::normed_concat:
            return plan.context_heads() * plan.value_dim;
        case Stage::head_outputs:
        case Stage::output:
            return plan.output_dim;
        default:
            return plan.value_dim;
    }
}

Shape shape_of(const Plan& plan, Stage stage, StageShape family) {
    const bool states = family == StageShape::state || family == StageShape::states;
    const bool all_keys = row_kind(family) == RowKind::all_keys || has_all_keys(family);
    Shape shape;
    for (const Axis a : axes_of(family)) {
        shape.push_back(a == Axis::batch   ? plan.batch
                        : a == Axis::head  ? (family == StageShape::shared_keys ? 1
                                              : has_grouped_heads(family)       ? plan.query_heads()
                                              : has_paired_heads(family)        ? plan.context_heads()
                                              : has_paired_kv_heads(family)     ? plan.value_heads()
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

/// A formula whose result is clamped, where it is.
std::string clamped(const Plan& plan, Stage stage, const std::string& formula) {
    const std::optional<double> limit = plan.limit_of(stage);
    return limit ? "clamp(" + formula + ", ±" + significant(*limit, 9) + ")" : formula;
}

/// Puts stages at the end of the plan, each with its formula and what this reads.
class Adder {
  public:
    explicit Adder(Plan& plan) : plan_(plan) {}

    void operator()(Stage stage, std::string formula, std::vector<Stage> reads, WeightRoles projections = 0) {
        const StageInfo& info = info_of(stage);
        StageShape family = info.shape;
        if (plan_.head_group > 1 && info.phase == Phase::source && !is_values(stage))
            family = family == StageShape::query_dim ? StageShape::grouped_queries
                     : family == StageShape::key_dim ? StageShape::grouped_keys
                                                     : family;
        if (plan_.differential && info.phase != Phase::source && family == StageShape::query_dim)
            family = StageShape::paired_queries;
        if (plan_.differential && is_values(stage))
            family = family == StageShape::key_dim ? StageShape::paired_keys : StageShape::paired_all_keys;
        as(stage, family, std::move(formula), std::move(reads), projections);
    }
    void as(Stage stage, StageShape family, std::string formula, std::vector<Stage> reads,
            WeightRoles projections = 0) {
        plan_.stages.push_back({stage, std::string(info_of(stage).name), std::move(formula), family,
                                shape_of(plan_, stage, family), std::move(reads), projections});
        plan_.stages.back().on_request = info_of(stage).on_request;
    }

  private:
    Plan& plan_;
};

/// "rms_norm(queries, eps 1e-06) · q_norm"; `name`: what its weight is called.
std::string normed_of(const PlannedNorm& norm, const std::string& of, const std::string& name) {
    std::string text =
        std::string(choice_name(norm.type)) + "_norm(" + of + ", eps " + significant(norm.eps, 9) + ")";
    if (norm.weight) text += norm.plus_one ? " · (1 + " + name + ")" : " · " + name;
    if (norm.factor != 1) text += " · (1 - lambda_init)";
    if (norm.bias) text += name == "weight" ? " + bias" : " + " + name + ".bias";
    return text;
}
std::string normed(const PlannedNorm& norm, Stage of, const std::string& name) {
    return normed_of(norm, called(of), name);
}

/// Embeddings that are normed: what is made of them is called so from here on.
void add_embeddings(Builder& b, Adder& add) {
    const Plan& plan = b.plan;
    const auto rename = [&](std::size_t tensor, std::string& name) {
        if (const auto stage = plan.normed_input(tensor)) name = called(*stage);
    };
    add(Stage::normed_embeddings, normed_of(*plan.embeddings_norm, b.query_name, "weight"), {});
    if (plan.norms_key_embeddings)
        add(Stage::normed_key_embeddings, normed_of(*plan.embeddings_norm, b.key_name, "weight"), {});
    rename(*plan.query_input, b.query_name);
    rename(*plan.key_input, b.key_name);
    rename(*plan.value_input, b.value_name);
}

/// The stage that an input is read from, if it is normed.
std::vector<Stage> read_from(const Plan& plan, const std::optional<std::size_t>& tensor) {
    const auto stage = tensor ? plan.normed_input(*tensor) : std::nullopt;
    return stage ? std::vector{*stage} : std::vector<Stage>{};
}

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
    const bool hides = plan.places_queries() || !plan.prefix.empty() || plan.key_lengths ||
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
    if (plan.differential) {
        const std::string of = called(last);
        next(Stage::differential_weights,
             of + " of the first half - " +
                 (plan.differential->lambda ? significant(*plan.differential->lambda, 9) : "lambda") + " · " +
                 of + " of the second");
    }
    add(Stage::context, called(last) + " · " + called(made.values), {last, made.values});
    out.weights = last;
    return out;
}

/// What stands in place of scores and weights where a state is kept.
void add_state(const Builder& b, Made made, Adder& add) {
    const Plan& plan = b.plan;
    const PlannedState& state = *plan.state;
    if (state.feature_map) {
        constexpr std::array<const char*, 4> maps{"elu", "relu", "silu", "identity"};
        const bool elu = *state.feature_map == FeatureMap::elu1;
        const auto mapped = [&](const std::string& of) {
            return maps[idx(*state.feature_map)] + ("(" + of + ")") + (elu ? " + 1" : "");
        };
        add(Stage::mapped_queries, mapped(called(made.queries)), {made.queries});
        add(Stage::mapped_keys, mapped(called(made.keys)), {made.keys});
        made.queries = Stage::mapped_queries;
        made.keys = Stage::mapped_keys;
        if (state.map_values) {
            add(Stage::mapped_values, mapped(called(made.values)), {made.values});
            made.values = Stage::mapped_values;
        }
    }
    const std::string queries = called(made.queries), keys = called(made.keys), values = called(made.values);
    std::vector<Stage> read{made.keys, made.values};
    const auto per_key = [&](Stage stage, bool by_column, std::string formula, WeightRole role) {
        const bool given = !plan.projects(role);
        add.as(stage, by_column ? StageShape::key_dim : StageShape::per_key, std::move(formula),
               given ? std::vector<Stage>{} : read_from(plan, plan.key_input), set_of({role}));
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
                (state.beta_factor == 1 ? "" : significant(state.beta_factor, 9) + " · ") +
                    (state.beta ? (state.beta_factor == 1 ? "as given" : "the given one")
                                : "sigmoid(" + b.key_name + " · W_beta)"),
                WeightRole::beta);
    const std::string seen = plan.causal ? "state after the token" : "state";
    std::vector<Stage> read_by_context = read;
    read_by_context.insert(read_by_context.begin(), made.queries);
    add(Stage::context,
        (plan.scaled ? scaled(plan, queries + " · (" + seen + ")") : queries + " · (" + seen + ")") +
            (state.normalizer ? " / (" + queries + " · sum of " + keys + ")" : ""),
        std::move(read_by_context));
    const std::string old = state.decays ? "e^decay · S" : "S";
    const std::string step = state.delta ? old + " + " + keys + "ᵀ · " + (state.has_beta ? "beta · " : "") +
                                               "(" + values + " - " + keys + " · " + old + ")"
                                         : old + " + " + keys + "ᵀ · " + values;
    add(Stage::state, "S after the last token: S = " + step, read);
    add(Stage::states, "S after each token: S = " + step, read);
}

/// Norms of queries, keys and values.
void add_norms(const Plan& plan, Made& made, Adder& add) {
    const auto make = [&](Stage stage, Stage& of, const char* name) {
        add(stage, clamped(plan, stage, normed(plan.norm_of(stage), of, name)), {of});
        of = stage;
    };
    if (plan.query_norm) {
        make(Stage::normed_queries, made.queries, "q_norm");
        make(Stage::normed_keys, made.keys, "k_norm");
    }
    if (plan.value_norm) make(Stage::normed_values, made.values, "v_norm");
}

void add_rotation(const Builder& b, Made& made, Adder& add) {
    const Plan& plan = b.plan;
    const std::string by = plan.rope->reverse ? ", -position)" : ", position)";
    if (plan.projects(WeightRole::rope_key)) {
        const std::string last = std::to_string(plan.rope->dims);
        add(Stage::rope_keys, "rotate(" + b.key_name + " · W_KR" + by, read_from(plan, plan.key_input),
            set_of({WeightRole::rope_key}));
        add(Stage::rotated_queries, "queries, the last " + last + " columns rotated", {made.queries});
        add(Stage::rotated_keys, "keys, rope_keys", {made.keys, Stage::rope_keys});
    } else {
        add(Stage::rotated_queries, "rotate(" + called(made.queries) + by, {made.queries});
        add(Stage::rotated_keys, "rotate(" + called(made.keys) + by, {made.keys});
    }
    made.queries = Stage::rotated_queries;
    made.keys = Stage::rotated_keys;
}

}  // namespace

void resolve_stages(Builder& b) {
    Plan& plan = b.plan;
    Adder add(plan);
    if (plan.embeddings_norm) add_embeddings(b, add);
    Made made;
    constexpr WeightRoles query = set_of({WeightRole::query}), key = set_of({WeightRole::key}),
                          value = set_of({WeightRole::value});
    if (plan.variant->is_latent()) {
        const bool two = plan.projects(WeightRole::query_latent);
        const Stage of_queries = plan.query_latent_norm ? Stage::normed_query_latent : Stage::query_latent,
                    of_keys = plan.latent_norm ? Stage::normed_latent : Stage::latent;
        add(Stage::queries,
            two ? called(of_queries) + " · W_UQ" : projected(b, WeightRole::query, b.query_name, "query"),
            two ? std::vector{of_queries} : read_from(plan, plan.query_input), query);
        add(Stage::keys, called(of_keys) + " · W_UK", {of_keys}, key);
        add(Stage::values, called(of_keys) + " · W_UV", {of_keys}, value);
        if (two)
            add(Stage::query_latent, b.query_name + " · W_DQ", read_from(plan, plan.query_input),
                set_of({WeightRole::query_latent}));
        if (plan.query_latent_norm)
            add(Stage::normed_query_latent,
                normed(*plan.query_latent_norm, Stage::query_latent, "q_a_layernorm"), {Stage::query_latent});
        add(Stage::latent, b.key_name + " · W_DKV", read_from(plan, plan.key_input),
            set_of({WeightRole::latent}));
        if (plan.latent_norm)
            add(Stage::normed_latent, normed(*plan.latent_norm, Stage::latent, "kv_a_layernorm"),
                {Stage::latent});
    } else {
        add(Stage::queries,
            clamped(plan, Stage::queries, projected(b, WeightRole::query, b.query_name, "query")),
            read_from(plan, plan.query_input), query);
        add(Stage::keys, clamped(plan, Stage::keys, projected(b, WeightRole::key, b.key_name, "key")),
            read_from(plan, plan.key_input), key);
        add(Stage::values,
            clamped(plan, Stage::values, projected(b, WeightRole::value, b.value_name, "value")),
            read_from(plan, plan.value_input), value);
    }
    if (plan.conv) {
        const auto convolved = [&](Stage& of, Stage to) {
            const bool biased = plan.conv->of(to).bias.has_value();
            const std::string sum = "taps · the last " + std::to_string(plan.conv->taps) + " " + called(of) +
                                    (biased ? " + bias" : "");
            add(to, plan.conv->silu ? "silu(" + sum + ")" : sum, {of});
            of = to;
        };
        convolved(made.queries, Stage::convolved_queries);
        convolved(made.keys, Stage::convolved_keys);
        convolved(made.values, Stage::convolved_values);
    }
    if (!plan.norm_after_rope) add_norms(plan, made, add);
    if (plan.rope) add_rotation(b, made, add);
    if (plan.norm_after_rope) add_norms(plan, made, add);
    if (plan.query_scale) {
        add(Stage::tempered_queries, called(made.queries) + " · query_scale", {made.queries});
        made.queries = Stage::tempered_queries;
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
        add(Stage::all_values, joined(made.values, latent ? "past_latent · W_UV" : "past_values", "bias_v"),
            {made.values});
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
    if (plan.context_norm) {
        add(Stage::normed_context, normed(*plan.context_norm, last, plan.differential ? "subln" : "norm"),
            {last});
        last = Stage::normed_context;
    }
    if (plan.gate) {
        std::vector<Stage> reads{last};
        if (plan.gate->from_queries) reads.push_back(Stage::queries);
        if (const auto from = plan.normed_input(*plan.query_input)) reads.push_back(*from);
        add(Stage::gated_context,
            called(last) + " · " + std::string(choice_name(plan.gate->activation)) +
                (plan.gate_by_head ? "(gate of the head)" : "(gate)"),
            std::move(reads), set_of({WeightRole::gate}));
        last = Stage::gated_context;
    }
    const Stage of_heads = last;
    if (plan.context_heads() > 1) {
        add(Stage::concat, called(last) + " of all heads, side by side", {last});
        last = Stage::concat;
    }
    if (plan.concat_norm) {
        add(Stage::normed_concat, normed(*plan.concat_norm, last, "concat_norm"), {last});
        last = Stage::normed_concat;
    }
    if (plan.has_output) {
        constexpr WeightRoles output = set_of({WeightRole::output});
        if (!plan.concat_norm)
            add(Stage::head_outputs, called(of_heads) + " · W_out, the rows of this head", {of_heads},
                output);
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
