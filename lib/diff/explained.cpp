#include "lib/diff/explained.hpp"

#include <algorithm>

namespace attn {

void mark_explained(Comparison& comparison, const CauseReport& report) {
    if (report.causes.empty()) return;
    for (StageComparison& s : comparison.stages) {
        if (s.equal || !s.new_error.value_or(false)) continue;
        // The first stage that a cause makes is where the error is.
        s.by_cause = std::all_of(report.causes.begin(), report.causes.end(), [&](const Cause& c) {
            const auto found = std::find(c.fits.begin(), c.fits.end(), s.name);
            return found != c.fits.end() && found != c.fits.begin();
        });
        if (s.by_cause) s.new_error = false;
    }
}

}  // namespace attn
