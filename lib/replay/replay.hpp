#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/pool.hpp"
#include "lib/run/mask.hpp"
#include "lib/run/operands.hpp"

namespace attn {

/// How heads are cut out of a projection, and how contexts are put side by side again.
enum class HeadLayout {
    split,       ///< head h has the columns h * dim ...
    flat,        ///< [token, head * dim] read as [head, token, dim]: nothing transposed
    interleaved  ///< head h has the columns h, h + heads, ...
};
enum class Along { keys, queries, heads };
enum class Normal { planned, none, base_two };
/// What stands in the place of values.
enum class ValuesAre { values, keys, keys_in_use, embeddings };
/// What the positions of a rotary embedding are counted along.
enum class RopeAlong { tokens, heads, items };

/// One rule of a plan's mask, or all of them together.
struct MaskPart {
    enum class Kind { all, causal, window, chunk, prefix_keys, token_blocks, key_lengths, rule };
    Kind kind = Kind::all;
    std::size_t rule = 0;  ///< of Plan::masks
};
/// Leaves a part of the mask out; what is not there (any more) is left out already. Without any rule there is
/// no mask.
void drop(Plan& plan, const MaskPart& part);

/// What the softmax takes from its scores: the largest of the row, nothing, or the largest if it is above 0.
/// exp() then is that of float32, which ends at 88.7 and at -103.9.
enum class Maximum { of_row, none, not_below_zero };
/// A row of weights that is made block by block of keys, and what is wrong in it (Dao et al. 2022, algorithm
/// 1): what was summed before a larger maximum came is not scaled down, or each block has a softmax of its
/// own.
struct BlockFault {
    enum class Kind { contexts_not_rescaled, sums_not_rescaled, neither_rescaled, averaged, added };
    Kind kind = Kind::contexts_not_rescaled;
    Index width = 0;  ///< keys
};
/// A mask of 0 and 1 that is added to the scores and hides nothing.
struct MaskNumbers {
    MaskPart part;
    bool ones_hide = false;  ///< 1 stands where the mask hides, else where it shows
};
/// Where queries and gate stand in what one projection makes of both.
enum class GateLayout { planned, halves, halves_gate_first, gate_first, alternating };
/// Tokens and batch items that are taken for one another: [batch, token] read as [token, batch], or the axes
/// exchanged.
enum class BatchAxes { planned, reshaped, exchanged };

/// Deviations that no Plan can express. By default none.
struct Quirks {
    WeightRoles transposed = 0;  ///< square weights that are read the other way
    bool swap_queries_keys = false, swap_queries_keys_in_use = false;
    bool swap_keys_values = false, swap_keys_values_in_use = false;
    ValuesAre values_are = ValuesAre::values;
    HeadLayout split = HeadLayout::split, merge = HeadLayout::split;
    WeightRoles split_of =
        ~WeightRoles{0};  ///< the projections that are cut so; the others as they should be
    GateLayout gate_layout = GateLayout::planned;
    bool no_gate = false, no_context_norm = false;  ///< the stages stay: as what comes before them
    bool key_reshaped = false;      ///< [token, dim] read as [dim, token] where keys are transposed
    std::vector<Index> kv_heads;    ///< that each query head reads; empty: as planned
    std::vector<Index> weights_of;  ///< the head whose weights each head has; empty: its own
    /// The head whose context stands at each head's place of concat; or the place [batch, head] for each such
    /// place, where items are mixed. Empty: its own.
    std::vector<Index> contexts_of;
    bool weights_averaged = false;  ///< over the heads, before they meet the values
    double heads_averaged = 0;      ///< a factor of the sum of all contexts, which stands for each; 0: no sum
    BatchAxes batch_axes = BatchAxes::planned;
    bool rope_on_values = false;
    bool rope_on_queries = true, rope_on_keys = true;
    RopeAlong rope_along = RopeAlong::tokens;
    bool rope_unsplit = false;       ///< on the joined heads, before they are split
    bool rope_other_layout = false;  ///< cosines and sines laid out for the other way of pairing
    Index rope_first = 0;            ///< the first column of a head that turns
    bool cache_turned_again = false;
    std::vector<Index>
        key_columns;  ///< of the joined heads: column c is the right ones' column key_columns[c]
    double bias_times = 1, added_times = 1;  ///< of the position bias, of additive masks
    bool bias_transposed = false;
    bool cap_after_mask = false, cap_before_scale = false;
    double cap_inside = 1, cap_outside = 1;  ///< factors of what tanh is taken of, and of tanh
    bool masks_weights = false;              ///< after the softmax, nothing divided again
    bool mask_inverted = false;
    std::optional<MaskPart> mask_transposed;
    std::optional<double> fill;  ///< of masked scores, for -inf
    bool fill_is_added = false;  ///< to the scores, in float32
    std::optional<MaskNumbers> mask_numbers;
    std::vector<Index> mask_items;       ///< the batch item whose mask each [batch, head] has
    std::optional<Index> window_offset;  ///< in place of the plan's, of the window alone
    Along along = Along::keys;           ///< the axis of the softmax
    Normal normal = Normal::planned;
    bool softmax_twice = false, masked_twice = false;  ///< masked_twice: what is hidden stays 0
    Maximum maximum = Maximum::of_row;
    bool no_sum_is_nan = false;  ///< with `maximum`: 0/0 in rows whose exponentials are all 0, else weights 0
    std::optional<BlockFault> blocks;
    std::optional<double> dropout_factor;  ///< of what dropout keeps
    double weights_times = 1;
    bool weights_transposed = false;
    std::uint64_t unrounded = 0;  ///< stages that a plan of half precision leaves as they are, by their bits
    std::optional<Stage> round_only;  ///< the one stage that `round` rounds
    Rounding round;                   ///< where the plan itself does not round
    /// Scores and scaled scores; all stages of scores; weights; every stage.
    bool round_products = false, round_scores = false, round_weights = false, round_all = false;
};

/// A plan with a mistake in it.
struct Deviation {
    Plan plan;
    Quirks quirks;
};

using Held = std::shared_ptr<const Numbers4>;

/// The stages that were computed, or are given, by their place in the enumeration; null where not.
struct HeldStages {
    std::array<Held, stage_count> at;
    /// Rows that stages from the scores to the gated context hold, and those of the stages after them.
    std::vector<Index> rows, merged_rows;

