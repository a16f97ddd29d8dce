#pragma once
#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "lib/gradient/state_walk.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/plan/stage.hpp"
#include "lib/run/operands.hpp"

namespace attn::gradient {

template <class T>
class Backward;

/// What a norm sends back: without the part along its result, without its weight.
enum class NormBack { right, no_projection, no_weight };
/// The gradient of a matrix: the other way round, of the first batch item alone, the mean over them; or W
/// takes its place in dx = dy Wᵀ.
enum class MatrixBack { right, transposed, first_item, mean_over_batch, in_place_of_weight };

/// Steps of a backward pass that are done otherwise than they should be, but for those of queries x keys. By
/// default none: for those who look for mistakes.
struct BackwardQuirks {
    double entering_times = 1;          ///< of what enters
    bool heads_not_transposed = false;  ///< d_concat [token, head * dim] is read as [head, token, dim]
    bool rope_not_inverted = false;
    NormBack norm = NormBack::right;
    MatrixBack matrix = MatrixBack::right;
    WeightRoles matrices = ~WeightRoles{0};  ///< of which `matrix` is so
    /// Of an input that several projections read, the one whose gradient is left of all.
    std::optional<WeightRole> only_path;
    StateQuirks state;
};

/// A backward pass with other steps, or from numbers that are given.
struct Changes {
    BackwardQuirks quirks;
    /// Gradients of stages that are taken as they are; null: computed. Stages of queries x keys and states
    /// are no matter of this.
    std::array<std::shared_ptr<const Numbers4>, stage_count> given{};
    /// In the place of through_cells().
    std::function<void(Backward<double>&)> cells{};
};

}  // namespace attn::gradient
