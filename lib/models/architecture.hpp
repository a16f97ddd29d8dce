#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace attn {

class Config;
class LayerReader;

/// Where the number of heads of keys and values stands.
enum class KvHeads {
    from_key,  ///< the key; absent: `kv_heads`, or as many as heads where that is 0; null: as many as heads
    same,      ///< as many as heads, whatever the configuration says
    one_if_multi  ///< `multi_query` (absent: true): one; else as many as heads
};

/// Which layers have a window, where `layer_types` does not say it.
enum class WindowRule {
    none,
    every,          ///< all, where there is a window, whatever `layer_types` says
    unless_listed,  ///< all, where there is a window, but those that `layer_types` calls otherwise
    from_layer,     ///< those from `max_window_layers` on, where `use_sliding_window` is true
    all_but,        ///< all but each n-th, n = `pattern`, where there is a window
    first_of,       ///< all but the first of each n, n = `pattern`
    unrolled,       ///< those that a list calls "local" (GPT-Neo)
    listed          ///< those that a list of numbers marks with 1 (MiMo)
};

/// The layers that have no rotary embedding.
enum class NoRope {
    never,
    full,              ///< those without a window
    full_with_window,  ///< the same, where the model has a window at all
    listed             ///< those with 0 in `no_rope_layers`; absent: each n-th, `no_rope_layer_interval`
};

/// The rotary embedding of layers that slide, where the configuration does not name one for each type.
enum class LocalRope {
    same,
    unscaled,  ///< the same base, never scaled
    own        ///< a base of its own, never scaled
};

/// Names of keys are separated by |: the first that is there counts. A dot leads into an object.
struct RopeRow {
    bool present = false;
    bool interleaved = false;
    double base = 10000;
    std::string_view base_keys = "rope_theta";
    double share = 1;  ///< of the columns of a head
    std::string_view share_keys = "partial_rotary_factor";
    std::string_view dims_keys = "rotary_dim";  ///< or their number
    int dims = 0;                               ///< where neither is there; 0: the share
    NoRope without = NoRope::never;
    int interval = 4;
    LocalRope local = LocalRope::same;
    double local_base = 10000;
    std::string_view local_keys = "rope_local_base_freq";
    bool reverse = false;
    std::string_view scaling = {};        ///< of a configuration without one, as JSON
    std::string_view local_scaling = {};  ///< of layers that slide
    double original = 0;                  ///< original_max_position_embeddings, where it is absent; 0: none
    int longest = 2048;                   ///< max_position_embeddings, where it is absent
};

enum class NormRow { none, rms, layer };

/// The norm before the attention. Its module stands below the layer; of several names (|) the one that the
/// file has.
struct InputNormRow {
    NormRow type = NormRow::none;
    std::string_view module = "input_layernorm";
    bool has_weight = true, plus_one = false;
    std::string_view eps_keys = "rms_norm_eps|norm_eps|layer_norm_eps|layer_norm_epsilon|norm_epsilon";
    double eps = 1e-6;
    std::string_view unless = {};  ///< a key that is false where there is no such norm
    bool optional = false;         ///< layers without its tensors have none
};

/// The norm of queries and keys; its modules are q_norm and k_norm of `modules`.
struct QkNormRow {
    NormRow type = NormRow::none;
    bool over_width = false, plus_one = false, after_rope = false;
    std::string_view key = {};  ///< what switches it on; empty: it is always there
    bool otherwise = false;     ///< where the key is absent
    std::string_view eps_keys = "rms_norm_eps|norm_eps|layer_norm_eps|layer_norm_epsilon";
    double eps = 1e-6;
};

enum class ScaleRule {
    usual,     ///< 1 / sqrt(dim of a head)
    none,      ///< no scale
    key,       ///< the number of `scale_keys`; absent: `scale`, or the usual one where that is 0
    root_key,  ///< its inverse root
    one
};

