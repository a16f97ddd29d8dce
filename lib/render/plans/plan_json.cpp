#include "lib/render/plans/plan_json.hpp"

#include <array>

#include "lib/input/choices.hpp"
#include "lib/plan/half.hpp"
#include "lib/plan/inputs.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace {

std::string quoted(std::string_view s) { return json_string(s); }

std::vector<std::string> cut(const std::vector<std::string>& tokens, const AxisSelection& s) {
    std::vector<std::string> out;
    for (const Index k : s.indices) out.push_back(tokens[idx(k)]);
    return out;
}

std::string selection(const Plan& plan) {
    JsonMembers m;
    const auto add = [&](const char* axis, const AxisSelection& s) {
        if (!s.all) m.emplace_back(axis, json_indices(s.indices));
    };
    add("batch", plan.batch_shown);
    add("head", plan.heads_shown);
    add("query", plan.queries_shown);
    add("key", plan.keys_shown);
    return json_object(m);
}

std::string mask(const Plan& plan) {
    JsonMembers m{{"at", quoted(choice_name(plan.mask_at))}, {"rules", json_strings(plan.mask_words)}};
    if (plan.places_queries()) m.emplace_back("offset", json_indices(plan.offsets));
    return json_object(m);
}

std::string numbers(const std::vector<double>& list) {
    std::string out = "[";
    for (const double v : list) out += (out.size() > 1 ? ", " : "") + json_number(v);
    return out + "]";
}

std::string sizes(const Plan& plan) {
    return json_object({{"batch", std::to_string(plan.batch)},
                        {"head", std::to_string(plan.heads)},
                        {"query", std::to_string(plan.queries)},
                        {"key", std::to_string(plan.keys)},
                        {"dim", std::to_string(plan.dim)},
                        {"value_dim", std::to_string(plan.value_dim)}});
}

std::string kv_heads(const Plan& plan) {
    const KvHeadOrder order = plan.kv_interleaved ? KvHeadOrder::interleave : KvHeadOrder::tile;
    return json_object({{"count", std::to_string(plan.kv_heads)}, {"order", quoted(choice_name(order))}});
}

std::string qk_norm(const Plan& plan) {
    const PlannedNorm& norm = *plan.query_norm;
    JsonMembers m{{"type", quoted(choice_name(norm.type))},
                  {"eps", json_number(norm.eps)},
                  {"over", quoted(norm_over_names[norm.over_width])}};
    if (plan.norm_after_rope) m.emplace_back("after", quoted("rope"));
    return json_object(m);
}

/// Of half precision.
std::string rounding(const Plan& plan) {
    std::vector<std::string> steps;
    for (const std::string_view step : rounded_steps(plan)) steps.emplace_back(step);
    return R"({"stages": "all", "ties": "even", "sums": "float32", "steps": )" + json_strings(steps) + "}";
}

std::string clip(const Clip& clip) {
    JsonMembers m{{"max", json_number(clip.max)}};
    if (clip.after_norm) m.emplace_back("after", quoted("norm"));
    return json_object(m);
}

std::string query_scale(const PlannedQueryScale& scale) {
    return json_object({{"shape", json_indices({scale.items, scale.heads, scale.queries})},
                        {"data", numbers(scale.numbers)}});
}

/// One list, or one for each batch item.
std::string places(const Places& places) {
    if (places.items == 1) return numbers(places.numbers);
    std::string out = "[";
    auto next = places.numbers.begin();
    for (Index k = 0; k < places.items; ++k, next += places.tokens())
        out += (k > 0 ? ", " : "") + numbers({next, next + places.tokens()});
    return out + "]";
}

