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
    std::string file;          ///< where the numbers were read from; empty: the document
    std::uint64_t seed = 0;    ///< drawn
    Index num_embeddings = 0;  ///< embedding: rows of the table
    std::vector<Index> ids;    ///< embedding: the rows taken
};

/// `{"init": ...}`: weights that PyTorch draws, in the order query, key, value, output projection.
struct WeightsInit {
    enum class Kind { linear, rand, multihead };
    Kind kind = Kind::linear;
    std::string pointer;
    std::uint64_t seed = 0;
    std::optional<Index> d_out;
    std::optional<bool> bias, out_proj;
};

/// Weights by name, as given.
struct NamedTensor {
    std::string name;
    TensorSource tensor;
};
struct NamedWeights {
    std::string pointer;
    std::vector<NamedTensor> tensors;
    std::optional<bool> out_in;  ///< weight_layout
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

/// Query head h reads kv head h / group, or h mod num_kv_heads.
enum class KvHeadOrder { interleave, tile };

/// Rotary position embedding (Su et al. 2021, section 3.2.2).
struct Rope {
    double base = 10000;
    bool interleaved = false;   ///< pairs 2n, 2n + 1; else n, n + dims/2
    std::optional<Index> dims;  ///< columns that turn; all of them
    std::optional<std::vector<double>> positions, query_positions, key_positions;
    std::optional<TensorSource> cos, sin;  ///< [token, dims/2] or [batch, token, dims/2]
};

enum class NormType { rms, layer, l2 };
struct QkNorm {
    NormType type = NormType::rms;
    double eps = 1e-6;
    bool over_width = false;  ///< over all heads together, before they are split
    bool plus_one = false;    ///< weights are stored less one
};

/// Press, Smith and Lewis 2022.
struct Alibi {
    std::vector<double> slopes;  ///< one per head; empty: the paper's
};

struct Gate {
    bool silu = false;          ///< else sigmoid
    bool norm = false;          ///< the context is normalised per head first
    bool from_queries = false;  ///< W_query holds query and gate, head by head
};

/// Of queries and keys of linear attention (Katharopoulos et al. 2020, section 3.2).
enum class FeatureMap { elu1, relu, identity };

enum class MaskAt { scaled_scores, scores, weights };
enum class Normalize { softmax, sum, sigmoid };
enum class EmptyRows { zero, nan, uniform };
enum class DropoutKind { torch, torch_mkl, given };

struct DropoutInput {
    double p = 0;
    DropoutKind kind = DropoutKind::torch;
    std::uint64_t seed = 0;
    std::optional<TensorSource> keep;
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
    bool normalizer = false;
    bool has_weights = false;
    bool weights_are_a_list = false;
    std::string weights_from;           ///< a sentence on their file; empty: the document
    std::vector<NamedWeights> weights;  ///< one; or one per head where a list was given
    std::optional<WeightsInit> init;
    std::optional<Index> num_heads, num_kv_heads;
    std::optional<KvHeadOrder> kv_head_order;
    bool scale_none = false;
    std::optional<double> scale;
    std::optional<double> softcap;
    std::optional<Causal> causal;
    std::optional<Window> window;
    std::optional<std::vector<Index>> key_lengths;
    std::vector<MaskInput> masks;
    std::optional<MaskAt> mask_at;
    std::optional<Normalize> normalize;
    std::optional<EmptyRows> empty_rows;
    std::optional<DropoutInput> dropout;
    std::optional<Rope> rope;
    std::optional<Alibi> alibi;
    std::optional<TensorSource> position_bias;
    std::optional<QkNorm> qk_norm;
    std::optional<std::vector<double>> sinks;
    std::optional<Gate> gate;
    bool add_zero_attn = false;
    std::optional<DType> dtype;
};

/// Reads a document into a Problem. \throws Error (exit 3) with a pointer for an unknown or not yet supported
/// key, a wrong type, a ragged tensor, a number out of range.
Problem read_problem(const Value& root);

}  // namespace attn
