#include "lib/input/weight_names.hpp"

#include <algorithm>
#include <array>

#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

using enum WeightRole;
using enum WeightFamily;

constexpr std::array names_table{
    WeightName{"W_query", query, mathematics, false},
    WeightName{"W_key", key, mathematics, false},
    WeightName{"W_value", value, mathematics, false},
    WeightName{"W_out", output, mathematics, false},
    WeightName{"b_query", query, mathematics, true},
    WeightName{"b_key", key, mathematics, true},
    WeightName{"b_value", value, mathematics, true},
    WeightName{"b_out", output, mathematics, true},
    WeightName{"W_query.weight", query, linear, false},
    WeightName{"W_key.weight", key, linear, false},
    WeightName{"W_value.weight", value, linear, false},
    WeightName{"W_out.weight", output, linear, false},
    WeightName{"W_query.bias", query, linear, true},
    WeightName{"W_key.bias", key, linear, true},
    WeightName{"W_value.bias", value, linear, true},
    WeightName{"W_out.bias", output, linear, true},
    WeightName{"q_proj.weight", query, linear, false},
    WeightName{"k_proj.weight", key, linear, false},
    WeightName{"v_proj.weight", value, linear, false},
    WeightName{"o_proj.weight", output, linear, false},
    WeightName{"q_proj.bias", query, linear, true},
    WeightName{"k_proj.bias", key, linear, true},
    WeightName{"v_proj.bias", value, linear, true},
    WeightName{"o_proj.bias", output, linear, true},
    WeightName{"query.weight", query, linear, false},
    WeightName{"key.weight", key, linear, false},
    WeightName{"value.weight", value, linear, false},
    WeightName{"query.bias", query, linear, true},
    WeightName{"key.bias", key, linear, true},
    WeightName{"value.bias", value, linear, true},
    WeightName{"out_proj.weight", output, linear, false},
    WeightName{"out_proj.bias", output, linear, true},
    WeightName{"q.weight", query, linear, false},
    WeightName{"k.weight", key, linear, false},
    WeightName{"v.weight", value, linear, false},
    WeightName{"o.weight", output, linear, false},
    WeightName{"q.bias", query, linear, true},
    WeightName{"k.bias", key, linear, true},
    WeightName{"v.bias", value, linear, true},
    WeightName{"o.bias", output, linear, true},
    WeightName{"in_proj_weight", packed, multihead, false},
    WeightName{"in_proj_bias", packed, multihead, true},
    WeightName{"q_proj_weight", query, multihead, false},
    WeightName{"k_proj_weight", key, multihead, false},
    WeightName{"v_proj_weight", value, multihead, false},
    WeightName{"W_Q", query, lens, false},
    WeightName{"W_K", key, lens, false},
    WeightName{"W_V", value, lens, false},
    WeightName{"W_O", output, lens, false},
    WeightName{"b_Q", query, lens, true},
    WeightName{"b_K", key, lens, true},
    WeightName{"b_V", value, lens, true},
    WeightName{"b_O", output, lens, true},
    WeightName{"c_attn.weight", packed, gpt2, false},
    WeightName{"c_attn.bias", packed, gpt2, true},
    WeightName{"c_proj.weight", output, gpt2, false},
    WeightName{"c_proj.bias", output, gpt2, true},
    WeightName{"W_gate", gate, mathematics, false},
    WeightName{"b_gate", gate, mathematics, true},
    WeightName{"W_gate.weight", gate, linear, false},
    WeightName{"W_gate.bias", gate, linear, true},
    WeightName{"W_score", score, mathematics, false},
    WeightName{"W_score.weight", score, linear, false},
    WeightName{"v", additive, mathematics, true},
    WeightName{"W_DQ", query_latent, mathematics, false},
    WeightName{"W_UQ", query_up, mathematics, false},
    WeightName{"W_DKV", latent, mathematics, false},
    WeightName{"W_UK", key_up, mathematics, false},
    WeightName{"W_UV", value_up, mathematics, false},
    WeightName{"W_KR", rope_key, mathematics, false},
    WeightName{"W_DQ.weight", query_latent, linear, false},
    WeightName{"W_UQ.weight", query_up, linear, false},
    WeightName{"W_DKV.weight", latent, linear, false},
    WeightName{"W_UK.weight", key_up, linear, false},
    WeightName{"W_UV.weight", value_up, linear, false},
    WeightName{"W_KR.weight", rope_key, linear, false},
    WeightName{"W_decay", decay, mathematics, false},
    WeightName{"W_alpha", decay, mathematics, false},
    WeightName{"W_beta", beta, mathematics, false},
    WeightName{"W_decay.weight", decay, linear, false},
    WeightName{"W_alpha.weight", decay, linear, false},
    WeightName{"W_beta.weight", beta, linear, false},
    WeightName{"A_log", decay_log_rate, linear, true},
    WeightName{"dt_bias", decay_bias, linear, true},
    WeightName{"bias_k", bias_k, multihead, true},
    WeightName{"bias_v", bias_v, multihead, true},
    WeightName{"q_norm.weight", query_norm, linear, true},
    WeightName{"k_norm.weight", key_norm, linear, true},
    WeightName{"q_norm.scale", query_norm, linear, true},
    WeightName{"k_norm.scale", key_norm, linear, true},
    WeightName{"norm.weight", context_norm, linear, true},
    WeightName{"norm.scale", context_norm, linear, true},
};