std::string rope(const PlannedRope& rope) {
    JsonMembers m{{"dims", std::to_string(rope.dims)}, {"pairs", quoted(rope_pair_names[rope.interleaved])}};
    if (rope.reverse) m.emplace_back("reverse", "true");
    if (rope.cos) {
        m.emplace_back("tables", quoted(rope_table_names[rope.by_column]));
        return json_object(m);
    }
    m.emplace_back("base", json_number(rope.base));
    if (rope.scaling != RopeScalingType::none) {
        JsonMembers scaling{{"type", quoted(choice_name(rope.scaling))}};
        if (!rope.frequency_factors.empty())
            scaling.emplace_back("frequency_factors", numbers(rope.frequency_factors));
        scaling.emplace_back("attention_factor", json_number(rope.amplitude));
        if (!rope.factor_not_read.empty())
            scaling.emplace_back("factor_not_read", quoted(rope.factor_not_read));
        m.emplace_back("scaling", json_object(scaling));
    }
    m.emplace_back("query_positions", places(rope.query_positions));
    m.emplace_back("key_positions", places(rope.key_positions));
    return json_object(m);
}

std::string state(const Plan& plan) {
    JsonMembers m{{"rule", quoted(state_rule_names[plan.state->delta])},
                  {"causal", plan.causal ? "true" : "false"}};
    if (plan.causal) m.emplace_back("offset", json_indices(plan.offsets));
    if (plan.state->feature_map) m.emplace_back("feature_map", quoted(choice_name(*plan.state->feature_map)));
    if (plan.state->map_values) m.emplace_back("map_values", "true");
    if (plan.state->beta_factor != 1) m.emplace_back("beta_factor", json_number(plan.state->beta_factor));
    m.emplace_back("normalizer", plan.state->normalizer ? "true" : "false");
    m.emplace_back("begins", quoted(state_begin_names[plan.state->past.has_value()]));
    return json_object(m);
}

/// The keys that draw, in the order of their generator.
std::string manual_seed(const Plan& plan) {
    std::vector<std::string> draws;
    for (const Draw& d : plan.draws)
        draws.push_back(d.of == Draw::Of::weights  ? plan.init->pointer.substr(1)
                        : d.of == Draw::Of::tensor ? plan.tensors[d.tensor].pointer.substr(1)
                                                   : "dropout");
    return json_object({{"seed", std::to_string(plan.manual_seed)}, {"draws", json_strings(draws)}});
}

std::string position_bias(const Plan& plan) {
    const PlannedBias& bias = *plan.position_bias;
    if (!bias.buckets) return json_object({{"shape", json_indices(plan.tensors[bias.tensor].shape)}});
    return json_object({{"buckets", std::to_string(bias.rows)},
                        {"max_distance", std::to_string(bias.buckets->max_distance)},
                        {"bidirectional", bias.buckets->bidirectional ? "true" : "false"}});
}

std::string gate(const Plan& plan) {
    const Gate& gate = *plan.gate;
    JsonMembers m{{"activation", quoted(choice_name(gate.activation))},
                  {"norm", gate.norm ? quoted(choice_name(NormType::rms)) : "false"},
                  {"from", quoted(gate_source_names[gate.from_queries])}};
    if (plan.gate_by_head) m.emplace_back("by_head", "true");
    if (plan.context_norm && !plan.differential) {
        m.emplace_back("eps", json_number(plan.context_norm->eps));
        m.emplace_back("over", quoted(norm_over_names[plan.context_norm->over_width]));
    }
    return json_object(m);
}

std::string gradient(const Plan& plan) {
    const PlannedGradient& g = *plan.gradient;
    JsonMembers m;
    std::vector<std::string> enters;
    if (g.output) enters.emplace_back("output");
    if (g.context) enters.emplace_back("context");
    if (g.state) enters.emplace_back("state");
    if (!enters.empty()) m.emplace_back("enters", json_strings(enters));
    if (g.loss != Loss::none) m.emplace_back("loss", quoted(choice_name(g.loss)));
    m.emplace_back("result", quoted(info_of(g.result).name));
    if (const auto hidden = hidden_by_gradient(plan)) m.emplace_back("hides", quoted(*hidden));
    return json_object(m);
}

std::string dropout(const DropoutInput& d) {
    JsonMembers m{{"p", json_number(d.p)}, {"generator", quoted(choice_name(d.kind))}};
    if (d.kind != DropoutKind::given && !d.shared) m.emplace_back("seed", std::to_string(d.seed));
    return json_object(m);
}

