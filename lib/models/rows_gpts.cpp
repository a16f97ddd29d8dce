// GPT-2 and what was made in its time: packed matrices, ALiBi, neighbouring pairs.
#include <cmath>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/read_options.hpp"
#include "lib/models/config.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"

namespace attn {
namespace {

/// `scale_attn_weights` false: no scale; `scale_attn_by_inverse_layer_idx`: by the layer's number from 1.
void gpt2_scale(LayerReader& reader) {
    const Config& config = reader.config();
    const auto scaled = config.boolean("scale_attn_weights"),
               by_layer = config.boolean("scale_attn_by_inverse_layer_idx");
    const bool plain = scaled && !scaled->value, layered = by_layer && by_layer->value;
    if (!plain && !layered) return;
    double scale = plain ? 1 : 1 / std::sqrt(static_cast<double>(reader.sizes().dim.value));
    if (layered) scale /= static_cast<double>(reader.layer() + 1);
    const std::string from =
        (plain ? scaled->from : "") + (plain && layered ? ", " : "") + (layered ? by_layer->from : "");
    reader.set("scale", plain && !layered ? tree_text("none") : tree_number(scale), from);
}

void bigcode(LayerReader& reader) {
    gpt2_scale(reader);
    const auto multi = reader.config().boolean("multi_query");
    const bool one = !multi || multi->value;
    reader.set_of_weights("packed", tree_text(one ? "stacked" : "heads"),
                          multi ? multi->from : reader.of_class());
}

/// Three layouts of one name: groups, one head of keys, head by head. ALiBi is added before the scale.
void falcon(LayerReader& reader) {
    const Config& config = reader.config();
    const auto newer = config.boolean("new_decoder_architecture"), multi = config.boolean("multi_query"),
               alibi = config.boolean("alibi");
    const auto kv = config.integer("num_kv_heads", 1);
    LayerReader::Sizes& sizes = reader.sizes();
    if (newer && newer->value) {
        sizes.kv_heads = kv ? *kv : sizes.heads;
    } else if (!multi || multi->value) {
        sizes.kv_heads = {1, multi ? multi->from : reader.of_class()};
    } else {
        sizes.kv_heads = sizes.heads;
    }
    if (!alibi || !alibi->value) return;
    std::vector<double> slopes = paper_slopes(sizes.heads.value);
    for (double& s : slopes) s /= std::sqrt(static_cast<double>(sizes.dim.value));
    reader.set("alibi", tree_numbers(slopes), alibi->from + ": the paper's slopes, over sqrt(dim)");
    reader.leave_out("rope");
}

void codegen(LayerReader& reader) {
    reader.set_of_weights("packed", tree_text("stacked"), reader.of_class());
    reader.set_of_weights("order", tree_text("qvk"), reader.of_class());
    reader.set_of_weights("packed_blocks", tree_integer(4), reader.of_class());
}

void mpt(LayerReader& reader) {
    const Config& config = reader.config();
    if (const auto alibi = config.boolean("attn_config.alibi"); alibi && !alibi->value)
        reader.leave_out("alibi");
    for (const std::string_view key : {"attn_config.qk_ln", "attn_config.prefix_lm"})
        if (const auto on = config.boolean(key); on && on->value)
            fail(ConfigKey{&config.object(), on->from}.pointer(), "is true, which is not read here");
}

}  // namespace

void add_gpts(std::vector<Architecture>& rows) {
    const auto add = [&](const Architecture& base, std::string_view type, auto change) {
        return add_row(rows, base, type, change);
    };
    const Architecture gpt2 = add({}, "gpt2", [](Architecture& a) {
        a.layer = "h.{}";
        a.attention = "attn.";
        a.modules = "c_attn c_proj";
        a.heads = 12;
        a.kv = KvHeads::same;
        a.width = 768;
        a.dim_keys = "";
        a.norm = {NormRow::layer, "ln_1"};
        a.norm.eps = 1e-5;
        a.more = gpt2_scale;
        a.unread = "scale_attn_weights scale_attn_by_inverse_layer_idx";
        a.said = "attn.bias is a mask, and its matrices are stored [d_in, d_out]";
    });
    add(gpt2, "gpt_neo", [](Architecture& a) {
        a.attention = "attn.attention.";
        a.modules = "q_proj k_proj v_proj out_proj";
        a.heads = 16;
        a.width = 2048;
        a.more = nullptr;
        a.scale_rule = ScaleRule::none;
        a.windows = WindowRule::unrolled;
        a.window_keys = "window_size";
        a.window = 256;
        a.pattern_keys = "";
        a.unread = "attention_types attention_layers";
        a.said = "no scale";
    });
    const Architecture gptj = add(gpt2, "gptj", [](Architecture& a) {
        a.modules = "q_proj k_proj v_proj out_proj";
        a.heads = 16;
        a.width = 4096;
        a.more = nullptr;
        a.unread = "scale_attn_weights";
        a.rope.present = true;
        a.rope.interleaved = true;
        a.rope.base_keys = "";
        a.rope.dims = 64;
    });
    add(gptj, "codegen", [](Architecture& a) {
        a.modules = "qkv_proj out_proj";
        a.more = codegen;
        a.said = "four blocks, each with queries, values, keys of a quarter of the heads";
    });
    add(gpt2, "gpt_bigcode", [](Architecture& a) {
        a.modules = "c_attn=qkv c_proj=out_proj";
        a.kv = KvHeads::one_if_multi;
        a.more = bigcode;
        a.said = "c_attn is stored [d_out, d_in], unlike GPT-2's";
    });
    add(gpt2, "gpt_neox", [](Architecture& a) {
        a.layer = "layers.{}";
        a.attention = "attention.";
        a.modules = "query_key_value dense";
        a.heads = 64;
        a.width = 6144;
        a.norm.module = "input_layernorm";
        a.more = nullptr;
        a.unread = "";
        a.rope.present = true;
        a.rope.share = 0.25;
        a.rope.share_keys = "rotary_pct|partial_rotary_factor";
        a.rope.base_keys = "rotary_emb_base|rope_theta";
        a.said = "queries, keys and values head by head; attention.bias is a mask";
    });
    add(gpt2, "falcon", [](Architecture& a) {
        a.attention = "self_attention.";
        a.modules = "query_key_value dense";
        a.heads = 71;
        a.width = 4544;
        a.norm.module = "ln_attn|input_layernorm";
        a.more = falcon;
        a.kv_keys = "num_kv_heads";
        a.unread = "alibi multi_query num_ln_in_parallel_attn";
        a.rope.present = true;
        a.said =
            "without new_decoder_architecture multi_query wins over num_kv_heads; ALiBi is added before the "
            "scale";
    });
    add(gpt2, "bloom", [](Architecture& a) {
        a.attention = "self_attention.";
        a.modules = "query_key_value dense";
        a.heads = 8;
        a.width = 64;
        a.norm.module = "input_layernorm";
        a.more = nullptr;
        a.unread = "";
        a.alibi = true;
        a.width_keys = "hidden_size|n_embed|n_embd";
        a.said = "ALiBi is added after the scale";
    });
    add(gpt2, "mpt", [](Architecture& a) {
        a.layer = "blocks.{}";
        a.modules = "Wqkv out_proj";
        a.heads = 16;
        a.width = 2048;
        a.norm.module = "norm_1";
        a.more = mpt;
        a.unread = "attn_config";
        a.alibi = true;
        a.scale_rule = ScaleRule::key;
        a.scale_keys = "attn_config.softmax_scale";
        a.clip_keys = "attn_config.clip_qkv";
        a.said = "alibi_bias_max is not read, 8 is fixed";
    });
    add(gpt2, "opt", [](Architecture& a) {
        a.layer = "decoder.layers.{}";
        a.attention = "self_attn.";
        a.modules = "q_proj k_proj v_proj out_proj";
        a.norm = {NormRow::layer, "self_attn_layer_norm"};
        a.norm.eps_keys = "";
        a.norm.eps = 1e-5;
        a.norm.unless = "do_layer_norm_before";
        a.more = nullptr;
        a.unread = "";
    });
}

}  // namespace attn