void read_named(const Value& object, const std::string& pointer, NamedWeights& out) {
    static const auto known = [] {
        std::vector<std::string_view> v{"weight_layout", "init"};
        for (const WeightName& n : names_table) v.push_back(n.name);
        return v;
    }();
    const Value* asked = object.find("prefix");
    const std::string prefix =
        asked ? read_string(*asked, child(pointer, "prefix"), "a prefix of names") : std::string{};
    if (prefix.empty()) {
        std::vector<std::string_view> names = known;
        names.emplace_back("prefix");
        check_members(object, pointer, names);
    }
    out.pointer = pointer;
    for (const auto& [full_name, member] : object.members) {
        if (is_ignored(full_name) || full_name == "prefix") continue;
        const std::string here = child(pointer, full_name);
        if (full_name == "weight_layout") {
            static constexpr std::array<std::string_view, 2> layouts{"in_out", "out_in"};
            out.out_in = read_choice(member, here, layouts) == 1;
            continue;
        }
        // Names that are not below the prefix belong to other layers.
        if (!full_name.starts_with(prefix)) continue;
        const std::string name = full_name.substr(prefix.size());
        if (!weight_named(name))
            fail_at_key(here, "\"" + name + "\" is no name of a weight", did_you_mean(name, known));
        const WeightName& entry = *weight_named(name);
        const TensorRule rule =
            entry.role == bias_k || entry.role == bias_v
                ? TensorRule{1, 3, Elements::finite, "a vector, one number per column (axes of 1 before it)"}
            : entry.family == lens && !entry.bias
                ? TensorRule{3, 3, Elements::finite,
                             entry.role == output ? "a tensor [head, d_head, d_model]"
                                                  : "a tensor [head, d_model, d_head]"}
            : entry.family == lens && entry.role != output
                ? TensorRule{2, 2, Elements::finite, "a matrix [head, d_head]"}
            : entry.bias     ? TensorRule{1, 1, Elements::finite, "a vector, one number per output"}
            : entry.out_in() ? TensorRule{2, 2, Elements::finite, "a matrix [d_out, d_in]"}
                             : TensorRule{2, 2, Elements::finite, "a matrix [d_in, d_out]"};
        out.tensors.push_back({name, read_tensor(member, here, rule)});
    }
    if (asked && out.tensors.empty())
        fail(child(pointer, "prefix"), "is \"" + prefix + "\", but no weight has a name that begins with it");
}

WeightsInit read_init(const Value& object, const std::string& pointer) {
    static constexpr std::array<std::string_view, 3> inits{"torch.nn.Linear", "torch.rand",
                                                           "torch.nn.MultiheadAttention"};
    static constexpr std::array<std::string_view, 5> names{"init", "seed", "d_out", "bias", "out_proj"};
    WeightsInit init;
    init.pointer = pointer;
    for (const WeightName& n : names_table)
        if (object.find(n.name))
            fail_at_key(child(pointer, n.name), "\"" + std::string(n.name) + "\" stands beside \"init\" in " +
                                                    pointer + ": weights are either given or drawn");
    if (object.find("file"))
        fail_at_key(child(pointer, "file"), "\"file\" stands beside \"init\" in " + pointer);
    check_members(object, pointer, names);
    init.kind =
        static_cast<WeightsInit::Kind>(read_choice(*object.find("init"), child(pointer, "init"), inits));
    init.seed = read_seed(need(object, pointer, "seed", "drawn weights need a seed"), child(pointer, "seed"));
    if (const Value* v = object.find("d_out"))
        init.d_out = read_integer(*v, child(pointer, "d_out"), 1, "d_out");
    if (const Value* v = object.find("bias")) init.bias = read_boolean(*v, child(pointer, "bias"), "bias");
    if (const Value* v = object.find("out_proj"))
        init.out_proj = read_boolean(*v, child(pointer, "out_proj"), "out_proj");
    if (init.kind != WeightsInit::Kind::multihead && !init.d_out)
        fail(pointer, "has no \"d_out\": the width of the queries, keys and values to draw");
    if (init.kind == WeightsInit::Kind::rand && init.bias.value_or(false))
        fail(child(pointer, "bias"), "is true, but torch.rand draws matrices without a bias",
             "use \"init\": \"torch.nn.Linear\"");
    return init;
}

}  // namespace

std::span<const WeightName> all_weight_names() { return names_table; }

const WeightName* weight_named(std::string_view name) {
    for (const WeightName& n : names_table)
        if (n.name == name) return &n;
    return nullptr;
}

void read_weights(const Value& value, const std::string& pointer, Problem& problem) {
    problem.has_weights = true;
    if (value.kind == Value::Kind::object) problem.weights_from = value.text;
    if (value.kind == Value::Kind::array || (value.kind == Value::Kind::row && value.row.shape[0] == 0)) {
        if (value.items.empty()) fail(pointer, "is an empty list, expected one object of weights per head");
        problem.weights_are_a_list = true;
        for (std::size_t k = 0; k < value.items.size(); ++k) {
            const std::string here = child(pointer, static_cast<Index>(k));
            const Value& head = value.items[k];
            if (head.kind != Value::Kind::object)
                fail(here, "is " + head.describe() + ", expected the weights of one head: an object");
            if (head.find("init"))
                fail(child(here, "init"), "draws one head: a list holds weights that are given",
                     "one {\"init\": ...} in place of the list draws all heads, head by head");
            read_named(head, here, problem.weights.emplace_back());
        }
        return;
    }
    if (value.kind == Value::Kind::row && value.row.shape.size() > 1)
        fail(child(pointer, Index{0}), "is an array, expected the weights of one head: an object");
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() +
                          ", expected weights: an object of matrices by name, or {\"init\": ...}");
    if (value.find("init")) {
        problem.init = read_init(value, pointer);
    } else {
        read_named(value, pointer, problem.weights.emplace_back());
    }
}

}  // namespace attn
