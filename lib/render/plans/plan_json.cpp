#include "lib/render/plans/plan_json.hpp"

#include <array>

#include "lib/input/choices.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace {

std::string quoted(std::string_view s) { return json_string(s); }

std::vector<std::string> cut(const std::vector<std::string>& tokens, const AxisSelection& s) {
    std::vector<std::string> out;
    for (const Index k : s.indices) out.push_back(tokens[static_cast<std::size_t>(k)]);
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
    if (plan.causal || plan.window) m.emplace_back("offset", json_indices(plan.offsets));
    return json_object(m);
}

std::string numbers(const std::vector<double>& list) {
    std::string out = "[";
    for (const double v : list) out += (out.size() > 1 ? ", " : "") + json_number(v);
    return out + "]";
}

/// What was asked for between the projections and the softmax, only where it was.
void options(const Plan& plan, JsonMembers& m) {
    if (plan.kv_heads != plan.heads)
        m.emplace_back(
            "kv_heads",
            json_object({{"count", std::to_string(plan.kv_heads)},
                         {"order", quoted(choice_name(plan.kv_interleaved ? KvHeadOrder::interleave
                                                                          : KvHeadOrder::tile))}}));
    if (plan.past > 0) m.emplace_back("cached_keys", std::to_string(plan.past));
    if (plan.has_appended()) m.emplace_back("appended_keys", std::to_string(plan.keys - plan.given_keys()));
    if (plan.qk_norm) {
        m.emplace_back("qk_norm", json_object({{"type", quoted(choice_name(plan.qk_norm->type))},
                                               {"eps", json_number(plan.qk_norm->eps)},
                                               {"over", quoted(norm_over_names[plan.qk_norm->over_width])}}));
    }
    if (plan.rope) {
        JsonMembers r{{"dims", std::to_string(plan.rope->dims)},
                      {"pairs", quoted(rope_pair_names[plan.rope->interleaved])}};
        if (!plan.rope->cos) {
            r.emplace_back("base", json_number(plan.rope->base));
            r.emplace_back("query_positions", numbers(plan.rope->query_positions));
            r.emplace_back("key_positions", numbers(plan.rope->key_positions));
        }
        m.emplace_back("rope", json_object(r));
    }
    if (plan.state) {
        JsonMembers state{{"rule", quoted(state_rule_names[plan.state->delta])},
                          {"causal", plan.causal ? "true" : "false"}};
        if (plan.causal) state.emplace_back("offset", json_indices(plan.offsets));
        if (plan.state->feature_map)
            state.emplace_back("feature_map", quoted(choice_name(*plan.state->feature_map)));
        state.emplace_back("normalizer", plan.state->normalizer ? "true" : "false");
        state.emplace_back("begins", quoted(state_begin_names[plan.state->past.has_value()]));
        m.emplace_back("state", json_object(state));
    }
    if (plan.softcap) m.emplace_back("softcap", json_number(*plan.softcap));
    if (!plan.alibi.empty()) m.emplace_back("alibi", numbers(plan.alibi));
    if (!plan.sinks.empty()) m.emplace_back("sinks", numbers(plan.sinks));
    if (plan.gate)
        m.emplace_back("gate", json_object({{"activation", quoted(gate_activation_names[plan.gate->silu])},
                                            {"norm", plan.gate->norm ? quoted("rms") : "false"},
                                            {"from", quoted(gate_source_names[plan.gate->from_queries])}}));
}

std::string dropout(const DropoutInput& d) {
    JsonMembers m{{"p", json_number(d.p)}, {"generator", quoted(choice_name(d.kind))}};
    if (d.kind != DropoutKind::given) m.emplace_back("seed", std::to_string(d.seed));
    return json_object(m);
}

std::string weights(const Plan& plan) {
    JsonMembers m;
    if (plan.init) {
        m.emplace_back("init", quoted(choice_name(plan.init->kind)));
        m.emplace_back("seed", std::to_string(plan.init->seed));
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

}  // namespace

JsonMembers plan_members(const Plan& plan) {
    JsonMembers m;
    if (!plan.inferred_because.empty()) m.emplace_back("inferred", quoted(plan.inferred_because));
    m.emplace_back("dtype", quoted(name_of(plan.dtype)));
    m.emplace_back("sizes", json_object({{"batch", std::to_string(plan.batch)},
                                         {"head", std::to_string(plan.heads)},
                                         {"query", std::to_string(plan.queries)},
                                         {"key", std::to_string(plan.keys)},
                                         {"dim", std::to_string(plan.dim)},
                                         {"value_dim", std::to_string(plan.value_dim)}}));
    m.emplace_back("scale", plan.scaled ? json_number(plan.scale) : "\"none\"");
    options(plan, m);
    if (plan.masked) m.emplace_back("mask", mask(plan));
    m.emplace_back("normalize", quoted(choice_name(plan.normalize)));
    m.emplace_back("empty_rows", quoted(choice_name(plan.empty_rows)));
    if (plan.dropout) m.emplace_back("dropout", dropout(*plan.dropout));
    if (plan.init || !plan.weight_notes.empty()) m.emplace_back("weights", weights(plan));
    return m;
}

JsonMembers plan_head(std::string_view schema, const Plan& plan, int indent) {
    JsonMembers m{{"schema", quoted(schema)},
                  {"tool", json_object({{"name", "\"attn-calc\""}, {"version", quoted(ATTN_VERSION)}})},
                  {"variant", quoted(plan.variant->name)},
                  {"plan", json_object(plan_members(plan), indent)},
                  {"tokens", json_object({{"query", json_strings(cut(plan.query_tokens, plan.queries_shown))},
                                          {"key", json_strings(cut(plan.key_tokens, plan.keys_shown))}})}};
    if (plan.shows_part()) m.emplace_back("selection", selection(plan));
    return m;
}

JsonMembers trace_members(const Plan& plan, int indent) {
    JsonMembers m = plan_head("attn-calc/trace/1", plan, indent);
    std::vector<std::string> order;
    for (const PlannedStage& s : plan.stages)
        if (s.shown) order.emplace_back(s.name);
    m.emplace_back("order", json_strings(order));
    return m;
}

JsonMembers stage_members(const Plan& plan, const PlannedStage& stage, bool squeeze) {
    const Shape whole = plan.shown_shape(stage);
    const auto all = axes_of(stage.family);
    std::vector<std::string> axes;
    Shape shape;
    for (std::size_t k = 0; k < whole.size(); ++k) {
        if (squeeze && whole[k] == 1) continue;
        axes.emplace_back(name_of(all[k]));
        shape.push_back(whole[k]);
    }
    return {{"formula", quoted(stage.formula)},
            {"axes", json_strings(axes)},
            {"shape", json_indices(shape)},
            {"dtype", quoted(name_of(plan.dtype))}};
}

std::string trace_without_data(const Plan& plan, bool squeeze, const std::vector<std::string>& warnings) {
    JsonMembers m = trace_members(plan, 0), stages;
    for (const PlannedStage& s : plan.stages)
        if (s.shown) stages.emplace_back(s.name, json_object(stage_members(plan, s, squeeze)));
    m.emplace_back("stages", json_object(stages));
    m.emplace_back("warnings", json_strings(warnings));
    return json_object(m);
}

}  // namespace attn
