#include "lib/input/weight_names.hpp"

#include <algorithm>
#include <array>

#include "lib/input/choices.hpp"
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
    WeightName{"W_query.weight", query, linear, false, "W_*"},
    WeightName{"W_key.weight", key, linear, false, "W_*"},
    WeightName{"W_value.weight", value, linear, false, "W_*"},
    WeightName{"W_out.weight", output, linear, false, "W_*"},
    WeightName{"W_query.bias", query, linear, true, "W_*"},
    WeightName{"W_key.bias", key, linear, true, "W_*"},
    WeightName{"W_value.bias", value, linear, true, "W_*"},
    WeightName{"W_out.bias", output, linear, true, "W_*"},
    WeightName{"q_proj.weight", query, linear, false, "*_proj"},
    WeightName{"k_proj.weight", key, linear, false, "*_proj"},
    WeightName{"v_proj.weight", value, linear, false, "*_proj"},
    WeightName{"o_proj.weight", output, linear, false, "*_proj"},
    WeightName{"q_proj.bias", query, linear, true, "*_proj"},
    WeightName{"k_proj.bias", key, linear, true, "*_proj"},
    WeightName{"v_proj.bias", value, linear, true, "*_proj"},
    WeightName{"o_proj.bias", output, linear, true, "*_proj"},
    WeightName{"query.weight", query, linear, false, "**"},
    WeightName{"key.weight", key, linear, false, "**"},
    WeightName{"value.weight", value, linear, false, "**"},
    WeightName{"query.bias", query, linear, true, "**"},
    WeightName{"key.bias", key, linear, true, "**"},
    WeightName{"value.bias", value, linear, true, "**"},
    WeightName{"out_proj.weight", output, linear, false, "out_proj"},
    WeightName{"out_proj.bias", output, linear, true, "out_proj"},
    WeightName{"q.weight", query, linear, false, "*"},
    WeightName{"k.weight", key, linear, false, "*"},
    WeightName{"v.weight", value, linear, false, "*"},
    WeightName{"o.weight", output, linear, false, "*"},
    WeightName{"q.bias", query, linear, true, "*"},
    WeightName{"k.bias", key, linear, true, "*"},
    WeightName{"v.bias", value, linear, true, "*"},
    WeightName{"o.bias", output, linear, true, "*"},
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

/// How many axes a weight has, in words too.
TensorRule rule_of(const WeightName& entry) {
    return entry.role == bias_k || entry.role == bias_v
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
}

/// Names that a tensor of so many axes may have (0: any), for suggestions.
std::vector<std::string_view> names_for(std::size_t rank) {
    std::vector<std::string_view> out;
    for (const WeightName& n : names_table) {
        const TensorRule rule = rule_of(n);
        if (rank == 0 || (rank >= rule.min_rank && rank <= rule.max_rank)) out.push_back(n.name);
    }
    return out;
}

/// `name` stands below `prefix` in `pointer`, and is not the name of a weight. Names of as many axes as its
/// value has are suggested first: a matrix `Wq` is W_query, which W_Q of three axes looks more like.
[[noreturn]] void refuse_name(const std::string& name, const Value& value, const std::string& pointer,
                              const std::string& prefix) {
    std::vector<std::string_view> names = names_for(0);
    for (const auto* setting : {"weight_layout", "init", "prefix"}) names.emplace_back(setting);
    std::string hint = did_you_mean(name, names_for(value.row.shape.size()));
    if (hint.empty()) hint = did_you_mean(name, names);
    const std::string at = child(pointer, prefix + name);
    if (!prefix.empty())
        fail_at_key(at, "\"" + name + "\" is not the name of a weight",
                    hint.empty() ? hint_for_unread(name) : hint);
    if (hint.empty()) hint = list_near(name, names);
    fail_at_key(at, "unknown key \"" + name + "\" in " + pointer, hint);
}

