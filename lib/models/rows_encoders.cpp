// Encoders, models of two stacks, towers for pictures.
#include <initializer_list>

#include "lib/error.hpp"
#include "lib/models/config.hpp"
#include "lib/models/disentangled.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"

namespace attn {
namespace {

/// A BERT that decodes sees no later token; distances of keys would need tables that are not read.
void bert(LayerReader& reader) {
    const Config& config = reader.config();
    if (const auto decodes = config.boolean("is_decoder"); decodes && decodes->value)
        reader.set("causal", tree_boolean(true), decodes->from);
    if (const auto kind = config.text("position_embedding_type"); kind && kind->value != "absolute")
        fail(ConfigKey{&config.object(), kind->from}.pointer(),
             "is \"" + kind->value + "\", positions that are not read here: only \"absolute\"");
}

/// ALBERT's layers share the weights of a group.
std::int64_t albert_group(const Config& config, std::int64_t layer) {
    const auto groups = config.integer("num_hidden_groups", 1),
               layers = config.integer("num_hidden_layers", 1), inner = config.integer("inner_group_num", 1);
    if (inner && inner->value != 1)
        fail(ConfigKey{&config.object(), inner->from}.pointer(),
             "is not 1: groups of several layers are not read");
    if (!groups || !layers) return 0;
    return layer * groups->value / layers->value;
}

}  // namespace

void add_encoders(std::vector<Architecture>& rows) {
    const auto add = [&](const Architecture& base, std::string_view type, auto change) {
        return add_row(rows, base, type, change);
    };
    const auto same = [](Architecture&) {};
    const Architecture bert_row = add({}, "bert", [](Architecture& a) {
        a.layer = "encoder.layer.{}";
        a.attention = "attention.self.";
        a.modules = "query key value /attention.output.dense=out_proj";
        a.heads = 12;
        a.kv = KvHeads::same;
        a.width = 768;
        a.dim_keys = "";
        a.causal = false;
        a.more = bert;
        a.unread = "position_embedding_type cross_attention_hidden_size";
        a.said =
            "the output's matrix is not among the attention's tensors; the block's input is read as it is";
    });
    for (const std::string_view type : {"roberta", "xlm-roberta", "electra", "camembert"})
        add(bert_row, type, same);
    add(bert_row, "albert", [](Architecture& a) {
        a.layer = "encoder.albert_layer_groups.{}.albert_layers.0";
        a.attention = "attention.";
        a.modules = "query key value dense";
        a.ignored = "LayerNorm";
        a.heads = 64;
        a.width = 4096;
        a.number_of = albert_group;
        a.said = "all layers of a group share their weights";
    });
    add(bert_row, "distilbert", [](Architecture& a) {
        a.layer = "transformer.layer.{}";
        a.attention = "attention.";
        a.modules = "q_lin=query k_lin=key v_lin=value out_lin=out_proj";
    });
    add(bert_row, "mpnet", [](Architecture& a) {
        a.attention = "attention.attn.";
        a.modules = "q k v o";
        a.buckets = "encoder.relative_attention_bias";
        a.said = "one table of biases for all layers";
    });
    add(bert_row, "modernbert", [](Architecture& a) {
        a.layer = "layers.{}";
        a.attention = "attn.";
        a.modules = "Wqkv Wo";
        a.windows = WindowRule::first_of;
        a.window_keys = "local_attention";
        a.window = 128;
        a.pattern_keys = "global_attn_every_n_layers";
        a.pattern = 3;
        a.both_sides = true;
        a.norm = {NormRow::layer, "attn_norm"};
        a.norm.eps_keys = "norm_eps";
        a.norm.eps = 1e-5;
        a.norm.optional = true;
        a.rope.present = true;
        a.rope.base = 160000;
        a.rope.base_keys = "global_rope_theta|rope_theta";
        a.rope.local = LocalRope::own;
        a.rope.local_keys = "local_rope_theta";
        a.said =
            "each third layer is full, from layer 0 on; local_attention is the sum of both sides; no norm "
            "before layer 0";
    });
    add(bert_row, "nomic_bert", [](Architecture& a) {
        a.layer = "layers.{}";
        a.attention = "attn.";
        a.modules = "Wqkv out_proj";
        a.rope.present = true;
        a.rope.base = 1000;
        a.rope.base_keys = "rotary_emb_base|rope_theta";
        a.rope.share_keys = "rotary_emb_fraction|partial_rotary_factor";
        a.unread = "rotary_emb_scale_base position_embedding_type";
    });
    add(bert_row, "deberta-v2", [](Architecture& a) {
        a.modules = "query_proj=query key_proj=key value_proj=value /attention.output.dense=out_proj";
        a.ignored = "pos_key_proj pos_query_proj";
        a.heads = 24;
        a.width = 1536;
        a.more = disentangled_bias;
        a.unread =
            "position_buckets relative_attention max_relative_positions pos_att_type share_att_key "
            "position_biased_input norm_rel_ebd";
        a.said = "a bias that depends on the tokens' content, written as numbers";
    });
    // Two stacks, and the attention between them.
    const auto t5 = [&](std::string_view type, bool each_block) {
        Architecture row;
        row.stack = "encoder";
        row.layer = "encoder.block.{}";
        row.attention = "layer.0.SelfAttention.";
        row.modules = "q k v o";
        row.ignored = "relative_attention_bias";
        row.heads = 8;
        row.kv = KvHeads::same;
        row.width = 512;
        row.dim_keys = "d_kv";
        row.dim = 64;
        row.layers_keys = "num_layers";
        row.causal = false;
        row.norm.type = NormRow::rms;
        row.norm.module = "layer.0.layer_norm";
        row.scale_rule = ScaleRule::none;
        row.buckets = each_block ? "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias"
                                 : "encoder.block.0.layer.0.SelfAttention.relative_attention_bias";
        row.said = each_block ? "no scale" : "no scale; the table of block 0 serves all blocks of a stack";
        add(row, type, same);
        row.stack = "decoder";
        row.layer = "decoder.block.{}";
        row.layers_keys = "num_decoder_layers|num_layers";
        row.causal = true;
        row.buckets_both_ways = false;
        row.buckets = each_block ? "decoder.block.{}.layer.0.SelfAttention.relative_attention_bias"
                                 : "decoder.block.0.layer.0.SelfAttention.relative_attention_bias";
        add(row, type, same);
        row.stack = "cross";
        row.attention = "layer.1.EncDecAttention.";
        row.norm.module = "layer.1.layer_norm";
        row.causal = false;
        row.buckets = "";
        row.unread = "relative_attention_num_buckets relative_attention_max_distance";
        add(row, type, same);
    };
    t5("t5", false);
    t5("mt5", false);
    t5("umt5", true);
    const auto bart = [&](std::string_view type, bool normed, int heads) {
        Architecture row;
        row.modules = "q_proj k_proj v_proj out_proj";
        row.heads = heads;
        row.kv = KvHeads::same;
        row.width = 1024;
        row.dim_keys = "";
        row.stack = "encoder";
        row.layer = "encoder.layers.{}";
        row.layers_keys = "encoder_layers|num_hidden_layers";
        row.heads_keys = "encoder_attention_heads|num_attention_heads";
        row.causal = false;
        row.norm.type = normed ? NormRow::layer : NormRow::none;
        row.norm.module = "self_attn_layer_norm";
        row.norm.eps_keys = "";
        row.norm.eps = 1e-5;
        add(row, type, same);
        row.stack = "decoder";
        row.layer = "decoder.layers.{}";
        row.layers_keys = "decoder_layers";
        row.heads_keys = "decoder_attention_heads|num_attention_heads";
        row.causal = true;
        add(row, type, same);
        row.stack = "cross";
        row.attention = "encoder_attn.";
        row.norm.module = "encoder_attn_layer_norm";
        row.causal = false;
        add(row, type, same);
    };
    bart("bart", false, 16);
    bart("marian", false, 16);
    bart("blenderbot-small", false, 16);
    bart("mbart", true, 16);
    bart("pegasus", true, 16);
    bart("m2m_100", true, 16);
    bart("whisper", true, 6);
    // Towers.
    const auto tower = [&](std::string_view type, std::string_view norm, double eps) {
        add(bert_row, type, [&](Architecture& a) {
            a.stack = "vision";
            a.attention = "attention.";
            a.modules = "attention.query=query attention.key=key attention.value=value output.dense=out_proj";
            a.norm = {NormRow::layer, norm};
            a.norm.eps = eps;
            a.more = nullptr;
            a.said = "";
        });
    };
    tower("vit", "layernorm_before", 1e-12);
    tower("deit", "layernorm_before", 1e-12);
    tower("dinov2", "norm1", 1e-6);
    tower("dinov2_with_registers", "norm1", 1e-6);
    const auto clip = [&](std::string_view type, bool of_text, bool causal, int heads, int width,
                          double eps) {
        add(bert_row, type, [&](Architecture& a) {
            a.stack = of_text ? "text" : "vision";
            a.layer = of_text ? "text_model.encoder.layers.{}" : "vision_model.encoder.layers.{}";
            a.attention = "self_attn.";
            a.modules = "q_proj k_proj v_proj out_proj";
            a.causal = causal;
            a.heads = heads;
            a.width = width;
            a.norm = {NormRow::layer, "layer_norm1"};
            a.norm.eps = eps;
            a.more = nullptr;
            a.unread = "";
            a.said = causal ? "the text is causal" : "";
        });
    };
    clip("clip_text_model", true, true, 8, 512, 1e-5);
    clip("clip_vision_model", false, false, 12, 768, 1e-5);
    clip("siglip_text_model", true, false, 12, 768, 1e-6);
    clip("siglip_vision_model", false, false, 12, 768, 1e-6);
}

}  // namespace attn
