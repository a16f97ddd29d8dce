#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/input/value.hpp"
#include "lib/shape.hpp"

namespace attn {

/// A tensor as asked for: literal numbers, or a recipe by which PyTorch's generator draws it.
struct TensorSource {
    enum class Kind { literal, rand, randn, embedding, drawn_weight };

    Kind kind = Kind::literal;
    std::string pointer;  ///< where it stands in the document
    Shape shape;
    Numbers numbers;  ///< literal
    /// Where a text was read as float32: its numbers as float64. A plan asks for them where it needs them,
    /// and then lets go of the text.
    std::function<Numbers()> as_float64;
    /// Of a file: whether `count` numbers from `first` on are what the tensor may hold, looked at once it is
    /// known which are read. \throws Error (exit 3)
    std::function<void(Index first, Index count)> check;
    void check_all() const {
        if (check) check(0, numbers.size());
    }
    std::string file;          ///< where the numbers were read from; empty: the document
    std::uint64_t seed = 0;    ///< drawn
    bool shared = false;       ///< drawn by the document's manual_seed, without a seed of its own
    bool doubles = false;      ///< drawn in float64
    Index num_embeddings = 0;  ///< embedding: rows of the table
    std::vector<Index> ids;    ///< embedding: the rows taken
    std::string name;          ///< of a weight: as given, less its prefix, or as PyTorch calls what is drawn
    std::vector<std::string>
        row_names;  ///< of norms of single heads: what its rows are called, each given alone
};

/// `{"init": ...}`: weights that PyTorch draws, in the order query, key, value, output projection.
struct WeightsInit {
    enum class Kind { linear, rand, multihead };
    Kind kind = Kind::linear;
    std::string pointer;
    std::uint64_t seed = 0;
    bool shared = false;   ///< by the document's manual_seed, without a seed of its own
    bool doubles = false;  ///< in float64
    bool add_bias_kv = false;
    std::optional<Index> d_out;
    std::optional<bool> bias, out_proj;
    std::optional<Index> out_width;  ///< of the output projection; d_out
};

/// How a packed matrix holds queries, keys and values: one after another; head by head; for each head of keys
/// and values, the heads of queries that read it, then itself.
enum class PackedLayout { stacked, heads, groups };

/// Weights by name, as given.
struct NamedTensor {
    std::string name;
    TensorSource tensor;
};
struct NamedWeights {
    std::string pointer;
    std::vector<NamedTensor> tensors;
    std::optional<bool> out_in;  ///< weight_layout
    std::optional<PackedLayout> packed;
    std::optional<std::string> order;    ///< of query, key and value in a packed matrix: "qkv", "qvk", ...
    std::optional<Index> packed_blocks;  ///< it is so many stacked matrices one below the other
    /// Rows of queries and keys of each head stand as neighbours (0, D/2, 1, D/2 + 1, ...), and are put back.
    bool interleaved_rows = false;
};

enum class MaskKind { keep, drop, add };
struct MaskInput {
    MaskKind kind = MaskKind::keep;
    TensorSource tensor;  ///< rank 1 to 4, aligned from the right with [batch, head, query, key]
};

struct Causal {
    enum class Kind { none, cache, top_left, bottom_right, offset };
    Kind kind = Kind::none;
    std::vector<Index> offsets;  ///< offset: one, or one per batch item
    bool per_item = false;
};

struct Window {
    std::optional<Index> left, right;
};

/// One number for all batch items, or one for each.
struct PerItem {
    std::vector<Index> numbers;
    bool is_list = false;
};

/// Tokens from ... to - 1, as keys are counted.
struct TokenBlock {
    Index from = 0, to = 0;
    bool operator==(const TokenBlock&) const = default;
};
/// Blocks whose tokens see each other: for all batch items, or for each.
struct TokenBlocks {
    std::vector<std::vector<TokenBlock>> items;
    bool is_list = false;
};

/// How distances become rows of a table of biases (Raffel et al. 2020, section 2.1).
struct Buckets {
    Index max_distance = 128;   ///< from it on all distances share the last bucket
    bool bidirectional = true;  ///< keys after the query have buckets of their own
};
/// What is added to each pair of query and key.
struct PositionBias {
    TensorSource tensor;  ///< [head, query, key], [batch, head, query, key]; [buckets, head] where there are
    std::optional<Buckets> buckets;
};

/// Query head h reads kv head h / group, or h mod num_kv_heads.
enum class KvHeadOrder { interleave, tile };

/// Positions of tokens: one list for all batch items, or one after another for each.
struct Places {
    std::vector<double> numbers;
    Index items = 1;  ///< lists

