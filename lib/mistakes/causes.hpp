#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/mistakes/mistakes.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// A known mistake, or two together, that reproduces what differs.
struct Cause {
    std::string id;                 ///< of the table: "no_scale", "weight_transposed:W_query"
    std::vector<std::string> fits;  ///< the stages that differ and are reproduced
    std::string hint;               ///< what was done, and the line to look at
    std::vector<std::string> with;  ///< the other mistake, where two are needed
    std::optional<Measurement> measured = {};
    /// The lines of code to look at, of this mistake and of the other, as `system` writes them: say_where().
    std::vector<std::string> look_at = {};
    std::string system = {};  ///< "Transformers"
};

struct CauseReport {
    std::vector<Cause> causes;  ///< those that fit best; several where the input cannot tell them apart
    int tried = 0;              ///< mistakes and pairs
    std::vector<std::string> findings;  ///< what the numbers show, and what differs and is not a mistake
};

struct CauseOptions {
    bool pairs = true;
};

/// Tries every known mistake on a plan, alone and then in pairs: which of them gives their numbers? Nothing
/// is named for numbers that are equal within the tolerance. Stages of other shapes than planned are left
/// out. Memory grows with the numbers given and the keys, not with queries x keys.
CauseReport find_causes(const Plan& plan, const StageSet& theirs, const Tolerance& tolerance,
                        const CauseOptions& options = {});

/// What differs and is not a mistake, in words: the scale in the queries or the keys, anything in hidden
/// cells of scores, where all later stages are equal. Empty where that is not all. `ours`: all stages of the
/// replay.
std::vector<std::string> harmless_of(const Replay& replay, const StageSet& theirs, const HeldStages& ours,
                                     const Tolerance& tolerance);

/// What their numbers show by themselves and beside ours: sums of rows, NaN rows, a constant ratio, a
/// permutation, a pattern of zeros, an error of rounding, a mistyped number. `ours`: the same stages.
std::vector<std::string> findings_of(const StageSet& theirs, const StageSet& ours,
                                     const Tolerance& tolerance);

}  // namespace attn
