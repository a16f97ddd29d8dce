// Llama and the decoders that are read as it is: names of tensors, heads of keys, windows, scales.
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/models/config.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"

namespace attn {

Architecture llama_row() {
    Architecture row;
    row.type = "llama";
    row.rope.present = true;
    row.norm.type = NormRow::rms;
    return row;
}

namespace {

constexpr const char* with_norms = "q_proj k_proj v_proj o_proj q_norm k_norm";

/// Queries grow with the logarithm of their position, from a member of the rotary embedding's scaling.
void warm_by_rope(LayerReader& reader) {
    const auto beta = reader.rope_number("llama_4_scaling_beta");
    const auto every = reader.rope_number("original_max_position_embeddings");
    const bool silent = !reader.rope_dictionary();
    if (!silent && (!beta || !every)) return;
    Value out = tree_object();
    add_member(out, "beta", tree_number(silent ? 0.1 : beta->value));
    add_member(out, "every", tree_number(silent ? 16384 : every->value));
    reader.set("query_scale", std::move(out), silent ? reader.of_class() : beta->from);
}

/// `position_embedding_type` "nope" has no rotary embedding.
void granite_positions(LayerReader& reader) {
    if (const auto type = reader.config().text("position_embedding_type"); type && type->value == "nope")
        reader.leave_out("rope");
}

/// SmolLM3: where windows are used, those layers slide that have no rotary embedding.
std::string_view smollm3_kind(const Config& config, std::int64_t layer) {
    const auto use = config.boolean("use_sliding_window");
    if (!use || !use->value || !config.given("sliding_window")) return "full_attention";
    const ConfigKey list = config.given("no_rope_layers");
    if (list)
        if (const std::vector<Value> items = Config::list_of(list);
            items.size() > static_cast<std::size_t>(layer))
            return items[static_cast<std::size_t>(layer)].integer == 0 ? "sliding_attention"
                                                                       : "full_attention";
    const auto each = config.integer("no_rope_layer_interval", 1);
    return (layer + 1) % (each ? each->value : 4) == 0 ? "sliding_attention" : "full_attention";
}

}  // namespace

void add_llamas(std::vector<Architecture>& rows) {
    const Architecture llama = llama_row();
    rows.push_back(llama);
    const auto add = [&](const Architecture& base, std::string_view type, auto change) {
        return add_row(rows, base, type, change);
    };
    const Architecture mistral = add(llama, "mistral", [](Architecture& a) {
        a.kv_heads = 8;
        a.windows = WindowRule::every;
        a.window = 4096;
        a.rope.longest = 131072;
        a.said =
            "without sliding_window the window is 4096, with null there is none; it counts the token itself";
    });
    add(mistral, "ministral", [](Architecture& a) { a.windows = WindowRule::unless_listed; });
    add(mistral, "ministral3", [](Architecture& a) {
        a.window = 0;
        a.dim = 128;
        a.norm.eps = 1e-5;
        a.rope.base = 1e6;
        a.rope.longest = 262144;
        a.rope.scaling = R"({"rope_type": "yarn", "factor": 16, "original_max_position_embeddings": 16384,
            "beta_fast": 32, "beta_slow": 1, "mscale": 1, "mscale_all_dim": 1})";
        a.more = warm_by_rope;
        a.said = "queries are scaled by their position (llama_4_scaling_beta)";
    });
    const Architecture mixtral = add(mistral, "mixtral", [](Architecture& a) {
        a.window = 0;
        a.norm.eps = 1e-5;
        a.rope.base = 1e6;
    });
    const Architecture qwen2 = add(llama, "qwen2", [](Architecture& a) {
        a.kv_heads = 32;
        a.windows = WindowRule::from_layer;
        a.window = 4096;
        a.pattern_keys = "max_window_layers";
        a.pattern = 28;
        a.rope.longest = 32768;
        a.said =
            "layers from max_window_layers on slide, if use_sliding_window is true; otherwise "
            "sliding_window says nothing";
    });
    add(qwen2, "qwen2_moe", [](Architecture& a) { a.heads = a.kv_heads = 16; });
    for (const std::string_view type : {"qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"})
        add(qwen2, type, [](Architecture& a) {
            a.heads = 64;
            a.kv_heads = 8;
            a.pattern = 80;
            a.norm.eps = 1e-5;
            a.rope.base = 1e6;
            a.said = "positions of text: every axis of the sections has the token's own";
        });
    const Architecture qwen3 = add(qwen2, "qwen3", [](Architecture& a) {
        a.dim = 128;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
    });
    const Architecture qwen3_moe = add(qwen3, "qwen3_moe", [](Architecture& a) {
        a.dim = 0;
        a.kv_heads = 4;
    });
    for (const std::string_view type : {"qwen3_vl", "qwen3_vl_text"})
        add(qwen3, type, [](Architecture& a) {
            a.windows = WindowRule::none;
            a.rope.base = 5e6;
        });
    for (const std::string_view type : {"qwen3_vl_moe", "qwen3_vl_moe_text"})
        add(qwen3_moe, type, [](Architecture& a) {
            a.windows = WindowRule::none;
            a.heads = a.kv_heads = 16;
            a.rope.base = 5e6;
        });
    const Architecture gemma = add(llama, "gemma", [](Architecture& a) {
        a.heads = a.kv_heads = 16;
        a.dim = 256;
        a.norm.plus_one = true;
        a.rope.longest = 8192;
    });
    const Architecture gemma2 = add(gemma, "gemma2", [](Architecture& a) {
        a.heads = 8;
        a.kv_heads = 4;
        a.windows = WindowRule::all_but;
        a.window = 4096;
        a.pattern_keys = "";
        a.pattern = 2;
        a.scale_rule = ScaleRule::root_key;
        a.scale_keys = "query_pre_attn_scalar";
        a.scale = 256;
        a.cap_keys = "attn_logit_softcapping";
        a.cap = 50;
        a.said = "even layers slide; the scale is not that of the head";
    });
    add(gemma2, "gemma3_text", [](Architecture& a) {
        a.pattern_keys = "sliding_window_pattern|_sliding_window_pattern";
        a.pattern = 6;
        a.cap = 0;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.plus_one = true;
        a.rope.base = 1e6;
        a.rope.local = LocalRope::own;
        a.rope.longest = 131072;
        a.said = "each sixth layer is full, with base 1e6 and the scaling; the others slide, with base 1e4";
    });
    add(llama, "granite", [](Architecture& a) {
        a.scale_rule = ScaleRule::key;
        a.scale_keys = "attention_multiplier";
        a.scale = 1;
        a.more = granite_positions;
        a.said = "that is the scale itself, not a factor on it";
    });
    rows.push_back(with(rows.back(), [](Architecture& a) { a.type = "granitemoe"; }));
    rows.push_back(with(rows.back(), [](Architecture& a) { a.type = "granitemoeshared"; }));
    add(llama, "smollm3", [](Architecture& a) {
        a.heads = 16;
        a.kv_heads = 4;
        a.kind_of = smollm3_kind;
        a.rope.base = 2e6;
        a.rope.without = NoRope::listed;
        a.said = "no_rope_layers has 1 where there IS a rotary embedding";
    });
    add(llama, "cohere", [](Architecture& a) {
        a.heads = 64;
        a.norm = {NormRow::layer, "input_layernorm"};
        a.norm.eps = 1e-5;
        a.rope.interleaved = true;
        a.rope.longest = 8192;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::layer;
        a.qk_norm.key = "use_qk_norm";
        a.qk_norm.eps = 1e-5;
        a.said = "pairs are neighbours; norms of queries and keys have weights of their own for each head";
    });
    add(llama, "cohere2", [](Architecture& a) {
        a.heads = 64;
        a.norm = {NormRow::layer, "input_layernorm"};
        a.norm.eps = 1e-5;
        a.rope.interleaved = true;
        a.rope.without = NoRope::full;
        a.windows = WindowRule::all_but;
        a.window = 4096;
        a.pattern = 4;
        a.said = "layers without a window have no rotary embedding";
    });
    add(llama, "olmo", [](Architecture& a) {
        a.norm = {NormRow::layer, "", false};
        a.norm.eps_keys = "";
        a.norm.eps = 1e-5;
        a.clip_keys = "clip_qkv";
    });
    const Architecture olmoe = add(llama, "olmoe", [](Architecture& a) {
        a.heads = 16;
        a.norm.eps = 1e-5;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.over_width = true;
        a.qk_norm.eps = 1e-5;
        a.clip_keys = "clip_qkv";
        a.said = "norms over the whole width, before heads are split";
        a.more = [](LayerReader& reader) {
            // Clamped are the normed queries and keys.
            const auto c = reader.config().number("clip_qkv");
            if (!c) return;
            Value out = tree_object();
            add_member(out, "max", tree_number(c->value));
            add_member(out, "after", tree_text("norm"));
            reader.set("clip_qkv", std::move(out), c->from);
        };
    });
    const Architecture olmo2 = add(olmoe, "olmo2", [](Architecture& a) {
        a.heads = 32;
        a.norm = {};
        a.clip_keys = "";
        a.more = nullptr;
        a.said = "the block's input is read as it is; norms of queries and keys over the whole width";
    });
    add(olmo2, "olmo3", [](Architecture& a) {
        a.windows = WindowRule::all_but;
        a.window = 4096;
        a.pattern = 4;
        a.rope.local = LocalRope::unscaled;
        a.said = "only full layers, each fourth, have the scaling of the rotary embedding";
    });
    add(llama, "glm", [](Architecture& a) {
        a.kv_heads = 2;
        a.dim = 128;
        a.norm.eps = 1.5625e-7;
        a.rope.interleaved = true;
        a.rope.share = 0.5;
    });
    rows.push_back(with(rows.back(), [](Architecture& a) { a.type = "glm4"; }));
    add(llama, "glm4_moe", [](Architecture& a) {
        a.heads = 96;
        a.kv_heads = 8;
        a.norm.eps = a.qk_norm.eps = 1e-5;
        a.rope.share = 0.5;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.key = "use_qk_norm";
        a.said = "pairs are halves, in glm4 they are neighbours";
    });
    const Architecture ernie = add(llama, "ernie4_5", [](Architecture& a) {
        a.heads = 16;
        a.kv_heads = 2;
        a.dim = 128;
        a.norm.eps = 1e-5;
        a.rope.interleaved = true;
        a.rope.base = 5e5;
    });
    add(ernie, "ernie4_5_moe", [](Architecture& a) {
        a.heads = 20;
        a.kv_heads = 4;
        a.dim = 0;
    });
    add(llama, "nemotron", [](Architecture& a) {
        a.heads = 48;
        a.norm = {NormRow::layer, "input_layernorm", true, true};
        a.norm.eps = 1e-5;
        a.rope.share = 0.5;
        a.rope.share_keys = "partial_rotary_factor|rope_percent";
        a.said = "the norm before is a layer norm whose weight is stored less one";
    });
    add(llama, "exaone4", [](Architecture& a) {
        a.kv_heads = 32;
        a.norm = {};
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.eps = 1e-5;
        a.windows = WindowRule::all_but;
        a.window = 4096;
        a.pattern = 4;
        a.rope.without = NoRope::full_with_window;
        a.said = "the block's input is read as it is; layers without a window have no rotary embedding";
    });
    add(llama, "apertus", [](Architecture& a) {
        a.norm.module = "attention_layernorm|input_layernorm";
        a.norm.eps = a.qk_norm.eps = 1e-5;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
        a.rope.base = 12e6;
        a.rope.scaling = R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
            "original_max_position_embeddings": 8192})";
        a.rope.longest = 65536;
        a.unread = "qk_norm";
    });
    add(llama, "starcoder2", [](Architecture& a) {
        a.heads = 24;
        a.kv_heads = 2;
        a.norm = {NormRow::layer, "input_layernorm"};
        a.norm.eps = 1e-5;
        a.windows = WindowRule::every;
        a.rope.longest = 4096;
    });
    add(mixtral, "minimax_m2", [](Architecture& a) {
        a.heads = 48;
        a.windows = WindowRule::none;
        a.norm.eps = a.qk_norm.eps = 1e-6;
        a.dim = 128;
        a.rope.base = 5e6;
        a.modules = with_norms;
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.over_width = true;
        a.unread = "use_qk_norm qk_norm_type attn_type_list attn_window_size";
    });
    add(qwen3, "gpt_oss", [](Architecture& a) {
        a.heads = 64;
        a.kv_heads = 8;
        a.dim = 64;
        a.modules = "q_proj k_proj v_proj o_proj";
        a.qk_norm = {};
        a.norm.eps = 1e-5;
        a.windows = WindowRule::all_but;
        a.window = 128;
        a.pattern_keys = "";
        a.pattern = 2;
        a.sinks = "sinks";
        a.rope.base = 150000;
        a.rope.scaling = R"({"rope_type": "yarn", "factor": 32, "beta_fast": 32, "beta_slow": 1,
            "truncate": false, "original_max_position_embeddings": 4096})";
        a.rope.longest = 131072;
        a.said = "even layers slide; every layer has a sink for each head";
    });
    add(llama, "nanochat", [](Architecture& a) {
        a.heads = 6;
        a.norm.has_weight = false;
        a.qk_norm.type = NormRow::rms;
        a.qk_norm.after_rope = true;
        a.rope.reverse = true;
        a.said = "turns by minus the angle; norms without weights, of queries and keys after the rotation";
    });
}

}  // namespace attn
