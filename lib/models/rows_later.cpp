// Decoders with something of their own: packed matrices, temperatures, norms of values, latents.
#include <cmath>

#include "lib/error.hpp"
#include "lib/models/config.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"

namespace attn {
namespace {

/// Llama 4: layers with a rotary embedding see chunks, and norm what was rotated; those without it scale
/// their queries by position.
void llama4(LayerReader& reader) {
    const Config& config = reader.config();
    const auto integer = [&](std::string_view key, Index otherwise) {
        const auto found = config.integer(key, 1);
        return found ? *found : Said<Index>{otherwise, reader.of_class()};
    };
    const auto norms = config.boolean("use_qk_norm"), tuned = config.boolean("attn_temperature_tuning");
    const auto beta = config.number("attn_scale");
    const Said<Index> chunk = integer("attention_chunk_size", 8192), every = integer("floor_scale", 8192);
    const bool turns = reader.kind() == "chunked_attention";
    if (turns) reader.set("chunk", tree_integer(chunk.value), chunk.from);
    if (turns && (!norms || norms->value)) {
        const auto eps = config.number("rms_norm_eps");
        Value norm = tree_object();
        add_member(norm, "type", tree_text("rms"));
        add_member(norm, "eps", tree_number(eps ? eps->value : 1e-5));
        add_member(norm, "after", tree_text("rope"));
        reader.set("qk_norm", std::move(norm), norms ? norms->from : reader.of_class());
    }
    if (turns || (tuned && !tuned->value)) return;
    Value warm = tree_object();
    add_member(warm, "beta", tree_number(beta ? beta->value : 0.1));
    add_member(warm, "every", tree_integer(every.value));
    add_member(warm, "shift", tree_integer(1));
    reader.set("query_scale", std::move(warm), tuned ? tuned->from : reader.of_class());
}

std::string_view llama4_kind(const Config& config, std::int64_t layer) {
    const ConfigKey list = config.given("no_rope_layers");
    if (list)
        if (const std::vector<Value> items = Config::list_of(list);
            items.size() > static_cast<std::size_t>(layer))
            return items[static_cast<std::size_t>(layer)].integer != 0 ? "chunked_attention"
                                                                       : "full_attention";
    const auto each = config.integer("no_rope_layer_interval", 1);
    return (layer + 1) % (each ? each->value : 4) != 0 ? "chunked_attention" : "full_attention";
}

/// Gemma 4: layers have sizes of their own; values are normed, and are the keys where there are no others.
void gemma4(LayerReader& reader) {
    const Config& config = reader.config();
    const auto shared = config.integer("num_kv_shared_layers", 0);
    if (shared && reader.layer() >= reader.layers() - shared->value)
        fail(ConfigKey{&config.object(), shared->from}.pointer(),
             "says that layer " + std::to_string(reader.layer()) +
                 " reads the keys and values of another layer, which no document of one layer holds");
    const auto same = config.boolean("attention_k_eq_v");
    LayerReader::Sizes& sizes = reader.sizes();
    const ConfigKey layers = config.given("per_layer_config");
    const ConfigKey own = config.below(layers, std::to_string(reader.layer()));
    const auto take = [&](std::string_view key, Said<Index>& to) {
        const ConfigKey found = config.below(own, key);
        if (found && !found.is_null()) to = {Config::integer_of(found, 1), found.name};
    };
    if (!layers && !reader.slides()) {
        const auto dim = config.integer("global_head_dim", 1),
                   kv = config.integer("num_global_key_value_heads", 1);
        sizes.dim = dim ? *dim : Said<Index>{512, reader.of_class()};
        if (kv && same && same->value) sizes.kv_heads = *kv;
    }
    config.find("global_head_dim");
    config.find("num_global_key_value_heads");
    take("head_dim", sizes.dim);
    take("num_key_value_heads", sizes.kv_heads);
    sizes.value_dim = sizes.dim;
    const auto eps = config.number("rms_norm_eps");
    Value norm = tree_object();
    add_member(norm, "type", tree_text("rms"));
    add_member(norm, "eps", tree_number(eps ? eps->value : 1e-6));
    reader.set("value_norm", std::move(norm), reader.of_class());
    if (same && same->value && !reader.slides() && !reader.has(reader.path_of("v_proj.weight"))) {
        reader.add_weight("v_proj.weight", reader.path_of("k_proj.weight"));
        if (reader.has(reader.path_of("k_proj.bias")))
            reader.add_weight("v_proj.bias", reader.path_of("k_proj.bias"));
    }
}

std::string_view gemma4_kind(const Config& config, std::int64_t layer) {
    const auto n = config.integer("num_hidden_layers", 1);
    return n && layer + 1 == n->value ? "full_attention" : "";
}

/// MiMo: heads of keys twice as many in layers that slide, values of a width of their own, times a number.
void mimo(LayerReader& reader) {
    const Config& config = reader.config();
    LayerReader::Sizes& sizes = reader.sizes();
    const auto own = config.integer("swa_num_key_value_heads", 1), wide = config.integer("v_head_dim", 1);
    if (reader.slides()) {
        if (own)
            sizes.kv_heads = *own;
        else
            sizes.kv_heads = {2 * sizes.kv_heads.value, "twice " + sizes.kv_heads.from};
    }
    sizes.value_dim = wide ? *wide : Said<Index>{128, reader.of_class()};
    const ConfigKey scale = config.find("attention_value_scale");
    if (!scale) reader.set("value_scale", tree_number(0.707), reader.of_class());
    if (scale && !scale.is_null())
        reader.set("value_scale", tree_number(Config::number_of(scale)), scale.name);
}

/// DeepSeek: the sizes follow from the weights; with YaRN the scores are scaled by its factor squared.
void latents(LayerReader& reader) {
    const Config& config = reader.config();
    const auto integer = [&](std::string_view key, Index otherwise) {
        const auto found = config.integer(key, 1);
        return found ? *found : Said<Index>{otherwise, reader.of_class()};
    };
    const Said<Index> nope = integer("qk_nope_head_dim", 128), turned = integer("qk_rope_head_dim", 64);
    for (const std::string_view key : {"v_head_dim", "kv_lora_rank", "q_lora_rank", "qk_head_dim"})
        config.find(key);
    reader.sizes().dim = turned;
    reader.set("variant", tree_text("latent"), reader.of_class());
    reader.leave_out("num_kv_heads");
    double scale = 1 / std::sqrt(static_cast<double>(nope.value + turned.value));
    std::string from = "1/sqrt(" + nope.from + " + " + turned.from + ")";
    const ConfigKey rope = reader.rope_dictionary();
    const ConfigKey all = config.below(rope, "mscale_all_dim"), factor = config.below(rope, "factor");
    ConfigKey type = config.below(rope, "rope_type");
    if (!type) type = config.below(rope, "type");
    if (type && type.value->text == "yarn" && all && !all.is_null() && factor && !factor.is_null()) {
        const double by = Config::number_of(factor), weight = Config::number_of(all);
        if (weight != 0 && by > 1) {
            const double m = 0.1 * weight * std::log(by) + 1;
            scale *= m * m;
            from += ", times (0.1 mscale_all_dim ln factor + 1)^2";
        }
    }
    reader.set("scale", tree_number(scale), from);
}

/// Pairs of DeepSeek V3 are halves where `rope_interleave` is false.
void latents_with_pairs(LayerReader& reader) {
    const auto pairs = reader.config().boolean("rope_interleave");
    if (pairs && !pairs->value) reader.set_halves();
    latents(reader);
}

}  // namespace

void add_later_decoders(std::vector<Architecture>& rows) {
    const Architecture llama = llama_row();
    const auto add = [&](const Architecture& base, std::string_view type, auto change) {
        return add_row(rows, base, type, change);
    };
    const auto layer_norm = [](Architecture& a, double eps) {
        a.norm = {NormRow::layer, "input_layernorm"};
        a.norm.eps = eps;
    };
    add(llama, "phi", [&](Architecture& a) {
        layer_norm(a, 1e-5);
        a.rope.share = 0.5;
        a.modules = "q_proj k_proj v_proj dense q_layernorm=q_norm k_layernorm=k_norm";
        a.qk_norm.type = NormRow::layer;
        a.qk_norm.key = "qk_layernorm";
        a.qk_norm.eps = 1e-5;
    });
    add(llama, "phi3", [](Architecture& a) {
        a.modules = "qkv_proj o_proj";
        a.norm.eps = 1e-5;
        a.windows = WindowRule::every;
        a.rope.original = 4096;
        a.rope.longest = 4096;
        a.said =
            "longrope: long factors hold for the whole sequence as soon as it is longer than the original";
    });
    add(llama, "persimmon", [&](Architecture& a) {
        layer_norm(a, 1e-5);
        a.heads = 64;
        a.kv = KvHeads::same;
        a.rope.share = 0.5;
        a.rope.base = 25000;
        a.modules = "query_key_value dense q_layernorm=q_norm k_layernorm=k_norm";
        a.qk_norm.type = NormRow::layer;
        a.qk_norm.key = "qk_layernorm";
        a.qk_norm.otherwise = true;
        a.qk_norm.eps = 1e-5;
    });
    add(llama, "stablelm", [&](Architecture& a) {
        layer_norm(a, 1e-5);
        a.kv_heads = 32;
        a.rope.share = 0.25;
        a.rope.share_keys = "partial_rotary_factor|rope_pct";
        a.qk_norm.type = NormRow::layer;
        a.qk_norm.key = "qk_layernorm";
        a.qk_norm.eps = 1e-5;
        a.more = [](LayerReader& reader) {
            // One norm for each head.
            for (Index h = 0; reader.is_set("qk_norm") && h < reader.sizes().heads.value; ++h)
                for (const std::string side : {"q_layernorm.norms.", "k_layernorm.norms."}) {
                    const std::string name = side + std::to_string(h) + ".weight";
                    if (side.front() == 'q' || h < reader.sizes().kv_heads.value)
                        reader.add_weight(name, reader.path_of(name));
                }
        };
        a.said = "norms of queries and keys are one for each head";
    });
    add(llama, "dbrx", [](Architecture& a) {
        a.layer = "blocks.{}";
        a.attention = "norm_attn_norm.attn.";
        a.modules = "Wqkv out_proj";
        a.heads = 16;
        a.kv_keys = "attn_config.kv_n_heads";
        a.kv_heads = 1;
        a.width = 2048;
        a.norm = {NormRow::layer, "norm_attn_norm.norm_1"};
        a.norm.eps_keys = "";
        a.norm.eps = 1e-5;
        a.rope.base_keys = "attn_config.rope_theta";
        a.clip_keys = "attn_config.clip_qkv";
    });
    add(llama, "lfm2", [](Architecture& a) {
        a.kv_heads = 8;
        a.norm.module = "operator_norm";
        a.norm.eps = a.qk_norm.eps = 1e-5;
        a.rope.base = 1e6;
        a.modules = "q_proj k_proj v_proj out_proj q_layernorm=q_norm k_layernorm=k_norm";
        a.qk_norm.type = NormRow::rms;
        a.unread = "full_attn_idxs";
        a.kind_of = [](const Config& config, std::int64_t layer) -> std::string_view {
            const ConfigKey list = config.given("full_attn_idxs");
            if (!list) return "full_attention";
            for (const Value& v : Config::list_of(list))
                if (v.integer == layer) return "full_attention";
            return "conv";
        };
        a.said = "the other layers are convolutions";
    });
    rows.push_back(with(rows.back(), [](Architecture& a) { a.type = "lfm2_moe"; }));
    add(llama, "jamba", [](Architecture& a) {
        a.kv_heads = 8;
        a.rope.present = false;
        a.unread = "attn_layer_period attn_layer_offset";
        a.kind_of = [](const Config& config, std::int64_t layer) -> std::string_view {
            const auto period = config.integer("attn_layer_period", 1),
                       offset = config.integer("attn_layer_offset", 0);
            return layer % (period ? period->value : 8) == (offset ? offset->value : 4) ? "full_attention"
                                                                                        : "mamba";
        };
        a.said = "no positions; the other layers are Mamba's";
    });
    add(llama, "llama4_text", [](Architecture& a) {
        a.heads = 40;
        a.kv_heads = 8;
        a.dim = 128;
        a.norm.eps = 1e-5;
        a.rope.interleaved = true;
        a.rope.base = 5e5;
        a.rope.without = NoRope::listed;
        a.kind_of = llama4_kind;
        a.more = llama4;
        a.unread =
            "no_rope_layers attention_chunk_size attn_temperature_tuning attn_scale floor_scale use_qk_norm";
        a.said =
            "norms after the rotation, without weights, where there is one; queries scaled by position where "
            "there is none; no_rope_layers has 1 where there IS a rotary embedding";
    });
    add(llama, "gemma4_text", [](Architecture& a) {
        a.heads = 8;
        a.kv_heads = 4;
        a.dim = 256;
        a.modules = "q_proj k_proj ?v_proj o_proj q_norm k_norm";
        a.qk_norm.type = NormRow::rms;
        a.windows = WindowRule::all_but;
        a.window = 512;
        a.pattern = 6;
        a.scale_rule = ScaleRule::one;
        a.rope.base = 1e6;
        a.rope.local = LocalRope::own;
        a.rope.scaling = R"({"rope_type": "proportional", "partial_rotary_factor": 0.25})";
        a.kind_of = gemma4_kind;
        a.more = gemma4;
        a.unread =
            "per_layer_config attention_k_eq_v num_kv_shared_layers global_head_dim "
            "num_global_key_value_heads";
        a.said =
            "no scale; norms times the weight as it is; values are normed, and are the keys where "
            "attention_k_eq_v is true";
    });
    rows.push_back(with(rows.back(), [](Architecture& a) { a.type = "gemma4_unified_text"; }));
    add(llama, "mimo_v2_flash", [](Architecture& a) {
        a.heads = 64;
        a.kv_heads = 4;
        a.dim = 192;
        a.norm.eps = 1e-5;
        a.norm.eps_keys = "rms_norm_eps|layernorm_epsilon";
        a.windows = WindowRule::listed;
        a.window = 128;
        a.pattern_keys = "hybrid_layer_pattern";
        a.pattern = 6;
        a.sinks = "attention_sink_bias|sinks";
        a.rope.base = 5e6;
        a.rope.share = 0.334;
        a.rope.local = LocalRope::own;
        a.rope.local_keys = "swa_rope_theta";
        a.more = mimo;
        a.unread =
            "v_head_dim attention_value_scale swa_num_key_value_heads add_swa_attention_sink_bias "
            "swa_head_dim swa_v_head_dim swa_num_attention_heads sliding_window_size";
        a.said =
            "twice the heads of keys, and sinks, in layers that slide; values times attention_value_scale";
    });
    const Architecture v2 = add(llama, "deepseek_v2", [](Architecture& a) {
        a.kv = KvHeads::same;
        a.rope.interleaved = true;
        a.modules =
            "?q_proj ?q_a_proj ?q_a_layernorm ?q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj";
        a.more = latents;
        a.unread = "qk_nope_head_dim qk_rope_head_dim v_head_dim kv_lora_rank q_lora_rank qk_head_dim";
        a.said =
            "norms of the latents have an eps of 1e-6 whatever rms_norm_eps says; with YaRN the scale is "
            "times m squared";
    });
    for (const std::string_view type : {"deepseek_v3", "kimi_k2"})
        add(v2, type, [](Architecture& a) {
            a.heads = 128;
            a.more = latents_with_pairs;
            a.unread =
                "qk_nope_head_dim qk_rope_head_dim v_head_dim kv_lora_rank q_lora_rank qk_head_dim "
                "rope_interleave";
        });
    add(v2, "glm4_moe_lite", [](Architecture& a) {
        a.heads = 20;
        a.norm.eps = 1e-5;
        a.more = latents_with_pairs;
        a.unread =
            "qk_nope_head_dim qk_rope_head_dim v_head_dim kv_lora_rank q_lora_rank qk_head_dim "
            "rope_interleave";
    });
}

}  // namespace attn
