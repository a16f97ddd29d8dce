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
#include "lib/plan/differential.hpp"
#include "lib/plan/planned_gradient.hpp"
#include "lib/plan/planned_rope.hpp"
#include "lib/plan/recurrent.hpp"
#include "lib/plan/stage.hpp"
#include "lib/rounding.hpp"
#include "lib/shape.hpp"

namespace attn {

/// What a row of weights is made of: scores of all keys, or a state that is carried from token to token.
enum class Memory { scores, linear_state, delta_state };

/// One row of the table of variants: a preset of requirements and defaults, nothing that the executor knows.
struct Variant {
    static constexpr WeightRoles projections =
        set_of({WeightRole::query, WeightRole::key, WeightRole::value});
    /// Of queries, keys and values.
    static constexpr WeightRoles norms =
        set_of({WeightRole::query_norm, WeightRole::key_norm, WeightRole::query_norm_bias,
                WeightRole::key_norm_bias, WeightRole::value_norm});
    static constexpr WeightRoles usual =
        set_of({WeightRole::packed, WeightRole::output, WeightRole::gate, WeightRole::bias_k,
                WeightRole::bias_v, WeightRole::context_norm, WeightRole::concat_norm,
                WeightRole::concat_norm_bias}) |
        norms;

    static constexpr WeightRoles lambdas =
        set_of({WeightRole::lambda_q1, WeightRole::lambda_k1, WeightRole::lambda_q2, WeightRole::lambda_k2});
    static constexpr WeightRoles convolutions = set_of(
        {WeightRole::query_conv, WeightRole::key_conv, WeightRole::value_conv, WeightRole::packed_conv});

    /// Those that project embeddings: of no use where queries, keys and values are given.
    static constexpr WeightRoles from_embeddings =
        set_of({WeightRole::query, WeightRole::key, WeightRole::value, WeightRole::packed, WeightRole::gate,
                WeightRole::query_latent, WeightRole::query_up, WeightRole::latent, WeightRole::key_up,
                WeightRole::value_up, WeightRole::rope_key, WeightRole::latent_and_rope,
                WeightRole::key_value_up, WeightRole::decay, WeightRole::decay_log_rate,
                WeightRole::decay_bias, WeightRole::beta, WeightRole::packed_rates});

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
    bool differential = false;  ///< weights are the difference of two softmaxes
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
    /// Of a gradient: the stage that it is the gradient of. Of a parameter that is no tensor: the stage that
    /// reads it. Of an input or another parameter it says nothing.
    Stage stage;
    std::string name;
    std::string formula;
    StageShape family;
    Shape shape;                  ///< whole, before any selection: axes_of(family)
    std::vector<Stage> reads;     ///< the planned stages that the formula reads, in its order
    WeightRoles projections = 0;  ///< that it applies, as far as the plan has them
    bool shown = false;           ///< asked for
    StageOf of = StageOf::forward;
    std::vector<std::size_t> tensors{};  ///< of an input or a parameter: one for each head, or one
    bool on_request = false;             ///< shown only where it is asked for by name
    Index first = 0;                     ///< of a parameter: the place of its first number in each tensor

    /// Weights of keys: rows that sum to 1. The gradient of such a stage is none.
    bool holds_weights() const { return of == StageOf::forward && is_weights(stage); }
    bool holds_scores() const { return of == StageOf::forward && is_score(stage); }
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

/// What is added to each pair of query and key.
struct PlannedBias {
    std::size_t tensor = 0;          ///< [head, query, key], [batch or 1, head, query, key]; [buckets, head]
    std::optional<Buckets> buckets;  ///< the tensor is a table of them
    Index rows = 0;                  ///< of that table
};

/// One draw of the generator that manual_seed seeds.
struct Draw {
    enum class Of { tensor, weights, dropout };
    Of of = Of::tensor;
    std::size_t tensor = 0;  ///< of Plan::tensors
};

/// A norm with everything decided: of each head, or of all of them together.
struct PlannedNorm {
    NormType type = NormType::rms;
    double eps = 1e-6;
    bool over_width = false;
    bool plus_one = false;
    std::optional<std::size_t> weight, bias;  ///< tensors
    bool by_head = false;                     ///< they have numbers for each head; else the same for all
    double factor = 1;                        ///< of all of it

    /// In half precision: before the weight as well (nn.RMSNorm, Llama), or after it alone (nn.LayerNorm,
    /// Gemma).
    bool rounds_before_weight() const { return type == NormType::rms && !plus_one; }
    /// The place of a column of a head in them.
    Index gain_at(Index head, Index column, Index dim) const { return (by_head ? head * dim : 0) + column; }
};

/// A factor for each query.
struct PlannedQueryScale {
    Index items = 1, heads = 1, queries = 0;
    std::vector<double> numbers;  ///< [items, heads, queries]

