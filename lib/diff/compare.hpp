#pragma once
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/diff/where.hpp"
#include "lib/theirs/align.hpp"
#include "lib/theirs/names.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// What is known of our side: a run, or a trace.
struct Ours {
    StageSet stages;
    std::vector<Stage> order;  ///< in the order of the calculation
    StageSet gradients{};      ///< in the order of the backward pass
    Element type = Element::float32;
    Index heads = 1;  ///< of queries: half heads where there are such
    /// Those whose contexts stand side by side.
    Index joined_heads() const { return axes.pairing ? std::max<Index>(heads / 2, 1) : heads; }
    bool decimals =
        false;  ///< of a text that does not say its type: they read back in that of the other side
    std::vector<const GivenArray*> others;  ///< of a file: arrays that no stage is called by
    Selection selection;                    ///< what a trace that is a part holds
    TraceAxes axes;
};

/// One stage, theirs beside ours.
struct StageComparison {
    std::optional<Stage> stage;  ///< nothing: an array that both sides call alike, and no stage is called so
    bool is_gradient = false;    ///< called `name`; `stage` is nothing
    std::string name;
    std::vector<std::string> axes;  ///< names of `shape`; empty: not known
    bool present = false;           ///< theirs has it
    bool missing = false;           ///< ours does not
    bool fits = true;               ///< no order of axes makes their shape ours
    bool equal = false;
    Shape shape, their_shape;  ///< ours by its own axes; theirs as it was found
    double largest = 0;        ///< |theirs - ours|; NaN or infinite where only one is such a number
    Shape at;                  ///< of the largest difference, by the stage's own axes
    double theirs = 0, ours = 0;
    Shape first_at;  ///< of the first number that is not close, row-major; empty: all are
    double first_theirs = 0, first_ours = 0;
    Where where;  ///< which rows, heads, columns, items differ
    std::optional<Element> their_type;
    std::optional<double> needed_atol;  ///< the smallest with which it passes, rtol as it is; nothing: none
    std::optional<double> needed_ulp;
    Index outside = 0, count = 0;   ///< numbers that are not close; all
    std::optional<bool> new_error;  ///< false: it follows from their stages before it; nothing: not known
    bool by_cause = false;          ///< it does not, and a mistake that is named makes it (no new error)
    bool again = false;             ///< equal, though a stage before it differs
    int digits = 0;                 ///< theirs were printed with so many; 0: in full
};

struct Comparison {
    std::string name;            ///< the layer; empty: the only one
    std::optional<Index> layer;  ///< its number
    Tolerance tolerance;
    std::vector<StageComparison> stages;    ///< in our order; then those that ours does not have, and others
    std::optional<std::size_t> first;       ///< of `stages`: the first that differs
    StageSet theirs, their_gradients;       ///< aligned
    std::vector<std::string> not_compared;  ///< names of theirs, each with what may be meant: a difference
    std::vector<std::string> notes;
    bool equal() const { return !first && not_compared.empty(); }
};

/// A stage, or a gradient, computed from their stages and gradients before it: nothing where it cannot be.
struct Replayers {
    std::function<std::optional<WholeStage>(Stage stage, const StageSet& theirs)> stage{};
    std::function<std::optional<WholeStage>(const std::string& gradient, const StageSet& theirs,
                                            const StageSet& gradients)>
        gradient{};
};

struct CompareOptions {
    std::optional<double> atol, rtol;  ///< default: by the coarser type of both sides
    std::optional<int> ulp;
    Layout layout = Layout::unknown;
    std::vector<std::string> only;  ///< stages; a lone array is the last of them that it fits
    bool ignore_unknown = false;    ///< names of theirs that are not compared do not count
};

/// Compares a layer with ours; the numbers of `theirs` are used up. Weights that are one matrix for all heads
/// are compared with the mean of ours over heads (`mean_weights`); an array that no stage is called by, with
/// ours of the same name. \throws Error (exit 3): nothing in common
Comparison compare(const Layer& theirs, const Ours& ours, const CompareOptions& options);

/// Marks each stage that differs as a new error or one that is inherited: it is computed from their stages
/// before it. Without `replay` only the first is known.
void judge_errors(Comparison& comparison, const Ours& ours, const Replayers& replay);

}  // namespace attn
