#include "lib/mistakes/rounding_seen.hpp"

#include <cmath>
#include <optional>

#include "lib/mistakes/forms.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Numbers of queries x keys that are held at once.
constexpr Index most_held_cells = Index{1} << 22;
/// A place of rounding is named where it leaves at most this share of theirs unexplained, and of what ours
/// leaves.
constexpr double left_of_all = 0.03, left_of_ours = 0.25;
/// Fewer numbers of the type than this are chance: theirs were not rounded to it.
constexpr double rounded_share = 0.9;

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

class Bits {
  public:
    Bits(const Replay& replay, const StageSet& theirs) : replay_(replay) {
        for (const PlannedStage& s : replay.plan().stages) {
            const WholeStage* t = find(theirs, s.stage);
            const auto shape = replay.shape_of(s);
            if (!t || static_cast<Index>(t->values.size()) != shape[0] * shape[1] * shape[2] * shape[3])
                continue;
            stages_.push_back(t);
            all_ += static_cast<Index>(t->values.size());
        }
    }
    Index all() const { return all_; }
    /// How many of theirs a run gives.
    Index given_by(const Deviation& deviation) const {
        const HeldStages made = replay_.run(deviation, {}, {});
        Index out = 0;
        for (const WholeStage* t : stages_) {
            const Held& ours = made[t->stage];
            for (std::size_t k = 0; ours && k < t->values.size(); ++k)
                out += same(t->values[k], ours->values[k]) ? 1 : 0;
        }
        return out;
    }
    /// The first of their stages whose numbers are not those of the type.
    const WholeStage* not_rounded() const {
        for (const WholeStage* t : stages_) {
            double are = 0;
            for (const double v : t->values) are += same(replay_.plan().rounding(v), v) ? 1 : 0;
            if (are < rounded_share * static_cast<double>(t->values.size())) return t;
        }
        return nullptr;
    }

  private:
    const Replay& replay_;
    std::vector<const WholeStage*> stages_;
    Index all_ = 0;
};

}  // namespace

std::string rounding_seen(const Plan& plan, const StageSet& theirs) {
    if (!plan.rounding.changes() || plan.batch * plan.heads * plan.queries * plan.keys > most_held_cells)
        return {};
    const Replay replay(plan);
    const Bits bits(replay, theirs);
    const std::string type = name_of(plan.dtype);
    if (const WholeStage* t = bits.not_rounded())
        return std::string(t->name()) + ": theirs are not numbers of " + type +
               ": they were computed, or kept, in another type";
    const Index ours = bits.given_by(replay.none());
    if (ours == bits.all()) return {};
    const auto share = [&](Index n) { return std::to_string(n) + " of " + std::to_string(bits.all()); };
    std::string out = share(ours) + " numbers of theirs are ours to the last bit of " + type;
    const Form* best = nullptr;
    Index most = ours;
    const Forms forms = make::kept_in_float32(replay);
    for (const Form& form : forms) {
        Deviation d = replay.none();
        form.make(d);
        const Index given = bits.given_by(d);
        if (given > most) {
            most = given;
            best = &form;
        }
    }
    const auto left = [&](Index n) { return static_cast<double>(bits.all() - n); };
    if (best && left(most) <= left_of_all * static_cast<double>(bits.all()) &&
        left(most) <= left_of_ours * left(ours))
        return out + ", " + share(most) + " where stages are kept in float32 (" + best->detail +
               "): kept_in_float32" + best->of;
    return out;
}

}  // namespace attn
