#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/mask.hpp"
#include "lib/run/operands.hpp"
#include "lib/run/pool.hpp"

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
enum class Rounding { none, bf16, f16 };

/// One rule of a plan's mask, or all of them together.
struct MaskPart {
    enum class Kind { all, causal, window, key_lengths, rule };
    Kind kind = Kind::all;
    std::size_t rule = 0;  ///< of Plan::masks
};
/// Leaves a part of the mask out; what is not there (any more) is left out already. Without any rule there is
/// no mask.
void drop(Plan& plan, const MaskPart& part);

/// Deviations that no Plan can express. By default none.
struct Quirks {
    WeightRoles transposed = 0;  ///< square weights that are read the other way
    bool swap_queries_keys = false, swap_queries_keys_in_use = false;
    bool swap_keys_values = false, swap_keys_values_in_use = false;
    ValuesAre values_are = ValuesAre::values;
    HeadLayout split = HeadLayout::split, merge = HeadLayout::split;
    bool rope_on_values = false;
    bool cap_after_mask = false;
    bool masks_weights = false;  ///< after the softmax, nothing divided again
    bool mask_inverted = false;
    std::optional<MaskPart> mask_transposed;
    std::optional<double> fill;  ///< of masked scores, for -inf
    Along along = Along::keys;   ///< the axis of the softmax
    Normal normal = Normal::planned;
    double weights_times = 1;
    bool weights_transposed = false;
    Rounding round = Rounding::none;
    /// Scores and scaled scores; all stages of scores; weights; every stage.
    bool round_products = false, round_scores = false, round_weights = false, round_all = false;
};

/// A plan with a mistake in it.
struct Deviation {
    Plan plan;
    Quirks quirks;
};

/// Numbers of one stage, row-major [batch, head, row, column]. Rows of queries are those of the Slice.
struct Numbers4 {
    std::array<Index, 4> shape{};
    std::vector<double> values;

    Numbers4() = default;
    explicit Numbers4(const std::array<Index, 4>& s)
        : shape(s), values(static_cast<std::size_t>(s[0] * s[1] * s[2] * s[3])) {}
    double* row(Index b, Index h, Index t) {
        return values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    }
    const double* row(Index b, Index h, Index t) const {
        return values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    }
    View<double> view() const {
        return {values.data(), shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3]};
    }
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
    /// (a bit for each stage).
    HeldStages run(const Deviation& deviation, const HeldStages& given, const Slice& slice,
                   std::uint64_t kept = ~std::uint64_t{0}) const;
    /// The rows of cells that a slice of the plan needs with a deviation.
    std::vector<Index> rows_of(const Deviation& deviation, const Slice& slice) const;
    /// Those stages of `held` that come before `first` in the order of the plan.
    HeldStages before(const HeldStages& held, Stage first) const;
    /// The numbers of a whole stage [batch, head, row, column]: merged stages have one head.
    std::array<Index, 4> shape_of(const PlannedStage& stage) const;

    std::span<const double> tensor(std::size_t k) const { return tensors_[k]; }
    /// A projection's weight, [d_in, d_out].
    std::vector<double> weight(WeightRole role) const;

  private:
    struct Work;
    Held projected(const Work& w, WeightRole role, const double* x, Index tokens, Index width) const;
    Held projected(const Work& w, WeightRole role, std::size_t input) const;
    Held given_input(const Work& w, std::size_t tensor, Index heads, Index dim) const;
    Held heads_of(const Work& w, const Held& flat, Index heads, Index dim) const;
    void project(Work& w) const;
    void project_latent(Work& w) const;
    void prepare(Work& w) const;
    void per_token(Work& w, Stage stage, WeightRole role, const std::optional<std::size_t>& given,
                   Index dim) const;
    void recur(Work& w) const;
    void scores(Work& w, Numbers4& cells) const;
    void attend(Work& w, std::uint64_t kept) const;
    void mask_row(const Work& w, Index b, Index h, Index query, const std::uint8_t* hidden,
                  double* row) const;
    void row_stage(Work& w, Stage stage, Index b, Index h, Index line, double* row) const;
    Held mean_over_heads(const Work& w, const Numbers4& cells) const;
    void weigh(Work& w, Numbers4& cells) const;
    void weigh_row(const Work& w, Index b, Index h, Index line, double* row) const;
    void weigh_across(Work& w, Numbers4& cells) const;
    void context(Work& w, const Numbers4& weights) const;
    void finish(Work& w) const;
    void hide(Work& w) const;

    Plan plan_;
    mutable Pool pool_;
    Tensors<double> tensors_;
    /// Projections of inputs, [batch, 1, token, width], by input, role and weights; W_out by whether it is
    /// read transposed. A cache: no run depends on those before it.
    mutable std::map<std::vector<Index>, Held> of_inputs_;
    mutable std::array<Held, 2> output_maps_;
};

/// x as a number of 16 bits, ties to even.
double rounded(double x, Rounding r);

}  // namespace attn