std::string differential(const Plan& plan) {
    const PlannedDifferential& pairs = *plan.differential;
    return json_object(
        {{"heads", std::to_string(plan.context_heads())},
         {"value_heads", std::to_string(plan.value_heads())},
         {"pairing", quoted(choice_name(pairs.pairing))},
         {pairs.lambda ? "lambda" : "lambda_init", json_number(pairs.lambda ? *pairs.lambda : pairs.init)},
         {"eps", json_number(plan.context_norm->eps)}});
}

std::string weights(const Plan& plan) {
    JsonMembers m;
    if (plan.init) {
        m.emplace_back("init", quoted(choice_name(plan.init->kind)));
        if (!plan.init->shared) m.emplace_back("seed", std::to_string(plan.init->seed));
    }
    if (!plan.weights_from.empty()) m.emplace_back("from", quoted(plan.weights_from));
    std::string read = "[";
    for (const WeightNote& n : plan.weight_notes)
        read += (read.size() > 1 ? ", " : "") + json_object({{"name", quoted(n.name)},
                                                             {"role", quoted(n.role)},
                                                             {"layout", quoted(n.layout)},
                                                             {"shape", json_indices(n.shape)}});
    m.emplace_back("read", read + "]");
    return json_object(m);
}

/// A member that is there where the plan has what it tells.
std::string where(bool there, const std::string& json) { return there ? json : std::string(); }

constexpr bool in_every_plan = true, in_some_plans = false;

