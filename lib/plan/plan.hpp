#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/problem.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/option_words.hpp"
#include "lib/plan/stage.hpp"
#include "lib/shape.hpp"

namespace attn {

/// What a row of weights is made of: scores of all keys, or a state that is carried from token to token.
enum class Memory { scores, linear_state, delta_state };

/// One row of the table of variants: a preset of requirements and defaults, nothing that the executor knows.
struct Variant {
    static constexpr WeightRoles projections =
        set_of({WeightRole::query, WeightRole::key, WeightRole::value});
    static constexpr WeightRoles usual =
        set_of({WeightRole::packed, WeightRole::output, WeightRole::gate, WeightRole::bias_k,
                WeightRole::bias_v, WeightRole::query_norm, WeightRole::key_norm, WeightRole::context_norm});

    /// Those that project embeddings: of no use where queries, keys and values are given.
    static constexpr WeightRoles from_embeddings =
        set_of({WeightRole::query, WeightRole::key, WeightRole::value, WeightRole::packed, WeightRole::gate,
                WeightRole::query_latent, WeightRole::query_up, WeightRole::latent, WeightRole::key_up,
                WeightRole::value_up, WeightRole::rope_key, WeightRole::decay, WeightRole::decay_log_rate,
                WeightRole::decay_bias, WeightRole::beta});

    std::string_view name;
    std::string_view title;  ///< "causal self-attention"
    std::string_view formula;
    std::string_view source;          ///< paper and section
    WeightRoles needs = projections;  ///< weights without which it is not defined
    WeightRoles takes = usual;        ///< weights that it may have besides
    bool takes_projected = false;     ///< queries, keys, values are given
    bool may_take_projected = false;  ///< they may be given in place of embeddings
    bool needs_key_embeddings = false;
    bool needs_window = false;
    bool weights_list = false;  ///< one set of weights per head
    bool causal = false;        ///< default of `causal`
    bool scaled = true;         ///< default scale 1/sqrt(head dim), or none
    bool one_kv_head = false;   ///< default of `num_kv_heads`
    bool gated = false;         ///< default of `gate`: a sigmoid
    Memory memory = Memory::scores;