/// A ROW of the table of architectures: how one stack of a model type, or one kind of its layers, is read.
/// Source: the public modelling code that the type names, as docs/models.md says.
struct Architecture {
    std::string_view type;            ///< model_type
    std::string_view stack = "text";  ///< text, vision, encoder, decoder, cross
    std::string_view kind = {};  ///< layers of this type only ("linear_attention"); empty: those of scores
    std::string_view layer = "layers.{}";       ///< the end of a layer's path, {} for its number
    std::string_view attention = "self_attn.";  ///< below it no tensor may be left unread
    /// What is read, below `attention` (a / in front: below the layer), as "name=name in the document";
    /// a ? behind: may be missing; a ! in front: a tensor by itself, not .weight and .bias; of several names
    /// (|) the one that is there.
    std::string_view modules = "q_proj k_proj v_proj o_proj";
    std::string_view ignored = {};  ///< modules there that belong to something else

    std::string_view heads_keys = "num_attention_heads|n_head|n_heads|num_heads";
    int heads = 32;  ///< where the key is absent
    KvHeads kv = KvHeads::from_key;
    std::string_view kv_keys = "num_key_value_heads";
    int kv_heads = 0;
    std::string_view width_keys = "hidden_size|n_embd|d_model|dim";
    int width = 0;
    std::string_view dim_keys = "head_dim";
    int dim = 0;  ///< of a head, where the key is absent; 0: width / heads
    std::string_view layers_keys = "num_hidden_layers|n_layer|n_layers|num_layers";

    bool causal = true;
    WindowRule windows = WindowRule::none;
    std::string_view window_keys = "sliding_window";
    int window = 0;  ///< where the key is absent; 0: none
    std::string_view pattern_keys = "sliding_window_pattern|_sliding_window_pattern";
    int pattern = 0;
    bool both_sides = false;  ///< half of the window to each side

    RopeRow rope{};
    bool alibi = false;
    InputNormRow norm{};
    QkNormRow qk_norm{};
    ScaleRule scale_rule = ScaleRule::usual;
    std::string_view scale_keys = {};
    double scale = 0;
    std::string_view cap_keys = {};
    double cap = 0;  ///< where the key is absent; 0: none
    std::string_view clip_keys = {};
    std::string_view sinks = {};  ///< their tensor, below `attention`
    bool gate_in_queries = false;
    bool interleaved_rows = false;  ///< of queries and keys, within each head: they are put back as halves
    /// A table of biases by distance: its path before ".weight", {} for the number of the layer.
    std::string_view buckets = {};
    bool buckets_both_ways = true;
    int bucket_reach = 128;
    std::string_view unread = {};  ///< keys that mean nothing to this code, though their names look like it

    /// What a layer is where `layer_types` does not say it, in its words; "" for what `windows` say.
    std::string_view (*kind_of)(const Config& config, std::int64_t layer) = nullptr;
    /// The number in a layer's path, where several layers share one.
    std::int64_t (*number_of)(const Config& config, std::int64_t layer) = nullptr;
    void (*more)(LayerReader&) = nullptr;  ///< what no field says; called when the sizes are known
    std::string_view said = {};            ///< a trap worth a word in docs/models.md
};

/// THE TABLE of architectures, in the order of docs/models.md.
std::span<const Architecture> all_architectures();

/// A ROW of the table of architectures of GGUF files: which row of the other table its layers are read by,
/// and what llama.cpp's converter or its code has otherwise.
struct GgufRow {
    std::string_view name;  ///< general.architecture
    std::string_view type;  ///< a row of all_architectures()
    std::string_view modules;
    bool interleaved_rows = false;
    void (*change)(Architecture&) = nullptr;
};
std::span<const GgufRow> all_gguf_rows();

/// A model type whose configuration holds those of its stacks.
struct Wrapper {
    std::string_view type, text, vision;  ///< model types of the stacks, where their objects do not say it
};
std::span<const Wrapper> all_wrappers();

}  // namespace attn
