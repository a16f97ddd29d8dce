#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/mistakes/causes.hpp"
#include "lib/replay/gradient_replay.hpp"

namespace attn {

/// One way in which a mistake of a backward pass can be made.
struct GradientForm {
    std::string detail;  ///< which one, where there are several: "the last head's alone"
    std::function<void(BackwardDeviation&)> make;
    std::string of = {};  ///< ":W_query": forms of a row with different names are different mistakes
    std::optional<Measurement> measured = {};
};
using GradientForms = std::vector<GradientForm>;

/// A row of the table of known mistakes of backward passes.
struct GradientMistakeRow {
    std::string_view id;
    std::string_view did;    ///< what was done
    std::string_view sign;   ///< how it shows in the numbers
    std::string_view line;   ///< the line as it should be, in PyTorch's words
    std::string_view blind;  ///< where an input does not show it
    /// Why it cannot be made with a plan; empty: it can.
    std::string (*applies)(const Replay& replay);
    GradientForms (*make)(const Replay& replay);
};

/// THE TABLE of mistakes of backward passes. Where two cannot be told apart the first is named first.
std::span<const GradientMistakeRow> all_gradient_mistakes();

/// The parts of the table: what happens to queries x keys, and everything else.
std::span<const GradientMistakeRow> gradient_rows_of_cells();
std::span<const GradientMistakeRow> gradient_rows_of_steps();

/// A factor of everything that enters.
GradientForm entering_times(double factor, const Plan& plan);

/// The mistakes of a backward pass that give somebody's gradients, from their stages of the forward pass.
/// Nothing is named for numbers that are equal within the tolerance.
CauseReport find_gradient_causes(const Plan& plan, const StageSet& theirs, const StageSet& gradients,
                                 const Tolerance& tolerance);

/// What has to hold between gradients and does not in theirs, in words; where no mistake is known.
std::vector<std::string> broken_laws(const GradientReplay& replay, const HeldStages& forward,
                                     const HeldGradients& theirs, const HeldGradients& ours);

}  // namespace attn
