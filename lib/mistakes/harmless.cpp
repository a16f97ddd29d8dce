// What differs on the way and changes no weight.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/mistakes/causes.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr double minus_infinite = -std::numeric_limits<double>::infinity();

/// A factor between two stages counts as a number of its own from this on, relative.
constexpr double same_factor = 1e-4;
bool near(double a, double b) { return std::abs(a - b) <= same_factor * std::abs(b); }

class Harmless {
  public:
    Harmless(const Replay& replay, const StageSet& theirs, const HeldStages& ours, const Tolerance& tolerance)
        : plan_(replay.plan()), theirs_(theirs), ours_(ours), tolerance_(tolerance) {}

    std::vector<std::string> found() {
        if (plan_.state) return {};
        bool past_scores = false, equal_after = false, differs = false;
        for (const PlannedStage& s : plan_.stages) {
            const WholeStage* t = find(theirs_, s.stage);
            past_scores = past_scores || s.stage == Stage::weights;
            if (!t || !ours_[s.stage] || t->values.size() != ours_[s.stage]->values.size()) continue;
            const Numbers4& o = *ours_[s.stage];
            if (equal(*t, o)) {
                equal_after = equal_after || past_scores;
                continue;
            }
            differs = true;
            const bool harmless = !past_scores && (s.family == StageShape::query_key ? in_scores(s, *t, o)
                                                                                     : in_sources(s, *t, o));
            if (!harmless) return {};
        }
        if (!differs || !equal_after || !factors_fit()) return {};
        return std::move(said_);
    }

  private:
    bool equal(const WholeStage& t, const Numbers4& o) const {
        for (std::size_t k = 0; k < o.values.size(); ++k)
            if (!is_close(t.values[k], o.values[k], t.slack(k), tolerance_)) return false;
        return true;
    }
    /// The one factor by which theirs are ours, where there is one.
    double factor(const WholeStage& t, const Numbers4& o) const {
        double xy = 0, yy = 0;
        for (std::size_t k = 0; k < o.values.size(); ++k) {
            if (!std::isfinite(o.values[k]) || !std::isfinite(t.values[k]) || hidden(o, k)) continue;
            xy += t.values[k] * o.values[k], yy += o.values[k] * o.values[k];
        }
        return yy > 0 ? xy / yy : 0;
    }
    /// Cells of queries x keys that have no part in the weights.
    bool hidden(const Numbers4& o, std::size_t k) const {
        for (const Stage s : {Stage::masked_scores, Stage::renormalized_weights, Stage::weights}) {
            const Held& x = ours_[s];
            if (!x || x->shape != o.shape || (s == Stage::masked_scores && !plan_.masked)) continue;
            if (x->values[k] == (s == Stage::masked_scores ? minus_infinite : 0)) return true;
        }
        return false;
    }
    std::string times(double by) const {
        return "ours times " + significant(by, 4) +
               (plan_.scaled && near(by, plan_.scale) && !plan_.scale_text.empty() &&
                        plan_.scale_text != significant(plan_.scale, 4)
                    ? " = " + plan_.scale_text
                    : "");
    }

    bool in_sources(const PlannedStage& s, const WholeStage& t, const Numbers4& o) {
        const bool of_queries = s.stage == Stage::queries || s.stage == Stage::normed_queries ||
                                s.stage == Stage::rotated_queries || s.stage == Stage::tempered_queries;
        const bool of_keys = s.stage == Stage::keys || s.stage == Stage::normed_keys ||
                             s.stage == Stage::rotated_keys || s.stage == Stage::all_keys;
        if (!of_queries && !of_keys) return false;
        double& by = of_queries ? by_queries_ : by_keys_;
        const double f = factor(t, o);
        if (f == 0 || (by != 1 && !near(f, by))) return false;
        for (std::size_t k = 0; k < o.values.size(); ++k)
            if (!is_close(t.values[k], f * o.values[k], t.slack(k), tolerance_)) return false;
        by = f;
        said_.push_back(std::string(s.name) + ": not a mistake: theirs are " + times(f) +
                        (of_queries ? ", the scale is in the queries" : ", the scale is in the keys") +
                        ", and the weights are the same");
        return true;
    }

    bool in_scores(const PlannedStage& s, const WholeStage& t, const Numbers4& o) {
        const double f = factor(t, o);
        const bool before_scale =
            s.stage == Stage::scores || (s.stage == Stage::masked_scores && plan_.mask_at == MaskAt::scores);
        const bool scaled = plan_.scaled && before_scale && near(f, plan_.scale) && !near(f, 1);
        double least = std::numeric_limits<double>::infinity(), most = minus_infinite;
        for (std::size_t k = 0; k < o.values.size(); ++k) {
            const double wanted = scaled ? plan_.scale * o.values[k] : o.values[k];
            if (is_close(t.values[k], wanted, t.slack(k), tolerance_)) continue;
            if (!hidden(o, k) || std::isnan(t.values[k])) return false;
            least = std::min(least, t.values[k]), most = std::max(most, t.values[k]);
        }
        if (scaled)
            said_.push_back(std::string(s.name) + ": not a mistake: theirs are " + times(f) +
                            ", scaled already, and the weights are the same");
        if (least > most) return true;
        const std::string range =
            least == most ? significant(least, 6) : significant(least, 4) + " to " + significant(most, 4);
        said_.push_back(std::string(s.name) + ": not a mistake: hidden cells hold " + range +
                        ", and the weights are the same");
        return true;
    }

    /// Factors of queries and keys give those of the scores: 1, or the scale.
    bool factors_fit() const {
        const double made = by_queries_ * by_keys_;
        if (made == 1 || near(made, 1)) return true;
        return plan_.scaled && near(made, plan_.scale);
    }

    const Plan& plan_;
    const StageSet& theirs_;
    const HeldStages& ours_;
    const Tolerance& tolerance_;
    double by_queries_ = 1, by_keys_ = 1;
    std::vector<std::string> said_;
};

}  // namespace

std::vector<std::string> harmless_of(const Replay& replay, const StageSet& theirs, const HeldStages& ours,
                                     const Tolerance& tolerance) {
    return Harmless(replay, theirs, ours, tolerance).found();
}

}  // namespace attn