    Index place(Index item, Index head, Index query) const {
        return ((items > 1 ? item : 0) * heads + (heads > 1 ? head : 0)) * queries + query;
    }
    double at(Index item, Index head, Index query) const { return numbers[idx(place(item, head, query))]; }
};

/// Where the document of a plan comes from.
struct PlannedSource {
    std::string file;  ///< or the model, as it was named
    Index number = 0;  ///< of the document in its file, or of the layer
    bool is_layer = false;
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
    Rounding rounding;  ///< of what is written in each stage, and of the steps of rounded_steps()
    Index batch = 1, heads = 1, kv_heads = 1, queries = 0, keys = 0;
    Index head_group =
        1;          ///< heads of values that read one head of queries and keys: above 1 with a state alone
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
    std::uint64_t manual_seed = 0;
    std::vector<Draw> draws;          ///< by manual_seed, one after another; empty: there is none
    std::optional<WeightsInit> init;  ///< drawn weights: tensors of kind drawn_weight, in draw order
    std::vector<WeightNote> weight_notes;
    std::string weights_from;  ///< a sentence on their file; empty: the document

    /// Keys in the order of their axis: the cache, those that are made or given, appended ones.
    Index past = 0, new_keys = 0;
    std::optional<std::size_t> past_keys, past_values;       ///< tensors [batch, kv head, past, dim]
    std::optional<std::size_t> past_latent, past_rope_keys;  ///< tensors [batch, past, dim]
    std::optional<std::size_t> bias_k, bias_v;  ///< tensors of kv heads x dim numbers: one appended key
    bool zero_key = false;                      ///< one more key and value of zeros

    std::optional<PlannedNorm> query_norm, key_norm, value_norm;  ///< the first two together or not at all
    bool norm_after_rope = false;
    std::optional<PlannedNorm> query_latent_norm, latent_norm;  ///< one head as wide as the latent
    std::optional<PlannedNorm> embeddings_norm;                 ///< of the tensor query_input
    bool norms_key_embeddings = false;                          ///< of key_input too, another tensor
    std::optional<Clip> clip;
    std::optional<PlannedRope> rope;
    std::optional<PlannedQueryScale> query_scale;
    std::optional<std::size_t> additive;  ///< tensor: v of v · tanh(q + k), of each head or for all
    std::optional<PlannedConv> conv;
    std::optional<PlannedState> state;
    std::optional<PlannedDifferential> differential;  ///< then `heads`, `kv_heads` are half heads
    std::optional<double> softcap;
    std::vector<double> alibi;  ///< slopes, one per head; empty: none
    std::optional<PlannedBias> position_bias;
    std::vector<double> sinks;  ///< one per head; empty: none
    std::optional<Gate> gate;
    bool gate_by_head = false;                ///< one number opens a whole head
    std::optional<PlannedNorm> context_norm;  ///< before the gate
    std::optional<PlannedNorm> concat_norm;   ///< of the joined heads: one head of heads x value_dim columns

    bool scaled = false;
    double scale = 1;
    /// What scores are multiplied by.
    double factor() const { return scaled ? scale : 1; }
    Index scale_root = 0;    ///< the scale is 1/√ of this whole number; 0: of none
    std::string scale_text;  ///< "1/√2", "0.5", "none"

    bool masked = false;  ///< a mask of any kind was asked for, and there are scores
    bool causal = false;
    std::vector<Index> offsets;  ///< per batch item: key j is visible to query i when j <= i + offset
    std::optional<Window> window;
    std::optional<Index> chunk;  ///< tokens that see each other and no others
    std::vector<Index> prefix;   ///< per batch item: keys before it are seen by all; empty: no such rule
    std::vector<std::vector<TokenBlock>> token_blocks;  ///< per batch item; empty: no such rule
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

    std::vector<PlannedStage> stages;  ///< in order; also those that are not shown
    std::optional<PlannedGradient> gradient;
    std::vector<PlannedStage> gradients;  ///< the backward pass, in order; empty without `gradient`
    std::vector<std::string> warnings;    ///< of planning

