#pragma once
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "lib/gradient/backward.hpp"
#include "lib/replay/replay.hpp"

namespace attn {

/// What a softmax sends back in place of P ∘ (dP - row sum of dP ∘ P).
enum class SoftmaxBack {
    right,
    passed_through,       ///< dP
    no_sum,               ///< P ∘ dP
    diagonal,             ///< P ∘ (1 - P) ∘ dP
    sum_unweighted,       ///< P ∘ (dP - Σ dP)
    sum_unweighted_seen,  ///< the same of keys that are seen
    sum_over_queries      ///< the sum of each key
};
/// The sum D that all weights of a row lose, where it is not that of dP ∘ P.
enum class SharedLoss { right, of_all_heads, of_blocks, undropped };
enum class DropoutBack {
    right,
    no_mask,             ///< d / (1 - p), dropped ones too
    no_mask_no_rescale,  ///< d
    no_rescale,          ///< d where kept
    times_p              ///< d p where kept
};
/// What a kv head gets of the query heads that read it.
enum class GroupBack { sum, mean, first, last, tiled };
enum class BiasBack { sum, last_item, mean };

/// Steps of queries x keys that are done otherwise. By default none.
struct CellQuirks {
    SoftmaxBack softmax = SoftmaxBack::right;
    SharedLoss shared = SharedLoss::right;
    Index block = 0;             ///< keys, of SharedLoss::of_blocks
    bool severed = false;        ///< nothing goes through the softmax
    bool mask_passes = false;    ///< hidden cells pass what they get
    bool of_saved_sums = false;  ///< recomputed weights have the sums of exponentials of the forward pass
    bool cap_passes = false;
    double scores_times = 1, queries_times = 1, keys_times = 1;  ///< of d_scores; of what goes to each
    bool queries_for_keys = false;                               ///< dK = dS Q
    bool values_not_transposed = false;                          ///< dV = A dO
    DropoutBack dropout = DropoutBack::right;
    bool values_undropped = false;  ///< dV = Pᵀ dO
    bool values_of_forward =
        false;  ///< dV is made of the weights of the forward pass, whatever is recomputed
    GroupBack group = GroupBack::sum;
    double sinks_times = 1;
    bool sinks_share = false;  ///< what is wrong in the row's sum is so for the sinks, too
    BiasBack bias = BiasBack::sum;
};

/// A backward pass with a mistake in it.
struct BackwardDeviation {
    CellQuirks cells;
    gradient::BackwardQuirks steps;
    /// The weights that it recomputes, where they are others than those of the forward pass.
    std::optional<Deviation> recomputed;
};

/// Gradients by their place in Plan::gradients; null where not computed, or not given.
using HeldGradients = std::vector<Held>;

/// The backward pass of a plan in double, whole, with a deviation or without, from numbers of the forward
/// pass and from gradients that are given: the backward pass of lib/gradient, whose stages of queries x keys
/// are held here.
class GradientReplay {
  public:
    /// Of larger plans nothing is computed: all cells are held, of each stage.
    static constexpr Index most_cells = Index{1} << 22;
    static bool is_too_large(const Plan& plan) {
        return !plan.state && plan.batch * plan.heads * plan.queries * plan.keys > most_cells;
    }

    /// `replay` has to outlive it; its plan has a gradient.
    explicit GradientReplay(const Replay& replay);

    const Plan& plan() const { return replay_.plan(); }
    const Replay& replay() const { return replay_; }
    /// The stages of the forward pass that a backward pass reads, with given ones.
    HeldStages forward(const HeldStages& given) const;
    /// \param forward of forward() \param given those that others are made from; gradients of inputs and
    /// parameters are the end of what sends to them \param cells whether to keep those of queries x keys
    HeldGradients run(const BackwardDeviation& deviation, const HeldStages& forward,
                      const HeldGradients& given, bool cells = true) const;
    /// The place of a gradient; nothing: there is none.
    std::optional<std::size_t> place(std::string_view name) const;
    std::array<Index, 4> shape_of(std::size_t place) const;

  private:
    const Replay& replay_;
    mutable gradient::Forward<double> forward_;
};

}  // namespace attn