    bool may_have(WeightRole r) const { return has(needs | takes, r); }
    bool keeps_state() const { return memory != Memory::scores; }
    /// Keys and values are made from a latent, which is what a cache holds.
    bool is_latent() const { return has(needs, WeightRole::latent); }
};

std::span<const Variant> all_variants();

/// How many query rows a table shows: all, or of more than `most` the first and the last ones.
struct RowCut {
    Index most, first, last;
};

/// What the command line asks of a run, as typed; names are resolved against the document while planning.
struct Request {
    std::vector<std::string> stages;                      ///< empty: all that are not on request
    std::optional<std::string> batch, heads, rows, cols;  ///< "0", "0,2", "0:8", a token (rows, cols)
    std::string_view rows_flag = option::rows;            ///< what errors call `rows`
    std::optional<DType> dtype;
    std::optional<Index> max_memory;  ///< bytes
    int threads = 0;                  ///< 0: what the machine offers
    bool for_pictures = false;        ///< no stages: the last weights, or what comes nearest to them
    std::optional<std::vector<std::string>> tokens;  ///< in place of the document's, for axes of that length
    std::optional<RowCut> cut_rows;  ///< no other rows are needed, unless `rows` asks for some
};

/// A piece of a weight matrix or bias: rows (outputs) of one source tensor that land at columns of the whole.
struct WeightPiece {
    std::size_t tensor = 0;  ///< of Plan::tensors
    bool out_in = false;     ///< stored [d_out, d_in]: x · Wᵀ
    Index source_begin = 0;  ///< first output taken from the source
    Index target_begin = 0;  ///< first output column written
    Index outputs = 0;
    Index base = 0;  ///< first number of the source: tensors with a head axis
};

/// y = x · W + b. Empty `weight`: y = x.
struct Projection {
    Index d_in = 0, d_out = 0;
    std::vector<WeightPiece> weight, bias;
};

/// How one weight was read, for the plan that is printed.
struct WeightNote {
    std::string name;    ///< as in the document: "W_query.weight"
    std::string role;    ///< "query", "key", "value", "output", "query bias", ...
    std::string layout;  ///< "[d_out, d_in], x · Wᵀ"
    Shape shape;
    bool transpose_fits = false;  ///< square, not symmetric, and nothing but its name says how it is read
};

/// One planned stage.
struct PlannedStage {
    Stage stage;
    std::string_view name;
    std::string formula;
    StageShape family;
    Shape shape;                  ///< whole, before any selection: axes_of(family)
    std::vector<Stage> reads;     ///< the planned stages that the formula reads, in its order
    WeightRoles projections = 0;  ///< that it applies, as far as the plan has them
    bool shown = false;           ///< asked for
};

/// A sorted list of the indices of an axis that are shown, or all of them.
struct AxisSelection {
    bool all = true;
    bool asked = false;          ///< by the command line, be it for all of them
    std::vector<Index> indices;  ///< always filled, sorted, no index twice
    Index left_out = 0;          ///< of query rows: those that Request::cut_rows leaves out, not computed
};

struct MaskRule {
    MaskKind kind = MaskKind::keep;
    std::size_t tensor = 0;  ///< of Plan::tensors; its shape is broadcast to [batch, head, query, key]
};

/// A rotary embedding with everything decided.
struct PlannedRope {
    Index first_query = 0;  ///< the first column of a query that turns
    Index dims = 0;
    double base = 10000;
    bool interleaved = false;
    std::vector<double> query_positions,
        key_positions;                    ///< of queries, of new keys; empty where tables are given
    std::optional<std::size_t> cos, sin;  ///< tensors
};

/// What a head carries from token to token in place of scores.
struct PlannedState {
    bool delta = false;  ///< the delta rule, else a sum
    std::optional<FeatureMap> feature_map;
    bool normalizer = false;
    bool decays = false, has_beta = false;
    bool decay_by_column = false, beta_by_column = false;  ///< one for each column of keys, of values
    std::optional<std::size_t> decay, beta;     ///< tensors, where they are given and not projected
    std::optional<std::size_t> log_rate, bias;  ///< tensors: one number per head
    std::optional<std::size_t> past;            ///< tensor [batch, kv head, dim, value dim]
};

/// How contexts are computed: see lib/run. none: no stage that is shown needs scores.
enum class Path { none, fused, traced, single_rows, recurrent };
std::string_view name_of(Path path);
/// In words: "blocks of keys, no scores kept".
std::string_view meaning_of(Path path);

/// What every number of the result is.
struct Rules {
    const Variant* variant = nullptr;
    std::string inferred_because;  ///< empty: the document names its variant
    DType dtype = DType::float32;
    Index batch = 1, heads = 1, kv_heads = 1, queries = 0, keys = 0;
    Index dim = 0;  ///< columns over which queries and keys are multiplied
    Index query_dim = 0, key_dim = 0, value_dim = 0, output_dim = 0;
    bool kv_interleaved = true;  ///< query head h reads kv head h / (heads / kv_heads), else h mod kv_heads
    bool heads_first_dropout = false;  ///< stacked heads: each head draws its mask for all batch items

    std::vector<TensorSource> tensors;  ///< every tensor that the run reads
    std::optional<std::size_t> query_input, key_input,
        value_input;               ///< embeddings, or given queries, keys, values
    bool projected_given = false;  ///< the inputs are queries, keys, values with a head axis
    std::array<Projection, projection_count> projections;  ///< by role
    bool has_output = false;
    std::optional<WeightsInit> init;  ///< drawn weights: tensors of kind drawn_weight, in draw order
    std::vector<WeightNote> weight_notes;
    std::string weights_from;  ///< a sentence on their file; empty: the document

    /// Keys in the order of their axis: the cache, those that are made or given, appended ones.
    Index past = 0, new_keys = 0;
    std::optional<std::size_t> past_keys, past_values;       ///< tensors [batch, kv head, past, dim]
    std::optional<std::size_t> past_latent, past_rope_keys;  ///< tensors [batch, past, dim]
    std::optional<std::size_t> bias_k, bias_v;  ///< tensors of kv heads x dim numbers: one appended key
    bool zero_key = false;                      ///< one more key and value of zeros

