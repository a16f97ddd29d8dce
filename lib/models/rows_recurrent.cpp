// Models with layers that keep a state: gated delta nets and lightning attention, and their layers of scores.
#include <cmath>
#include <utility>

#include "lib/models/config.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"

namespace attn {
namespace {

constexpr std::string_view linear = "linear_attention";

/// All layers but each n-th keep a state.
std::string_view each_fourth(const Config& config, std::int64_t layer) {
    const auto n = config.integer("full_attention_interval", 1);
    return (layer + 1) % (n ? n->value : 4) != 0 ? linear : "full_attention";
}

/// The gated delta rule as released (Qwen3-Next): a convolution of queries, keys and values, their l2 norm, a
/// norm of each head's context times silu of its gate. `eps` of that norm.
void delta_net(LayerReader& reader, const Said<double>& eps, Index key_heads, Index value_heads,
               Index key_dim) {
    const Config& config = reader.config();
    const auto integer = [&](std::string_view key, Index otherwise) {
        const auto found = config.integer(key, 1);
        return found ? *found : Said<Index>{otherwise, reader.of_class()};
    };
    const Said<Index> keys = integer("linear_num_key_heads", key_heads),
                      values = integer("linear_num_value_heads", value_heads),
                      dim = integer("linear_key_head_dim", key_dim);
    reader.set("variant", tree_text("delta"), reader.of_class());
    reader.set("num_heads", tree_integer(keys.value), keys.from);
    reader.set("num_kv_heads", tree_integer(keys.value), keys.from);
    reader.set("num_value_heads", tree_integer(values.value), values.from);
    Value conv = tree_object();
    add_member(conv, "activation", tree_text("silu"));
    reader.set("conv", std::move(conv), reader.of_class());
    Value norm = tree_object();
    add_member(norm, "type", tree_text("l2"));
    add_member(norm, "eps", tree_number(1e-6));
    reader.set("qk_norm", std::move(norm), reader.of_class());
    Value gate = tree_object();
    add_member(gate, "activation", tree_text("silu"));
    add_member(gate, "norm", tree_text("rms"));
    add_member(gate, "eps", tree_number(eps.value));
    reader.set("gate", std::move(gate), "eps: " + eps.from);
    reader.set("scale", tree_number(1 / std::sqrt(static_cast<double>(dim.value))),
               "1/sqrt(" + dim.from + ")");
}

void qwen_delta(LayerReader& reader) {
    const auto eps = reader.config().number("rms_norm_eps");
    delta_net(reader, eps ? *eps : Said<double>{1e-6, reader.of_class()}, 16, 32, 128);
}

void olmo_delta(LayerReader& reader) {
    const Index heads = reader.sizes().heads.value;
    const auto doubled = reader.config().boolean("linear_allow_neg_eigval");
    if (!doubled || doubled->value)
        reader.set("beta_factor", tree_number(2), doubled ? doubled->from : reader.of_class());
    delta_net(
        reader, {1e-5, reader.of_class()}, heads, heads,
        static_cast<Index>(0.75 * static_cast<double>(reader.sizes().width) / static_cast<double>(heads)));
}

/// Released checkpoints have no rotary embedding: they say so by null.
void olmo_hybrid(LayerReader& reader) {
    const ConfigKey rope = reader.rope_dictionary(), base = reader.config().below(rope, "rope_theta");
    if (!base || base.is_null()) reader.leave_out("rope");
}

/// MiniMax: silu of queries, keys and values, a decay for each head and layer, a norm of the joined heads
/// times a sigmoid gate; no scale.
void lightning(LayerReader& reader) {
    const Index heads = reader.sizes().heads.value;
    reader.sizes().kv_heads = reader.sizes().heads;
    reader.set("variant", tree_text("linear"), reader.of_class());
    reader.set("feature_map", tree_text("silu"), reader.of_class());
    reader.set("map_values", tree_boolean(true), reader.of_class());
    reader.set("scale", tree_text("none"), reader.of_class());
    reader.set_of_weights("packed", tree_text("heads"), reader.of_class());
    Value gate = tree_object();
    add_member(gate, "activation", tree_text("sigmoid"));
    add_member(gate, "norm", tree_text("rms"));
    add_member(gate, "over", tree_text("width"));
    add_member(gate, "eps", tree_number(1e-6));
    reader.set("gate", std::move(gate), reader.of_class());
    const double slow =
        1 - static_cast<double>(reader.layer()) / (static_cast<double>(reader.layers() - 1) + 1e-5) + 1e-5;
    const double base = std::exp2(-8.0 / static_cast<double>(heads));
    std::vector<double> rates;
    for (Index h = 0; h < heads; ++h) rates.push_back(-std::pow(base, static_cast<double>(h + 1)) * slow);
    Value decay = tree_object();
    add_member(decay, "shape", tree_list({tree_integer(1), tree_integer(heads), tree_integer(1)}));
    add_member(decay, "data", tree_numbers(rates));
    reader.set("decay", std::move(decay), "the number of the layer, of " + std::to_string(reader.layers()));
}

std::string_view minimax_kind(const Config& config, std::int64_t layer) {
    if (const ConfigKey list = config.given("attn_type_list"))
        if (const std::vector<Value> items = Config::list_of(list);
            items.size() > static_cast<std::size_t>(layer))
            return items[static_cast<std::size_t>(layer)].integer == 0 ? linear : "full_attention";
    return layer % 2 == 0 ? "full_attention" : linear;
}

}  // namespace

void add_recurrent(std::vector<Architecture>& rows) {
    const auto add = [&](const Architecture& base, std::string_view type, auto change) {
        return add_row(rows, base, type, change);
    };
    const auto qwen = [&](std::string_view type, std::string_view modules, int kv, std::string_view said) {
        const Architecture row = add(llama_row(), type, [&](Architecture& a) {
            a.heads = 16;
            a.kv_heads = kv;
            a.dim = 256;
            a.norm.plus_one = true;
            a.rope.share = 0.25;
            a.rope.longest = 32768;
            a.modules = "q_proj k_proj v_proj o_proj q_norm k_norm";
            a.qk_norm.type = NormRow::rms;
            a.qk_norm.plus_one = true;
            a.gate_in_queries = true;
            a.kind_of = each_fourth;
            a.unread =
                "full_attention_interval linear_num_key_heads linear_num_value_heads linear_key_head_dim "
                "linear_value_head_dim linear_conv_kernel_dim attn_output_gate";
            a.said = "q_proj holds, head by head, queries and their gate";
        });
        add(row, type, [&](Architecture& a) {
            a.kind = linear;
            a.attention = "linear_attn.";
            a.modules = modules;
            a.qk_norm = {};
            a.gate_in_queries = false;
            a.rope.present = false;
            a.more = qwen_delta;
            a.said = said;
        });
    };
    constexpr std::string_view
        by_heads = "in_proj_qkvz in_proj_ba conv1d !A_log !dt_bias norm out_proj",
        one_by_one = "in_proj_qkv in_proj_z in_proj_b in_proj_a conv1d !A_log !dt_bias norm out_proj";
    qwen("qwen3_next", by_heads, 2,
         "packed by the heads of keys; the norm before the gate is times the weight as it is");
    for (const std::string_view type : {"qwen3_5_text", "qwen3_5"}) qwen(type, one_by_one, 4, "");
    for (const std::string_view type : {"qwen3_5_moe_text", "qwen3_5_moe"}) qwen(type, one_by_one, 2, "");
    const Architecture hybrid = add(llama_row(), "olmo_hybrid", [](Architecture& a) {
        a.heads = 30;
        a.width = 3840;
        a.norm = {};
        a.modules = "q_proj k_proj v_proj o_proj q_norm k_norm";
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.over_width = true;
        a.kind_of = each_fourth;
        a.more = olmo_hybrid;
        a.unread =
            "linear_num_key_heads linear_num_value_heads linear_key_head_dim linear_value_head_dim "
            "linear_conv_kernel_dim linear_allow_neg_eigval linear_a_log_min linear_a_log_max linear_dt_min "
            "linear_dt_max linear_dt_init_floor";
    });
    add(hybrid, "olmo_hybrid", [](Architecture& a) {
        a.kind = linear;
        a.attention = "linear_attn.";
        a.modules =
            "q_proj k_proj v_proj a_proj b_proj g_proj ?q_conv1d ?k_conv1d ?v_conv1d ?conv1d !A_log !dt_bias "
            "o_norm o_proj";
        a.norm.type = NormRow::rms;
        a.norm.module = "input_layernorm|attention_layer_norm";
        a.qk_norm = {};
        a.rope.present = false;
        a.more = olmo_delta;
        a.said = "the norm of the context has an eps of 1e-5 whatever rms_norm_eps says";
    });
    const Architecture minimax = add(llama_row(), "minimax", [](Architecture& a) {
        a.kv_heads = 8;
        a.norm.eps = 1e-5;
        a.rope.base = 1e6;
        a.rope.longest = 131072;
        a.kind_of = minimax_kind;
        a.unread = "attn_type_list";
    });
    add(minimax, "minimax", [](Architecture& a) {
        a.kind = linear;
        a.modules = "qkv_proj output_gate norm out_proj";
        a.rope.present = false;
        a.more = lightning;
        a.said = "decays follow from the numbers of head and layer; no scale";
    });
}

}  // namespace attn