    Index tokens() const { return static_cast<Index>(numbers.size()) / items; }
    double at(Index item, Index token) const {
        return numbers[static_cast<std::size_t>((items > 1 ? item : 0) * tokens() + token)];
    }
    bool operator==(const Places&) const = default;
};

/// How the frequencies of a rotary embedding are changed for sequences longer than those of the training.
enum class RopeScalingType { none, linear, dynamic, llama3, yarn, longrope, proportional };
/// Under the names that config.json has for it.
struct RopeScaling {
    RopeScalingType type = RopeScalingType::none;
    std::optional<double> factor, attention_factor, max_position_embeddings, original_max_position_embeddings,
        beta_fast, beta_slow, mscale, mscale_all_dim, low_freq_factor, high_freq_factor,
        partial_rotary_factor;
    std::optional<bool> truncate;
    std::optional<std::vector<double>> short_factor, long_factor;  ///< one for each pair
};

/// Rotary position embedding (Su et al. 2021, section 3.2.2).
struct Rope {
    double base = 10000;
    bool interleaved = false;   ///< pairs 2n, 2n + 1; else n, n + dims/2
    bool reverse = false;       ///< turns by minus the angle
    std::optional<Index> dims;  ///< columns that turn; all of them
    std::optional<Places> positions, query_positions, key_positions;
    std::optional<RopeScaling> scaling;
    std::optional<TensorSource> cos, sin;  ///< [token, dims/2] or [batch, token, dims/2], or dims for dims/2
};

enum class NormType { rms, layer, l2 };
struct QkNorm {
    NormType type = NormType::rms;
    double eps = 1e-6;
    bool over_width = false;  ///< over all heads together, before they are split
    bool plus_one = false;    ///< weights are stored less one
    bool after_rope = false;  ///< of the rotated ones
};

/// An rms norm of each head's values.
struct ValueNorm {
    double eps = 1e-6;
};

/// Projected queries, keys and values are clamped to -max ... max; or the normed ones.
struct Clip {
    double max = 0;
    bool after_norm = false;
};

/// A factor of each query: numbers, or 1 + beta ln(1 + floor((position + shift) / every)).
struct QueryScale {
    Shape shape;  ///< [query], [head, query] or [batch, head, query]
    std::vector<double> numbers;
    std::optional<double> beta;
    double every = 0;
    Index shift = 0;
};

/// Press, Smith and Lewis 2022.
struct Alibi {
    std::vector<double> slopes;  ///< one per head; empty: the paper's
};

enum class GateActivation { sigmoid, silu, softplus };

struct Gate {
    GateActivation activation = GateActivation::sigmoid;
    bool norm = false;          ///< rms, of the context of each head, first
    bool over_width = false;    ///< of all heads together
    double eps = 1e-6;          ///< of that norm
    bool from_queries = false;  ///< W_query holds query and gate, head by head
};

/// The norm of a layer's input, before embeddings are projected.
struct EmbeddingsNorm {
    NormType type = NormType::rms;
    double eps = 1e-6;
    bool plus_one = false;  ///< the weight is stored less one
    bool keys = false;      ///< of key_embeddings too
    std::optional<TensorSource> weight, bias;
};

/// A norm of the joined heads before the output projection (Wang et al. 2023, BitNet).
struct ConcatNorm {
    NormType type = NormType::rms;
    double eps = 1e-6;
};

/// Which two half heads are a head of differential attention: 2h and 2h + 1, or h and h + heads.
enum class Pairing { interleaved, halves };

/// Of queries and keys of linear attention (Katharopoulos et al. 2020, section 3.2).
enum class FeatureMap { elu1, relu, silu, identity };

/// A causal convolution over tokens, with zeros before, of queries, keys and values, each channel by itself.
struct Conv {
    bool silu = true;  ///< what follows; else nothing
};

enum class MaskAt { scaled_scores, scores, weights };
enum class Normalize { softmax, sum, sigmoid };
enum class EmptyRows { zero, nan, uniform };
enum class DropoutKind { torch, torch_mkl, given };

struct DropoutInput {
    double p = 0;
    DropoutKind kind = DropoutKind::torch;
    std::uint64_t seed = 0;
    bool shared = false;  ///< by the document's manual_seed, without a seed of its own
    std::optional<TensorSource> keep;
};

/// A number that is made of the result, whose gradient enters there.
enum class Loss { none, sum, mean_squared_error };

/// What enters the backward pass. Several add up.
struct GradientInput {
    std::optional<TensorSource> output, context, state;
    Loss loss = Loss::none;
    std::optional<TensorSource> target;  ///< of mean_squared_error
};

/// What was asked for: one document, its types checked, nothing decided. Members that are not given are
/// empty.
struct Problem {
    std::optional<std::string> variant;
    std::optional<std::vector<std::string>> tokens, key_tokens;
    std::optional<TensorSource> embeddings, key_embeddings, value_embeddings;
    std::optional<TensorSource> queries, keys, values;
    std::optional<TensorSource> past_keys, past_values;
    std::optional<TensorSource> past_latent, past_rope_keys;
    std::optional<TensorSource> past_state, decay, beta;
    std::optional<FeatureMap> feature_map;
    std::optional<Conv> conv;
    std::optional<TensorSource> past_conv;
    bool map_values = false;
    std::optional<double> beta_factor;
    bool normalizer = false;
    bool has_weights = false;
    bool weights_are_a_list = false;
    std::string weights_from;           ///< a sentence on their file; empty: the document
    std::vector<NamedWeights> weights;  ///< one; or one per head where a list was given
    std::optional<WeightsInit> init;
    std::optional<Index> num_heads, num_kv_heads, num_value_heads;
    std::optional<KvHeadOrder> kv_head_order;
    bool scale_none = false;
    std::optional<double> scale;
    std::optional<double> softcap;
    std::optional<Causal> causal;
    std::optional<Window> window;
    std::optional<Index> chunk;
    std::optional<PerItem> prefix_keys;
    std::optional<TokenBlocks> token_blocks;
    std::optional<std::vector<Index>> key_lengths;
    std::vector<MaskInput> masks;
    std::optional<MaskAt> mask_at;
    std::optional<Normalize> normalize;
    std::optional<EmptyRows> empty_rows;
    std::optional<DropoutInput> dropout;
    std::optional<Rope> rope;
    std::optional<Alibi> alibi;
    std::optional<PositionBias> position_bias;
    std::optional<QkNorm> qk_norm;
    std::optional<ValueNorm> value_norm;
    std::optional<Clip> clip_qkv;
    std::optional<QueryScale> query_scale;
    std::optional<std::vector<double>> sinks;
    std::optional<Gate> gate;
    std::optional<ConcatNorm> concat_norm;
    std::optional<EmbeddingsNorm> embeddings_norm;
    std::optional<double> lambda, lambda_init;  ///< of differential attention
    std::optional<Pairing> pairing;
    bool add_zero_attn = false;
    std::optional<GradientInput> gradient;
    std::optional<DType> dtype;
    std::optional<std::string> id;  ///< what the document calls itself
    std::optional<std::uint64_t> manual_seed;
    std::optional<std::vector<std::string>> draws;
    std::vector<std::string> drawn;  ///< pointers to what is drawn without a seed of its own, in that order
};

/// Reads a document into a Problem. \throws Error (exit 3) with a pointer for an unknown or not yet supported
/// key, a wrong type, a ragged tensor, a number out of range.
Problem read_problem(const Value& root);

}  // namespace attn
