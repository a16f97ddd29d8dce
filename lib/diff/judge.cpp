// Which errors are new, and which follow from those before them.
#include <algorithm>

#include "lib/diff/compare.hpp"

namespace attn {
namespace {

/// Whether theirs is what comes out of theirs before it.
bool follows(const WholeStage& theirs, const WholeStage& expected, const Tolerance& tolerance) {
    // What was rounded before it went into a stage is some half units off in it.
    constexpr double carried = 10;
    for (std::size_t i = 0; i < expected.values.size(); ++i)
        if (!is_close(theirs.values[i], expected.values[i], carried * theirs.slack(i), tolerance))
            return false;
    return true;
}

StageSet before(const StageSet& theirs, const Ours& ours, Stage stage) {
    const auto place = [&](Stage x) { return std::find(ours.order.begin(), ours.order.end(), x); };
    StageSet out;
    for (const WholeStage& s : theirs)
        if (place(s.stage) < place(stage)) out.push_back(s);
    return out;
}

}  // namespace

void judge_errors(Comparison& comparison, const Ours& ours, const Replayers& replay) {
    double largest = 0;
    for (const WholeStage& g : comparison.their_gradients) largest = std::max(largest, largest_of(g.values));
    for (std::size_t k = 0; k < comparison.stages.size(); ++k) {
        StageComparison& c = comparison.stages[k];
        if (!c.present || c.missing) continue;
        if (c.equal || comparison.first == k) {
            c.new_error = !c.equal;
            continue;
        }
        if (!c.fits) continue;
        std::optional<WholeStage> expected;
        const WholeStage* theirs = nullptr;
        Tolerance tolerance = comparison.tolerance;
        if (c.is_gradient && replay.gradient) {
            theirs = find_gradient(comparison.their_gradients, c.name);
            StageSet earlier;
            for (const WholeStage& g : comparison.their_gradients) {
                if (&g == theirs) break;
                earlier.push_back(g);
            }
            expected = replay.gradient(c.name, comparison.theirs, earlier);
            if (expected) tolerance = gradient_tolerance(tolerance, largest_of(expected->values), largest);
        } else if (c.stage && replay.stage) {
            theirs = find(comparison.theirs, *c.stage);
            expected = replay.stage(*c.stage, before(comparison.theirs, ours, *c.stage));
        }
        if (!expected || !theirs || expected->values.size() != theirs->values.size()) continue;
        c.new_error = !follows(*theirs, *expected, tolerance);
    }
}

}  // namespace attn