/// THE TABLE of what a plan is as JSON, in its order. "#/$defs/..." are in trace_schema.cpp and choices.cpp.
constexpr std::array plan_table{
    PlanMember{"inferred", in_some_plans, R"({"type": "string", "minLength": 1})",
               [](const Plan& p) { return where(!p.inferred_because.empty(), quoted(p.inferred_because)); }},
    PlanMember{"set", in_some_plans, R"({"type": "array", "minItems": 1, "items": {"type": "string"}})",
               [](const Plan& p) { return where(!p.overrides.empty(), json_strings(p.overrides)); }},
    PlanMember{"dtype", in_every_plan, R"({"$ref": "#/$defs/dtype"})",
               [](const Plan& p) { return quoted(name_of(p.dtype)); }},
    PlanMember{"rounding", in_some_plans,
               R"({"type": "object", "properties": {"stages": {"const": "all"}, "ties": {"const": "even"},
          "sums": {"const": "float32"}, "steps": {"type": "array", "items": {"type": "string",
          "minLength": 1}}}, "required": ["stages", "ties", "sums", "steps"],
          "additionalProperties": false})",
               [](const Plan& p) { return where(p.rounding.changes(), rounding(p)); }},
    PlanMember{"manual_seed", in_some_plans,
               R"({"type": "object", "properties": {"seed": {"type": "integer"}, "draws": {"type": "array",
          "minItems": 1, "items": {"type": "string"}}}, "required": ["seed", "draws"],
          "additionalProperties": false})",
               [](const Plan& p) { return where(!p.draws.empty(), manual_seed(p)); }},
    PlanMember{"sizes", in_every_plan,
               R"({"type": "object", "properties": {"batch": {"$ref": "#/$defs/size"},
          "head": {"$ref": "#/$defs/size"}, "query": {"$ref": "#/$defs/size"},
          "key": {"$ref": "#/$defs/size"}, "dim": {"$ref": "#/$defs/size"},
          "value_dim": {"$ref": "#/$defs/size"}}, "required": ["batch", "head", "query", "key", "dim",
          "value_dim"], "additionalProperties": false})",
               sizes},
    PlanMember{"scale", in_every_plan, R"({"anyOf": [{"type": "number"}, {"const": "none"}]})",
               [](const Plan& p) { return p.scaled ? json_number(p.scale) : quoted("none"); }},
    PlanMember{"kv_heads", in_some_plans,
               R"({"type": "object", "properties": {"count": {"$ref": "#/$defs/size"},
          "order": {"$ref": "#/$defs/kv_head_order"}}, "required": ["count", "order"],
          "additionalProperties": false})",
               [](const Plan& p) { return where(p.kv_heads != p.heads, kv_heads(p)); }},
    PlanMember{"query_key_heads", in_some_plans, R"({"$ref": "#/$defs/size"})",
               [](const Plan& p) { return where(p.head_group > 1, std::to_string(p.query_heads())); }},
    PlanMember{"cached_keys", in_some_plans, R"({"$ref": "#/$defs/size"})",
               [](const Plan& p) { return where(p.past > 0, std::to_string(p.past)); }},
    PlanMember{
        "appended_keys", in_some_plans, R"({"$ref": "#/$defs/size"})",
        [](const Plan& p) { return where(p.has_appended(), std::to_string(p.keys - p.given_keys())); }},
    PlanMember{"embeddings_norm", in_some_plans,
               R"({"type": "object", "properties": {"type": {"$ref": "#/$defs/norm_type"},
          "eps": {"type": "number"}, "plus_one": {"type": "boolean"}, "keys": {"type": "boolean"}},
          "required": ["type", "eps", "plus_one", "keys"], "additionalProperties": false})",
               [](const Plan& p) {
                   if (!p.embeddings_norm) return std::string();
                   return json_object({{"type", quoted(choice_name(p.embeddings_norm->type))},
                                       {"eps", json_number(p.embeddings_norm->eps)},
                                       {"plus_one", p.embeddings_norm->plus_one ? "true" : "false"},
                                       {"keys", p.norms_key_embeddings ? "true" : "false"}});
               }},
    PlanMember{"qk_norm", in_some_plans,
               R"({"type": "object", "properties": {"type": {"$ref": "#/$defs/norm_type"},
          "eps": {"type": "number"}, "over": {"$ref": "#/$defs/norm_over"}, "after": {"const": "rope"}},
          "required": ["type", "eps", "over"], "additionalProperties": false})",
               [](const Plan& p) { return p.query_norm ? qk_norm(p) : std::string(); }},
    PlanMember{"value_norm", in_some_plans,
               R"({"type": "object", "properties": {"type": {"$ref": "#/$defs/norm_type"},
          "eps": {"type": "number"}}, "required": ["type", "eps"], "additionalProperties": false})",
               [](const Plan& p) {
                   return p.value_norm ? json_object({{"type", quoted(choice_name(p.value_norm->type))},
                                                      {"eps", json_number(p.value_norm->eps)}})
                                       : std::string();
               }},
    PlanMember{"latent_norm", in_some_plans,
               R"({"type": "object", "properties": {"of": {"type": "array", "minItems": 1, "items":
          {"enum": ["query_latent", "latent"]}}, "eps": {"type": "number"}}, "required": ["of", "eps"],
          "additionalProperties": false})",
               [](const Plan& p) {
                   std::vector<std::string> of;
                   if (p.query_latent_norm) of.emplace_back(info_of(Stage::query_latent).name);
                   if (p.latent_norm) of.emplace_back(info_of(Stage::latent).name);
                   return where(!of.empty(), json_object({{"of", json_strings(of)},
                                                          {"eps", json_number(PlannedNorm{}.eps)}}));
               }},
    PlanMember{"clip_qkv", in_some_plans,
               R"({"type": "object", "properties": {"max": {"type": "number", "exclusiveMinimum": 0},
          "after": {"const": "norm"}}, "required": ["max"], "additionalProperties": false})",
               [](const Plan& p) { return p.clip ? clip(*p.clip) : std::string(); }},
    PlanMember{"rope", in_some_plans,
               R"({"type": "object", "properties": {"dims": {"$ref": "#/$defs/size"},
          "pairs": {"$ref": "#/$defs/rope_pairs"}, "base": {"type": "number"},
          "reverse": {"const": true}, "tables": {"$ref": "#/$defs/rope_tables"}, "scaling": {"type": "object",
          "properties": {"type": {"$ref": "#/$defs/rope_scaling"}, "frequency_factors": {"type": "array",
          "items": {"type": "number"}}, "attention_factor": {"type": "number"}, "factor_not_read": {"type": "string"}}, "required": ["type",
          "attention_factor"], "additionalProperties": false},
          "query_positions": {"$ref": "#/$defs/places"}, "key_positions": {"$ref": "#/$defs/places"}},
          "required": ["dims", "pairs"], "additionalProperties": false})",
               [](const Plan& p) { return p.rope ? rope(*p.rope) : std::string(); }},
    PlanMember{"query_scale", in_some_plans,
               R"({"type": "object", "properties": {"shape": {"type": "array", "items": {"$ref":
          "#/$defs/size"}}, "data": {"type": "array", "items": {"type": "number"}}}, "required": ["shape",
          "data"], "additionalProperties": false})",
               [](const Plan& p) { return p.query_scale ? query_scale(*p.query_scale) : std::string(); }},
    PlanMember{"conv", in_some_plans,
               R"({"type": "object", "properties": {"taps": {"$ref": "#/$defs/size"},
          "activation": {"$ref": "#/$defs/conv_activation"}, "begins": {"enum": ["zeros", "past_conv"]}},
          "required": ["taps", "activation", "begins"], "additionalProperties": false})",
               [](const Plan& p) {
                   return p.conv ? json_object({{"taps", std::to_string(p.conv->taps)},
                                                {"activation", quoted(conv_activation_names[p.conv->silu])},
                                                {"begins", quoted(p.conv->past ? "past_conv" : "zeros")}})
                                 : std::string();
               }},
    PlanMember{"state", in_some_plans,
               R"({"type": "object", "properties": {"rule": {"$ref": "#/$defs/state_rule"},
          "causal": {"type": "boolean"}, "offset": {"type": "array", "minItems": 1,
          "items": {"type": "integer"}}, "feature_map": {"$ref": "#/$defs/feature_map"},
          "map_values": {"type": "boolean"}, "beta_factor": {"type": "number"},
          "normalizer": {"type": "boolean"}, "begins": {"$ref": "#/$defs/state_begin"}},
          "required": ["rule", "causal", "normalizer", "begins"], "additionalProperties": false})",
               [](const Plan& p) { return p.state ? state(p) : std::string(); }},
    PlanMember{"softcap", in_some_plans, R"({"type": "number", "exclusiveMinimum": 0})",
               [](const Plan& p) { return p.softcap ? json_number(*p.softcap) : std::string(); }},
    PlanMember{"alibi", in_some_plans, R"({"type": "array", "items": {"type": "number"}})",
               [](const Plan& p) { return where(!p.alibi.empty(), numbers(p.alibi)); }},
    PlanMember{
        "position_bias", in_some_plans,
        R"({"type": "object", "properties": {"shape": {"type": "array", "items": {"$ref": "#/$defs/size"}},
          "buckets": {"$ref": "#/$defs/size"}, "max_distance": {"$ref": "#/$defs/size"},
          "bidirectional": {"type": "boolean"}}, "additionalProperties": false})",
        [](const Plan& p) { return p.position_bias ? position_bias(p) : std::string(); }},
    PlanMember{"sinks", in_some_plans, R"({"type": "array", "items": {"type": "number"}})",
               [](const Plan& p) { return where(!p.sinks.empty(), numbers(p.sinks)); }},
    PlanMember{"gate", in_some_plans,
               R"({"type": "object", "properties": {"activation": {"$ref": "#/$defs/gate_activation"},
          "norm": {"enum": ["rms", false]}, "from": {"$ref": "#/$defs/gate_source"},
          "by_head": {"const": true}, "eps": {"type": "number"}, "over": {"$ref": "#/$defs/norm_over"}},
          "required": ["activation", "norm", "from"], "additionalProperties": false})",
               [](const Plan& p) { return p.gate ? gate(p) : std::string(); }},
    PlanMember{"differential", in_some_plans,
               R"({"type": "object", "properties": {"heads": {"$ref": "#/$defs/size"},
          "value_heads": {"$ref": "#/$defs/size"}, "pairing": {"$ref": "#/$defs/pairing"},
          "lambda": {"type": "number"}, "lambda_init": {"type": "number"}, "eps": {"type": "number"}},
          "required": ["heads", "value_heads", "pairing", "eps"], "additionalProperties": false})",
               [](const Plan& p) { return p.differential ? differential(p) : std::string(); }},
    PlanMember{"concat_norm", in_some_plans,
               R"({"type": "object", "properties": {"type": {"$ref": "#/$defs/norm_type"},
          "eps": {"type": "number"}}, "required": ["type", "eps"], "additionalProperties": false})",
               [](const Plan& p) {
                   return p.concat_norm ? json_object({{"type", quoted(choice_name(p.concat_norm->type))},
                                                       {"eps", json_number(p.concat_norm->eps)}})
                                        : std::string();
               }},
    PlanMember{"mask", in_some_plans,
               R"({"type": "object", "properties": {"at": {"$ref": "#/$defs/mask_at"},
          "rules": {"type": "array", "items": {"type": "string"}}, "offset": {"type": "array",
          "minItems": 1, "items": {"type": "integer"}}}, "required": ["at", "rules"],
          "additionalProperties": false})",
               [](const Plan& p) { return where(p.masked, mask(p)); }},
    PlanMember{"normalize", in_every_plan, R"({"$ref": "#/$defs/normalize"})",
               [](const Plan& p) { return quoted(choice_name(p.normalize)); }},
    PlanMember{"empty_rows", in_every_plan, R"({"$ref": "#/$defs/empty_rows"})",
               [](const Plan& p) { return quoted(choice_name(p.empty_rows)); }},
    PlanMember{"dropout", in_some_plans,
               R"({"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1},
          "generator": {"$ref": "#/$defs/dropout_kind"}, "seed": {"type": "integer"}}, "required": ["p",
          "generator"], "additionalProperties": false})",
               [](const Plan& p) { return p.dropout ? dropout(*p.dropout) : std::string(); }},
    PlanMember{"gradient", in_some_plans,
               R"({"type": "object", "properties": {"enters": {"type": "array", "items":
          {"enum": ["output", "context", "state"]}}, "loss": {"enum": ["sum", "mean_squared_error"]},
          "result": {"$ref": "#/$defs/forward_stage"}, "hides": {"type": "string", "minLength": 1}},
          "required": ["result"], "additionalProperties": false})",
               [](const Plan& p) { return p.gradient ? gradient(p) : std::string(); }},
    PlanMember{"weights", in_some_plans,
               R"({"type": "object", "properties": {"init": {"$ref": "#/$defs/weights_init"},
          "seed": {"type": "integer"}, "from": {"type": "string", "minLength": 1},
          "read": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"},
          "role": {"type": "string"}, "layout": {"type": "string"}, "shape": {"type": "array",
          "items": {"$ref": "#/$defs/size"}}}, "required": ["name", "role", "layout", "shape"],
          "additionalProperties": false}}}, "required": ["read"], "additionalProperties": false})",
               [](const Plan& p) { return where(p.init || !p.weight_notes.empty(), weights(p)); }},
};

}  // namespace