    std::optional<QkNorm> qk_norm;
    std::optional<std::size_t> query_norm, key_norm;  ///< tensors: weights of the norms
    std::optional<PlannedRope> rope;
    std::optional<std::size_t> additive;  ///< tensor: v of v · tanh(q + k), of each head or for all
    std::optional<PlannedState> state;
    std::optional<double> softcap;
    std::vector<double> alibi;  ///< slopes, one per head; empty: none
    std::optional<std::size_t> position_bias;
    std::vector<double> sinks;  ///< one per head; empty: none
    std::optional<Gate> gate;
    std::optional<std::size_t> context_norm;  ///< tensor: weight of the norm before the gate
    double context_eps = 1e-6;                ///< of that norm

    bool scaled = false;
    double scale = 1;
    Index scale_root = 0;    ///< the scale is 1/√ of this whole number; 0: of none
    std::string scale_text;  ///< "1/√2", "0.5", "none"

    bool masked = false;  ///< a mask of any kind was asked for, and there are scores
    bool causal = false;
    std::vector<Index> offsets;  ///< per batch item: key j is visible to query i when j <= i + offset
    std::optional<Window> window;
    std::optional<std::vector<Index>> key_lengths;
    std::vector<MaskRule> masks;
    MaskAt mask_at = MaskAt::scaled_scores;
    std::vector<std::string> mask_words;  ///< each rule in words
    Normalize normalize = Normalize::softmax;
    EmptyRows empty_rows = EmptyRows::zero;
    std::optional<DropoutInput> dropout;  ///< its `keep` has moved to tensors
    std::optional<std::size_t> dropout_keep;

    std::vector<std::string> query_tokens, key_tokens;
    bool tokens_given = false, key_tokens_given = false;

    std::vector<PlannedStage> stages;   ///< in order; also those that are not shown
    std::vector<std::string> warnings;  ///< of planning
};

/// Which of them are computed, and how; no number depends on it but for its last bits.
struct Schedule {
    AxisSelection batch_shown, heads_shown, queries_shown, keys_shown;
    AxisSelection kv_heads_shown;  ///< those that the shown query heads read
    AxisSelection
        new_keys_shown;  ///< those of keys_shown that are neither cached nor appended, counted from 0

    Index row_block = 64;  ///< rows of one unit of work
    Path path = Path::none;
    bool packed = false;           ///< keys and values are packed: worth it for this many
    bool packs_by_worker = false;  ///< fused: each worker packs a head for itself
    int threads = 1;
    double flops = 0;      ///< of what is shown
    Index peak_bytes = 0;  ///< estimate of memory, the sinks not counted
};

/// Everything decided, nothing computed. Nothing can be refused any more but for memory and the output.
struct Plan : Rules, Schedule {
    Index kv_head_of(Index head) const {
        return kv_interleaved ? head / (heads / kv_heads) : head % kv_heads;
    }
    const Projection& projection(WeightRole r) const { return projections[idx(r)]; }
    Projection& projection(WeightRole r) { return projections[idx(r)]; }
    bool projects(WeightRole r) const { return !projection(r).weight.empty(); }
    /// The heads of a stage that are shown: of queries, of keys and values, or one where all share it or
    /// there is no such axis.
    const AxisSelection& heads_of(StageShape family) const;
    /// The rows of a stage that are shown; empty where rows are no tokens.
    const AxisSelection& rows_of(StageShape family) const;
    /// The columns, where they are tokens.
    const AxisSelection& columns_of(StageShape family) const {
        return family == StageShape::per_query ? queries_shown
               : has_all_keys(family)          ? keys_shown
                                               : new_keys_shown;
    }
    /// The token that a row stands for; null where it is none.
    const std::string* row_token(StageShape family, Index row) const;
    /// The token that a column stands for; null where it is none.
    const std::string* column_token(StageShape family, Index column) const;
    /// Keys that masks cover: all but the appended ones.
    Index given_keys() const { return past + new_keys; }
    /// Keys after the given ones, always visible: bias_k, zeros.
    bool has_appended() const { return keys > given_keys(); }
    const PlannedStage* find(Stage stage) const;
    bool shows_part() const;  ///< some axis is restricted
    /// Axis lengths of a stage as shown (after the selection).
    Shape shown_shape(const PlannedStage& stage) const;
};

/// All of it, by one worker, stage by stage.
Schedule whole(const Rules& rules);

/// Decides everything about a problem. \throws Error: exit 3 for what does not fit, exit 2 for a stage, head,
/// row or token that was asked for and does not exist, exit 3 for more memory than allowed.
Plan make_plan(Problem problem, const Request& request);

}  // namespace attn
