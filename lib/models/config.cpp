#include "lib/models/config.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "lib/error.hpp"
#include "lib/input/read_tensor.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Kind = Value::Kind;

/// Parts of names of keys that are of attention.
constexpr std::array attention_parts{
    "attn",    "attention", "rope",     "rotary",   "head",        "window",      "alibi",   "qk_",
    "kv_",     "_qkv",      "softcap",  "position", "relative",    "layer_types", "nope",    "logn",
    "ntk",     "mscale",    "longrope", "chunk",    "multi_query", "causal",      "sparse_", "sinks",
    "softmax", "index_",    "linear_",  "query_",   "sliding"};

/// Keys whose names have such a part and that change no attention, whatever they hold: probabilities of
/// dropping, kinds of kernels, heads that predict words, experts, sizes that only tables have; biases are
/// read where the file has them.
constexpr std::array harmless_keys{"attention_dropout",
                                   "attn_dropout",
                                   "attn_pdrop",
                                   "attention_probs_dropout_prob",
                                   "attention_bias",
                                   "attention_out_bias",
                                   "attn_implementation",
                                   "_attn_implementation",
                                   "attn_impl",
                                   "_attn_implementation_autoset",
                                   "attention_softmax_in_fp32",
                                   "scale_attention_softmax_in_fp32",
                                   "attn_type",
                                   "max_position_embeddings",
                                   "n_positions",
                                   "sinusoidal_pos_embds",
                                   "learned_pos_emb",
                                   "type_vocab_size",
                                   "num_attention_heads",
                                   "num_key_value_heads",
                                   "head_dim",
                                   "max_target_positions",
                                   "max_source_positions",
                                   "num_labels_head",
                                   "head_bias",
                                   "classifier_head",
                                   "qkv_bias",
                                   "scale_embedding",
                                   "attention_layers",
                                   "decoder_sparse_step",
                                   "mlp_only_layers",
                                   "encoder_attention_heads",
                                   "decoder_attention_heads",
                                   "attention_implementation",
                                   "use_flash_attn",
                                   "flash_attn",
                                   "use_flash_attention",
                                   "use_flash_attention_2",
                                   "fused_attn",
                                   "window_attn_skip_cond",
                                   "is_causal",
                                   "num_heads",
                                   "n_head",
                                   "n_heads",
                                   "bidirectional_generation",
                                   "pretraining_tp",
                                   "rope_type",
                                   "original_max_position_embeddings",
                                   "position_biased_input",
                                   "pos_att_type",
                                   "norm_topk_prob",
                                   "lm_head_bias",
                                   "num_lm_heads",
                                   "use_qkv_bias",
                                   "attn_output_bias",
                                   "attention_window_size",
                                   "sparse_prediction",
                                   "sparse_pred_ignore_index",
                                   "reference_compile",
                                   "hidden_act",
                                   "max_window_layers",
                                   "deterministic_flash_attn",
                                   "_max_position_embeddings",
                                   "full_attn_alpha_factor",
                                   "full_attn_beta_factor",
                                   "linear_attn_alpha_factor",
                                   "linear_attn_beta_factor",
                                   "embedding_head",
                                   "attention_heads",
                                   "no_rope_layer_interval",
                                   "summary_type",
                                   "head_type",
                                   "final_logit_softcapping",
                                   "use_sliding_window",
                                   "reorder_and_upcast_attn",
                                   "parallel_attn",
                                   "n_ctx",
                                   "num_position_embeddings",
                                   "position_embedding_size"};

bool is_off(const Value& v) {
    if (v.kind == Kind::null) return true;
    if (v.kind == Kind::boolean) return !v.boolean;
    if (v.kind == Kind::row) return v.row.numbers.empty();
    if (v.kind == Kind::array) return v.items.empty();
    return v.kind == Kind::object && v.members.empty();
}

std::string joined(const std::string& under, std::string_view name) {
    return under.empty() ? std::string(name) : under + "." + std::string(name);
}

}  // namespace

std::string ConfigKey::pointer() const {
    std::string out;
    each_of(name, '.', [&](std::string_view part) { out = child(out, part); });
    return out;
}