void read_named(const Value& object, const std::string& pointer, NamedWeights& out) {
    const Value* asked = object.find("prefix");
    const std::string prefix =
        asked ? read_string(*asked, child(pointer, "prefix"), "a prefix of names") : std::string{};
    out.pointer = pointer;
    const auto is_setting = [](std::string_view n) { return n == "weight_layout" || n == "prefix"; };
    for (const auto& [name, member] : object.members)
        if (prefix.empty() && !is_ignored(name) && !is_setting(name) && !weight_named(name))
            refuse_name(name, member, pointer, prefix);
    for (const auto& [full_name, member] : object.members) {
        if (is_ignored(full_name) || full_name == "prefix") continue;
        const std::string here = child(pointer, full_name);
        if (full_name == "weight_layout") {
            out.out_in = read_choice(member, here, weight_layout_names) == 1;
            continue;
        }
        // Names that are not below the prefix belong to other layers.
        if (!full_name.starts_with(prefix)) continue;
        const std::string name = full_name.substr(prefix.size());
        if (!weight_named(name)) {
            if (is_mask_or_table(name, member.row.shape)) continue;
            refuse_name(name, member, pointer, prefix);
        }
        out.tensors.push_back({name, read_tensor(member, here, rule_of(*weight_named(name)))});
    }
    if (asked && out.tensors.empty())
        fail(child(pointer, "prefix"), "is \"" + prefix + "\", but no weight has a name that begins with it");
}

WeightsInit read_init(const Value& object, const std::string& pointer) {
    static constexpr auto inits = choice_names<WeightsInit::Kind>();
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

std::pair<std::size_t, std::size_t> weight_axes(const WeightName& name) {
    const TensorRule rule = rule_of(name);
    return {rule.min_rank, rule.max_rank};
}

const WeightName* weight_named(std::string_view name) {
    for (const WeightName& n : names_table)
        if (n.name == name) return &n;
    return nullptr;
}

bool is_mask_or_table(std::string_view name, const Shape& shape) {
    // The last part of the name: "attn.masked_bias" below a layer's prefix, "masked_bias" below its
    // attention's.
    const std::string_view last = name.substr(name.rfind('.') + 1);
    if (last == "bias" && name != last && !name.ends_with("attn.bias") && !name.ends_with("attention.bias"))
        return false;
    if (last == "bias" || last == "mask") {
        const std::size_t axes = shape.size();
        if (axes < 2 || shape[axes - 1] != shape[axes - 2] || (last == "bias" && axes != 4)) return false;
        return std::all_of(shape.begin(), shape.end() - 2, [](Index n) { return n == 1; });
    }
    constexpr std::array<std::string_view, 9> tables{"masked_bias", "inv_freq",    "rotary_sin",
                                                     "rotary_cos",  "IGNORE",      "slope_rate",
                                                     "key_decay",   "query_decay", "diagonal_decay"};
    return std::find(tables.begin(), tables.end(), last) != tables.end();
}

std::string hint_for_unread(std::string_view name) {
    struct Row {
        std::string_view part, hint;
    };
    constexpr std::array rows{
        Row{"sinks", "a document reads them as \"sinks\": {\"file\": ..., \"name\": ...}"},
        Row{"relative_attention_bias", "a document reads what it adds to the scores as \"position_bias\""},
        Row{"layernorm",
            "norms of queries and keys are \"qk_norm\" with q_norm.weight, k_norm.weight among the weights"},
        Row{"_norm",
            "norms of queries and keys are \"qk_norm\" with q_norm.weight, k_norm.weight among the weights"},
        Row{"dense", "the output projection is called out_proj.weight, o_proj.weight or W_out.weight here"},
    };
    for (const Row& row : rows)
        if (name.find(row.part) != std::string_view::npos) return std::string(row.hint);
    return "weights of other names are given one by one: \"weights\": {\"W_query.weight\": {\"file\": ..., "
           "\"name\": ...}, ...}";
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