    Held& operator[](Stage s) { return at[idx(s)]; }
    const Held& operator[](Stage s) const { return at[idx(s)]; }
};

/// Is told of each stage when it is made; false: what comes after it is not needed.
using Watch = std::function<bool(Stage, const HeldStages&)>;

/// The part that is computed: the first batch items, and some rows of what comes last.
struct Slice {
    Index items = 0;          ///< 0: all
    std::vector<Index> rows;  ///< sorted; empty: all
};

/// All stages of a plan in double, whole, from any stage on, with a deviation or without: one evaluator,
/// built from the operations of lib/run. Not to be used by several threads at once.
class Replay {
  public:
    explicit Replay(const Plan& plan);

    /// The plan that is computed, in double, everything shown.
    const Plan& plan() const { return plan_; }
    /// Nothing changed.
    Deviation none() const { return {plan_, {}}; }
    /// Computes the planned stages. A stage that is `given` is taken as it is; query rows of given stages
    /// have to be those of the slice. Of cells (queries x keys) only the stages of `kept` outlive the call
    /// (a bit for each stage). `watch` may end it early: what was made until then is returned.
    HeldStages run(const Deviation& deviation, const HeldStages& given, const Slice& slice,
                   std::uint64_t kept = ~std::uint64_t{0}, const Watch& watch = {}) const;
    /// The rows of cells that a slice of the plan needs with a deviation.
    std::vector<Index> rows_of(const Deviation& deviation, const Slice& slice) const;
    /// Those stages of `held` that come before `first` in the order of the plan.
    HeldStages before(const HeldStages& held, Stage first) const;
    /// The numbers of a whole stage [batch, head, row, column]: merged stages have one head.
    std::array<Index, 4> shape_of(const PlannedStage& stage) const;

    std::span<const double> tensor(std::size_t k) const { return tensors_[k]; }
    const Tensors<double>& tensors() const { return tensors_; }
    /// A projection's weight, [d_in, d_out].
    std::vector<double> weight(WeightRole role) const;
    /// Its bias, [d_out]; zeros where it has none.
    std::vector<double> bias(WeightRole role) const;

  private:
    struct Work;
    bool goes_on(Work& w) const;
    Held projected(const Work& w, WeightRole role, const double* x, Index tokens, Index width) const;
    Held projected(const Work& w, WeightRole role, std::size_t input) const;
    /// An input, normed where the plan says so: [batch, token, width].
    const double* input_of(const Work& w, std::size_t tensor) const;
    void norm_embeddings(Work& w) const;
    Held given_input(const Work& w, WeightRole role, std::size_t tensor, Index heads, Index dim) const;
    Held heads_of(const Work& w, WeightRole role, const Held& flat, Index heads, Index dim) const;
    void project(Work& w) const;
    void norm_latent(Work& w, Stage of, Stage stage) const;
    void project_latent(Work& w) const;
    void prepare(Work& w) const;
    void permute_keys(Work& w) const;
    Held turned(const Work& w, const Held& x, Index first, const Places& positions) const;
    Held turned_by_columns(const Work& w, const Held& x, Index first, const Places& positions) const;
    Held past_turned(const Work& w) const;
    void add_biases(const Work& w, Index b, Index h, Index query, double* row) const;
    void per_token(Work& w, Stage stage, WeightRole role, const std::optional<std::size_t>& given,
                   Index dim) const;
    void recur(Work& w) const;
    void scores(Work& w, Numbers4& cells) const;
    void attend(Work& w, std::uint64_t kept) const;
    void mask_row(const Work& w, Index b, Index h, Index query, const std::uint8_t* hidden,
                  double* row) const;
    void row_stage(Work& w, Stage stage, Index b, Index h, Index line, double* row) const;
    void scale_unplanned(const Work& w, Numbers4& cells) const;
    void mask_unplanned(const Work& w, Numbers4& cells) const;
    Held mean_over_heads(const Work& w, const Numbers4& cells) const;
    void weigh(Work& w, Numbers4& cells) const;
    void weigh_row(const Work& w, Index b, Index h, Index line, double* row) const;
    void weigh_across(Work& w, Numbers4& cells) const;
    void attend_across_items(Work& w, std::uint64_t kept) const;
    Numbers4 subtracted(const Work& w, const Numbers4& cells) const;
    void context(Work& w, const Numbers4& weights) const;
    void finish(Work& w) const;
    void hide(Work& w) const;

    Plan plan_;
    mutable Pool pool_;
    Tensors<double> tensors_;
    /// Projections of inputs, [batch, 1, token, width], by input, role and weights; W_out by whether it is
    /// read transposed. A cache: no run depends on those before it.
    mutable std::map<std::vector<Index>, Held> of_inputs_;
    /// Normed inputs, by stage and batch items: a cache as well.
    mutable std::map<std::pair<Stage, Index>, Held> normed_inputs_;
    mutable std::array<Held, 2> output_maps_;
};

}  // namespace attn