std::string Config::name_of_key(std::string_view key) const {
    if (said_)
        if (const auto said = said_->find(key); said != said_->end()) return said->second;
    return joined(under_, key);
}

ConfigKey Config::find(std::string_view keys) const {
    ConfigKey found;
    each_of(keys, '|', [&](std::string_view key) {
        const Value* at = object_;
        asked_.emplace(key.substr(0, key.find('.')));
        each_of(key, '.', [&](std::string_view part) {
            if (at) at = at->kind == Kind::object ? at->find(part) : nullptr;
        });
        if (!found && at) found = {at, name_of_key(key)};
    });
    return found;
}

ConfigKey Config::given(std::string_view keys) const {
    ConfigKey found = find(keys);
    return found.is_null() ? ConfigKey{} : found;
}

ConfigKey Config::below(const ConfigKey& object, std::string_view name) const {
    const Value* v = object && object.value->kind == Kind::object ? object.value->find(name) : nullptr;
    return v ? ConfigKey{v, object.name + "." + std::string(name)} : ConfigKey{};
}

std::optional<Said<Index>> Config::integer(std::string_view keys, Index least) const {
    const ConfigKey key = given(keys);
    if (!key) return std::nullopt;
    return Said<Index>{integer_of(key, least), key.name};
}

std::optional<Said<double>> Config::number(std::string_view keys) const {
    const ConfigKey key = given(keys);
    if (!key) return std::nullopt;
    return Said<double>{number_of(key), key.name};
}

std::optional<Said<bool>> Config::boolean(std::string_view keys) const {
    const ConfigKey key = given(keys);
    if (!key) return std::nullopt;
    return Said<bool>{boolean_of(key), key.name};
}

std::optional<Said<std::string>> Config::text(std::string_view keys) const {
    const ConfigKey key = given(keys);
    if (!key) return std::nullopt;
    return Said<std::string>{text_of(key), key.name};
}

Index Config::integer_of(const ConfigKey& key, Index least) {
    return read_integer(*key.value, key.pointer(), least, "an integer");
}

double Config::number_of(const ConfigKey& key) { return read_number(*key.value, key.pointer(), "a number"); }

bool Config::boolean_of(const ConfigKey& key) {
    return read_boolean(*key.value, key.pointer(), "true or false");
}

const std::string& Config::text_of(const ConfigKey& key) {
    return read_string(*key.value, key.pointer(), "a word");
}

std::vector<Value> Config::list_of(const ConfigKey& key) {
    if (key.value->kind == Kind::array) return key.value->items;
    if (key.value->kind != Kind::row || key.value->row.shape.size() != 1)
        fail(key.pointer(), "is " + key.value->describe() + ", expected a list");
    std::vector<Value> out;
    for (Index k = 0; k < key.value->row.numbers.size(); ++k) {
        const double n = key.value->row.numbers[k];
        const bool whole = std::trunc(n) == n && std::abs(n) < 1e15;
        out.push_back(whole ? tree_integer(static_cast<Index>(n)) : tree_number(n));
    }
    return out;
}

void Config::refuse_unread(std::string_view unread) const {
    for (const Member& member : object_->members) {
        const std::string& name = member.name;
        const Value& value = member.value;
        if (asked_.contains(name) || is_off(value) || name.starts_with("_attn")) continue;
        const bool of_attention =
            std::any_of(attention_parts.begin(), attention_parts.end(),
                        [&](std::string_view p) { return name.find(p) != std::string::npos; });
        bool harmless = std::find(harmless_keys.begin(), harmless_keys.end(), name) != harmless_keys.end();
        each_of(unread, ' ', [&](std::string_view word) { harmless = harmless || word == name; });
        if (!of_attention || harmless) continue;
        const std::string at = ConfigKey{&value, name_of_key(name)}.pointer();
        fail_at_key(
            at,
            "\"" + clip(visible(name), 60) +
                "\" is a key of attention that nothing here reads for this model type: without it the "
                "numbers might be wrong",
            "a document of your own (attn-calc init) says what the layer does");
    }
}

}  // namespace attn
