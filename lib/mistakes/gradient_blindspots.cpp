// What an input shows of the mistakes of a backward pass.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/mistakes/blindspots.hpp"
#include "lib/mistakes/gradient_mistakes.hpp"

namespace attn {
namespace {

constexpr double rounding_of_float32 = 5.9604644775390625e-08;
/// Fewer roundings than this are weak, and so many are the same number.
constexpr double weak_roundings = 1000, alike_roundings = 4;

/// How far gradients are apart, each in roundings of its largest number, or of the largest of all where that
/// is below 1.
class Apart {
  public:
    explicit Apart(const HeldGradients& right) {
        double all = 0;
        for (const Held& g : right)
            if (g) all = std::max(all, largest_of(g->values));
        for (const Held& g : right)
            units_.push_back(rounding_of_float32 *
                             std::max({g ? largest_of(g->values) : 0, std::min(all, 1.0), 1e-30}));
    }

    /// Of gradient k alone; infinite where only one is finite.
    double roundings(std::size_t k, const Held& a, const Held& b) const {
        if (!a || !b) return 0;
        return difference(a, b) / units_[k];
    }
    static double difference(const Held& a, const Held& b) {
        double most = 0;
        for (std::size_t i = 0; i < a->values.size(); ++i) {
            const double x = a->values[i], y = b->values[i];
            if (x == y || (std::isnan(x) && std::isnan(y))) continue;
            const double d = std::abs(x - y);
            most = std::isfinite(d) ? std::max(most, d) : std::numeric_limits<double>::infinity();
        }
        return most;
    }
    double roundings(const HeldGradients& a, const HeldGradients& b) const {
        double most = 0;
        for (std::size_t k = 0; k < a.size(); ++k) most = std::max(most, roundings(k, a[k], b[k]));
        return most;
    }

  private:
    std::vector<double> units_;
};

/// Numbers of no pattern in the place of what enters at the result.
HeldGradients entering_otherwise(const GradientReplay& backward) {
    const Plan& plan = backward.plan();
    HeldGradients out(plan.gradients.size());
    const auto place = backward.place("d_" + std::string(info_of(plan.gradient->result).name));
    auto numbers = std::make_shared<Numbers4>(backward.shape_of(*place));
    double k = 0;
    for (double& d : numbers->values) {
        d = std::sin(k * k + 0.7);
        ++k;
    }
    out[*place] = std::move(numbers);
    return out;
}

}  // namespace

Blindspots gradient_blindspots_of(const Plan& plan) {
    Blindspots out;
    out.stage = "gradients";
    out.nearest = std::numeric_limits<double>::infinity();
    if (GradientReplay::is_too_large(plan)) return out;
    const Replay replay(plan);
    const GradientReplay backward(replay);
    const HeldStages forward = backward.forward({});
    const HeldGradients right = backward.run({}, forward, {});
    const Apart apart(right);
    const auto is_seen_otherwise = [&](const GradientMistakeRow& row) {
        const HeldGradients given = entering_otherwise(backward);
        const HeldGradients other = backward.run({}, forward, given);
        const GradientForms forms = row.make(replay);
        return std::any_of(forms.begin(), forms.end(), [&](const GradientForm& form) {
            BackwardDeviation d;
            form.make(d);
            return Apart(other).roundings(backward.run(d, forward, given), other) >= weak_roundings;
        });
    };
    struct Made {
        std::size_t spot;
        std::vector<HeldGradients> ways;
    };
    std::vector<Made> made;
    for (const GradientMistakeRow& row : all_gradient_mistakes()) {
        if (std::string why = row.applies(replay); !why.empty()) {
            Blindspot spot;
            spot.id = row.id;
            spot.sight = Sight::no_place;
            spot.why = std::move(why);
            out.mistakes.push_back(std::move(spot));
            continue;
        }
        for (const GradientForm& form : row.make(replay)) {
            const std::string id = std::string(row.id) + form.of;
            auto at = std::find_if(made.begin(), made.end(),
                                   [&](const Made& m) { return out.mistakes[m.spot].id == id; });
            if (at == made.end()) {
                out.mistakes.emplace_back().id = id;
                made.push_back({out.mistakes.size() - 1, {}});
                at = made.end() - 1;
            }
            BackwardDeviation d;
            form.make(d);
            HeldGradients wrong = backward.run(d, forward, {});
            Blindspot& spot = out.mistakes[at->spot];
            spot.roundings = std::max(spot.roundings, apart.roundings(wrong, right));
            for (std::size_t k = 0; k < wrong.size(); ++k)
                if (wrong[k])
                    spot.difference = std::max(spot.difference, Apart::difference(wrong[k], right[k]));
            at->ways.push_back(std::move(wrong));
        }
        for (Made& m : made) {
            Blindspot& spot = out.mistakes[m.spot];
            if (!spot.id.starts_with(row.id)) continue;
            // In double: less than this is another order of sums.
            if (spot.roundings < 1e-4) {
                spot.sight = Sight::unseen;
                spot.difference = spot.roundings = 0;
                spot.why = row.blind.empty() ? "no number changes" : std::string(row.blind);
                if (plan.gradient->loss == Loss::sum && is_seen_otherwise(row)) {
                    spot.why = "ones enter, so that each query sends back the same";
                    spot.cure = "a gradient whose rows differ";
                }
            } else if (spot.roundings < weak_roundings) {
                spot.sight = Sight::weakly;
            }
        }
    }
    for (std::size_t i = 0; i < made.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            Blindspot &late = out.mistakes[made[i].spot], &early = out.mistakes[made[j].spot];
            if (late.sight == Sight::unseen || early.sight == Sight::unseen) continue;
            double least = std::numeric_limits<double>::infinity();
            for (const HeldGradients& a : made[i].ways)
                for (const HeldGradients& b : made[j].ways) least = std::min(least, apart.roundings(a, b));
            if (least <= alike_roundings) {
                late.same_as.push_back(early.id);
            } else if (least * rounding_of_float32 < out.nearest) {
                out.nearest = least * rounding_of_float32;
                out.one = early.id;
                out.other = late.id;
            }
        }
    return out;
}

}  // namespace attn