std::span<const PlanMember> all_plan_members() { return plan_table; }

JsonMembers plan_members(const Plan& plan) {
    JsonMembers m;
    for (const PlanMember& member : plan_table)
        if (std::string json = member.write(plan); !json.empty())
            m.emplace_back(std::string(member.name), std::move(json));
    return m;
}

JsonMembers plan_head(std::string_view schema, const Plan& plan, int indent) {
    JsonMembers m{{"schema", quoted(schema)},
                  {"tool", json_object({{"name", "\"attn-calc\""}, {"version", quoted(ATTN_VERSION)}})}};
    if (const auto& s = plan.source)
        m.emplace_back("source",
                       json_object({{"file", quoted(s->file)},
                                    {s->is_layer ? "layer" : "document", std::to_string(s->number)}}));
    if (plan.id) m.emplace_back("id", quoted(*plan.id));
    m.insert(m.end(),
             {{"variant", quoted(plan.variant->name)},
              {"plan", json_object(plan_members(plan), indent)},
              {"tokens", json_object({{"query", json_strings(cut(plan.query_tokens, plan.queries_shown))},
                                      {"key", json_strings(cut(plan.key_tokens, plan.keys_shown))}})}});
    if (plan.shows_part()) m.emplace_back("selection", selection(plan));
    return m;
}

}  // namespace attn