    /// Heads of the stages of queries, and of keys, before the state.
    Index query_heads() const { return heads / head_group; }
    Index key_heads() const { return kv_heads / head_group; }
    /// Heads of values, and of contexts.
    Index value_heads() const { return differential ? kv_heads / 2 : kv_heads; }
    Index context_heads() const { return differential ? heads / 2 : heads; }
    /// The norm that makes a stage.
    const PlannedNorm& norm_of(Stage stage) const {
        return *(is_embeddings(stage)                  ? embeddings_norm
                 : stage == Stage::normed_queries      ? query_norm
                 : stage == Stage::normed_keys         ? key_norm
                 : stage == Stage::normed_values       ? value_norm
                 : stage == Stage::normed_context      ? context_norm
                 : stage == Stage::normed_query_latent ? query_latent_norm
                 : stage == Stage::normed_latent       ? latent_norm
                                                       : concat_norm);
    }
    /// The stage that stands for an input where this is normed first.
    std::optional<Stage> normed_input(std::size_t tensor) const {
        if (!embeddings_norm || (tensor != *query_input && !(norms_key_embeddings && tensor == *key_input)))
            return std::nullopt;
        return tensor == *query_input ? Stage::normed_embeddings : Stage::normed_key_embeddings;
    }
    /// The bound to which a stage is clamped, if it is.
    std::optional<double> limit_of(Stage stage) const;
};

/// Which of them are computed, and how; no number depends on it but for its last bits.
struct Schedule {
    AxisSelection batch_shown, heads_shown, queries_shown, keys_shown;
    AxisSelection embeddings_shown;  ///< rows of normed embeddings: those of queries, or more
    AxisSelection kv_heads_shown;    ///< those that the shown query heads read
    AxisSelection value_heads_shown, context_heads_shown;
    AxisSelection grouped_heads_shown;  ///< of queries and keys where there are more heads of values
    AxisSelection past_keys_shown;      ///< those of keys_shown that are cached
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
    std::optional<PlannedSource> source;  ///< nothing: nobody has said
    std::optional<std::string> id;        ///< what the document calls itself
    std::vector<std::string> overrides;   ///< "KEY=JSON": members that the command line has put in
    Index kv_head_of(Index head) const {
        return kv_interleaved ? head / (heads / kv_heads) : head % kv_heads;
    }
    /// The head of values that goes with a head of keys, that of contexts with a head of queries.
    Index value_head_of(Index kv) const {
        return differential ? differential->head_of(kv, value_heads()) : kv;
    }
    Index context_head_of(Index head) const {
        return differential ? differential->head_of(head, context_heads()) : head;
    }
    /// The head of values that a head of contexts reads.
    Index values_of(Index context_head) const {
        return value_head_of(kv_head_of(
            differential ? differential->half_of(context_head, false, context_heads()) : context_head));
    }
    /// The head of a stage that belongs to a query head; 0 where all share it.
    Index head_in(StageShape family, Index head) const {
        if (!has_heads(family) || family == StageShape::shared_keys) return 0;
        if (has_paired_heads(family)) return context_head_of(head);
        if (has_paired_kv_heads(family)) return value_head_of(kv_head_of(head));
        return has_grouped_heads(family) ? head / head_group : has_kv_heads(family) ? kv_head_of(head) : head;
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
    /// Some rule of the mask compares a key with the place of the query, i + offset.
    bool places_queries() const { return causal || window || chunk || !token_blocks.empty(); }
    /// From where to where a token sees others of its blocks. All of them hold it, so they make one range.
    TokenBlock own_block(Index item, Index place) const;
    /// A prefix or a block of tokens shows the key, whatever causal, window and chunk say.
    bool shows_anyway(Index item, Index query, Index key) const;
    /// Number of a decay's or a beta's tensor, whose axes [batch, head, token] or [..., column] may be 1.
    Index rate_number(std::size_t tensor, Index item, Index head, Index token, Index column) const;
    /// Number of position_bias's tensor that is added to the score of a query and a given key.
    Index bias_number(Index item, Index head, Index query, Index key) const;
    /// Keys after the given ones, always visible: bias_k, zeros.
    bool has_appended() const { return keys > given_keys(); }
    const PlannedStage* find(Stage stage) const;
    /// The gradient of a stage; null where there is none.
    const PlannedStage* find_gradient(Stage of) const;
    /// All that is shown, in the order of a trace: stages, then gradients.
    std::vector<const PlannedStage*> shown_stages() const;
    bool shows_gradients() const;
    bool shows_part() const;  ///< some axis is restricted
    /// Axis lengths of a stage as shown (after the selection).
    Shape shown_shape(const PlannedStage& stage) const;
};

/// floor(a / b), also below 0.
constexpr Index floor_of(Index a, Index b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/// The bucket of a key so many tokens after the query: small distances have their own, larger ones share them
/// by their logarithm. Raffel et al. 2020, section 2.1; in float32 as the authors' code (mesh_tensorflow,
/// `_relative_position_bucket`) has it. \param distance key - query \param buckets of all.
Index bucket_of(Index distance, Index buckets, const Buckets& rule);

/// All of it, by one worker, stage by stage.
Schedule whole(const Rules& rules);

/// Decides everything about a problem. \throws Error: exit 3 for what does not fit, exit 2 for a stage, head,
/// row or token that was asked for and does not exist, exit 3 for more memory than allowed.
Plan make_plan(Problem problem, const Request& request);

}  // namespace attn
