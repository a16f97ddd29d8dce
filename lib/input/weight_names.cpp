#include "lib/input/weight_names.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/input/choices.hpp"
#include "lib/input/head_norms.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

using enum WeightRole;
using enum WeightFamily;

/// How many axes a weight has, in words too.
TensorRule rule_of(const WeightName& entry) {
    const bool is_conv = entry.role == query_conv || entry.role == key_conv || entry.role == value_conv ||
                         entry.role == packed_conv;
    if (is_conv && !entry.bias)
        return TensorRule{2, 3, Elements::finite, "taps [width, 1, taps], or [width, taps]"};
    return entry.role == bias_k || entry.role == bias_v
               ? TensorRule{1, 3, Elements::finite, "a vector, one number per column (axes of 1 before it)"}
           : entry.family == lens && !entry.bias
               ? TensorRule{3, 3, Elements::finite,
                            entry.role == output ? "a tensor [head, d_head, d_model]"
                                                 : "a tensor [head, d_model, d_head]"}
           : entry.family == lens && entry.role != output
               ? TensorRule{2, 2, Elements::finite, "a matrix [head, d_head]"}
           : entry.family == keras && entry.bias
               ? TensorRule{1, 2, Elements::finite, "a vector, or one for each head: [heads, dim]"}
           : entry.family == keras
               ? TensorRule{2, 3, Elements::finite,
                            entry.role == output ? "a kernel [d_in, d_out], or [heads, dim, d_out]"
                                                 : "a kernel [d_in, d_out], or [d_in, heads, dim]"}
           : entry.role == query_norm || entry.role == key_norm || entry.role == query_norm_bias ||
                   entry.role == key_norm_bias
               ? TensorRule{1, 2, Elements::finite, "a vector, or one for each head: [heads, dim]"}
           : entry.bias     ? TensorRule{1, 1, Elements::finite, "a vector, one number per output"}
           : entry.out_in() ? TensorRule{2, 2, Elements::finite, "a matrix [d_out, d_in]"}
                            : TensorRule{2, 2, Elements::finite, "a matrix [d_in, d_out]"};
}

/// Names that a tensor of so many axes may have (0: any), for suggestions.
std::vector<std::string_view> names_for(std::size_t rank) {
    std::vector<std::string_view> out;
    for (const WeightName& n : all_weight_names()) {
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
    for (const std::string_view setting : weight_settings()) names.push_back(setting);
    names.emplace_back("init");
    std::string hint = did_you_mean(name, names_for(value.row.shape.size()));
    if (hint.empty()) hint = did_you_mean(name, names);
    const std::string at = child(pointer, prefix + name);
    if (!prefix.empty())
        fail_at_key(at, "\"" + name + "\" is not the name of a weight",
                    hint.empty() ? hint_for_unread(name) : hint);
    if (hint.empty()) hint = list_near(name, names);
    fail_at_key(at, "unknown key \"" + name + "\" in " + pointer, hint);
}

/// One of weight_settings() that says how tensors are read.
void read_setting(std::string_view name, const Value& value, const std::string& here, NamedWeights& out) {
    if (name == "weight_layout") out.out_in = read_choice(value, here, weight_layout_names) == 1;
    if (name == "packed")
        out.packed = static_cast<PackedLayout>(read_choice(value, here, choice_names<PackedLayout>()));
    if (name == "packed_blocks") out.packed_blocks = read_integer(value, here, 1, "a number of blocks");
    if (name == "head_rows") {
        static constexpr std::array<std::string_view, 2> orders{"halves", "interleaved"};
        out.interleaved_rows = read_choice(value, here, orders) == 1;
    }
    if (name == "order") {
        static constexpr std::array<std::string_view, 6> orders{"qkv", "qvk", "kqv", "kvq", "vqk", "vkq"};
        out.order = std::string(orders[read_choice(value, here, orders)]);
    }
}

void read_named(const Value& object, const std::string& pointer, NamedWeights& out) {
    const Value* asked = object.find("prefix");
    const std::string prefix =
        asked ? read_string(*asked, child(pointer, "prefix"), "a prefix of names") : std::string{};
    out.pointer = pointer;
    const auto is_setting = [](std::string_view n) {
        return std::find(weight_settings().begin(), weight_settings().end(), n) != weight_settings().end();
    };
    const Value* renamed = object.find("names");
    const std::string at_names = child(pointer, "names");
    const std::vector<std::pair<std::string, std::string>> aliases =
        renamed ? read_weight_aliases(*renamed, at_names)
                : std::vector<std::pair<std::string, std::string>>{};
    /// What a tensor below the prefix is called here; "" where nothing is.
    const auto name_here = [&](const std::string& theirs) -> std::string {
        for (const auto& [ours, other] : aliases)
            if (other == theirs) return ours;
        return weight_named(theirs) || head_norm_named(theirs) ? theirs : "";
    };
    for (const auto& [ours, theirs] : aliases)
        if (!object.find(prefix + theirs))
            fail(child(at_names, ours), "is \"" + theirs + "\", but there is no such weight" +
                                            (prefix.empty() ? "" : " below \"" + prefix + "\""));
    HeadNorms norms;
    for (const auto& [name, member] : object.members)
        if (prefix.empty() && !is_ignored(name) && !is_setting(name) && name_here(name).empty())
            refuse_name(name, member, pointer, prefix);
    for (const auto& [full_name, member] : object.members) {
        if (is_ignored(full_name)) continue;
        const std::string here = child(pointer, full_name);
        if (is_setting(full_name)) {
            read_setting(full_name, member, here, out);
            continue;
        }
        // Names that are not below the prefix belong to other layers.
        if (!full_name.starts_with(prefix)) continue;
        const std::string below = full_name.substr(prefix.size()), name = name_here(below);
        if (const auto norm = head_norm_named(name)) {
            TensorSource t = read_tensor(
                member, here, {1, 1, Elements::finite, "a vector, one number per column of a head"});
            t.name = below;
            norms.add(*norm, std::move(t));
            continue;
        }
        if (name.empty()) {
            if (is_mask_or_table(below, member.row.shape)) continue;
            refuse_name(below, member, pointer, prefix);
        }
        out.tensors.push_back({name, read_tensor(member, here, rule_of(*weight_named(name)))});
        out.tensors.back().tensor.name = below;
    }
    norms.finish(out.tensors);
    if (asked && out.tensors.empty())
        fail(child(pointer, "prefix"), "is \"" + prefix + "\", but no weight has a name that begins with it");
}

WeightsInit read_init(const Value& object, const std::string& pointer) {
    static constexpr auto inits = choice_names<WeightsInit::Kind>();
    static constexpr std::array<std::string_view, 7> names{"init", "seed",     "dtype",      "d_out",
                                                           "bias", "out_proj", "add_bias_kv"};
    WeightsInit init;
    init.pointer = pointer;
    for (const WeightName& n : all_weight_names())
        if (object.find(n.name))
            fail_at_key(child(pointer, n.name), "\"" + std::string(n.name) + "\" stands beside \"init\" in " +
                                                    pointer + ": weights are either given or drawn");
    if (object.find("file"))
        fail_at_key(child(pointer, "file"), "\"file\" stands beside \"init\" in " + pointer);
    check_members(object, pointer, names);
    init.kind =
        static_cast<WeightsInit::Kind>(read_choice(*object.find("init"), child(pointer, "init"), inits));
    const Value* seed = object.find("seed");
    init.shared = !seed;
    if (seed) init.seed = read_seed(*seed, child(pointer, "seed"));
    init.doubles = draws_doubles(object, pointer);
    if (const Value* v = object.find("d_out"))
        init.d_out = read_integer(*v, child(pointer, "d_out"), 1, "d_out");
    if (const Value* v = object.find("bias")) init.bias = read_boolean(*v, child(pointer, "bias"), "bias");
    if (const Value* v = object.find("out_proj")) {
        if (v->kind == Value::Kind::integer) {
            init.out_proj = true;
            init.out_width = read_integer(*v, child(pointer, "out_proj"), 1, "the width of the output");
        } else {
            init.out_proj = read_boolean(*v, child(pointer, "out_proj"), "out_proj, or its width");
        }
    }
    if (const Value* v = object.find("add_bias_kv"))
        init.add_bias_kv = read_boolean(*v, child(pointer, "add_bias_kv"), "add_bias_kv");
    if (init.add_bias_kv && init.kind != WeightsInit::Kind::multihead)
        fail(child(pointer, "add_bias_kv"),
             "is true, but only torch.nn.MultiheadAttention draws a key and a value to append");
    if (init.kind != WeightsInit::Kind::multihead && !init.d_out)
        fail(pointer, "has no \"d_out\": the width of the queries, keys and values to draw");
    if (init.kind == WeightsInit::Kind::rand && init.bias.value_or(false))
        fail(child(pointer, "bias"), "is true, but torch.rand draws matrices without a bias",
             "use \"init\": \"torch.nn.Linear\"");
    return init;
}

}  // namespace

std::span<const std::string_view> weight_settings() {
    static constexpr std::array<std::string_view, 7> settings{"weight_layout", "prefix",    "packed", "order",
                                                              "packed_blocks", "head_rows", "names"};
    return settings;
}

std::vector<std::pair<std::string, std::string>> read_weight_aliases(const Value& value,
                                                                     const std::string& pointer) {
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() +
                          ", expected names of weights and what they are called here: {\"W_query\": "
                          "\"linear_1.w_0\"}");
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& [name, member] : value.members) {
        if (is_ignored(name)) continue;
        const std::string at = child(pointer, name);
        if (!weight_named(name) && !head_norm_named(name))
            fail_at_key(at, "\"" + name + "\" is not the name of a weight", did_you_mean(name, names_for(0)));
        const std::string theirs = read_string(member, at, "what the weight is called here");
        for (const auto& [other, taken] : out)
            if (taken == theirs)
                fail(at, "is \"" + theirs + "\", and so is \"" + other + "\": a tensor is one weight");
        out.emplace_back(name, theirs);
    }
    return out;
}

std::pair<std::size_t, std::size_t> weight_axes(const WeightName& name) {
    const TensorRule rule = rule_of(name);
    return {rule.min_rank, rule.max_rank};
}

const WeightName* weight_named(std::string_view name) {
    for (const WeightName& n : all_weight_names())
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
        Row{"relative_attention_bias", "a document reads it as \"position_bias\": {\"buckets\": ...}"},
        Row{"layernorm",
            "norms of queries and keys are \"qk_norm\" with q_norm.weight, k_norm.weight among the weights"},
        Row{"_norm",
            "norms of queries and keys are \"qk_norm\" with q_norm.weight, k_norm.weight among the weights"},
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
