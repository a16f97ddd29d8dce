#include "lib/mistakes/blindspots.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/mistakes/seen.hpp"
#include "lib/mistakes/trial.hpp"

namespace attn {
namespace {

constexpr Index most_rows = 48;
constexpr double weak = 1000, float32_rounding = 0x1p-24;
/// Roundings of the largest number that a sum of float32 may be off: mistakes nearer than this are one to
/// diff.
constexpr double same_roundings = 16;

/// The largest difference of two stages, or one above `enough`; infinite where NaN, infinities or widths
/// differ.
double difference(const Numbers4& a, const Numbers4& b,
                  double enough = std::numeric_limits<double>::infinity()) {
    double most = 0;
    for (std::size_t k = 0; k < a.values.size() && k < b.values.size(); ++k) {
        const double x = a.values[k], y = b.values[k];
        if (x == y || (std::isnan(x) && std::isnan(y))) continue;
        const double d = std::abs(x - y);
        if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
        most = std::max(most, d);
        if (most > enough) return most;
    }
    return a.values.size() == b.values.size() ? most : std::numeric_limits<double>::infinity();
}

double largest(const Numbers4& x) {
    double most = 0;
    for (const double v : x.values)
        if (std::isfinite(v)) most = std::max(most, std::abs(v));
    return most;
}

/// What diff says of numbers that are made with a mistake.
struct Told {
    bool differ = false, finite = false, as_rounded = false;
};
Told told_of(const Numbers4& wrong, const Numbers4& right) {
    Distance d;
    const Tolerance tolerance = default_tolerance(Element::float32);
    for (std::size_t k = 0; k < wrong.values.size() && k < right.values.size(); ++k)
        d.add(wrong.values[k], right.values[k], 0, tolerance);
    return {wrong.values.size() != right.values.size() || !d.close(),
            std::any_of(wrong.values.begin(), wrong.values.end(), [](double x) { return std::isfinite(x); }),
            d.looks_rounded()};
}

struct Reason {
    std::string why, cure;
};

/// What a mistake that changes no stage at all is not seen for.
Reason reason_of(const Seen& seen, const Mistake& m) {
    for (const Blind& b : m.row->blind)
        if (!b.holds || b.holds(seen, m)) return {std::string(b.why), std::string(b.cure)};
    return {"no number changes", {}};
}

/// Why weights stay the same although scores change.
Reason why_weights_stay(const Numbers4& w, const Numbers4& right, const Numbers4& wrong) {
    bool by_one_number = true, unweighted = true;
    const Index keys = w.shape[3], rows = static_cast<Index>(w.values.size()) / std::max(keys, Index{1});
    for (Index r = 0; r < rows; ++r) {
        double least = std::numeric_limits<double>::infinity(), most = -least;
        for (auto k = static_cast<std::size_t>(r * keys); k < static_cast<std::size_t>((r + 1) * keys); ++k) {
            const double by = right.values[k] == wrong.values[k] ? 0 : wrong.values[k] - right.values[k];
            if (w.values[k] == 0) continue;
            unweighted = unweighted && by == 0;
            least = std::min(least, by), most = std::max(most, by);
        }
        by_one_number = by_one_number && !(most - least > 1e-9 * (1 + std::abs(most)));
    }
    if (unweighted) return {"only scores of keys without a weight change", "keys with a weight"};
    if (by_one_number)
        return {"all scores of a row change by one number, which the softmax removes",
                "the stages before the weights"};
    return {"the weights come out the same", {}};
}

/// Why a mistake that changes `last` (`right` to `wrong`) does not change the stages after it.
Reason where_it_ends(const Seen& seen, const PlannedStage& last, const Numbers4& right,
                     const Numbers4& wrong) {
    const Numbers4* w = seen.weights();
    const PlannedStage* weights = seen.plan().find(Stage::weights);
    const bool are_cells = has_all_keys(last.family) && has_heads(last.family);
    if (w && &last < weights) {
        if (seen.rows_see_one_key())
            return {"each row sees one key, whose weight is 1 whatever its score",
                    "rows that see two keys or more"};
        if (are_cells && wrong.shape == w->shape && right.shape == w->shape)
            return why_weights_stay(*w, right, wrong);
        return {"the scores come out the same", {}};
    }
    if (w && are_cells && seen.keys_have_equal_values())
        return {"all keys have the same values", "values that differ"};
    return {"the stages after " + std::string(last.name) + " come out the same", {}};
}

struct Made {
    const Mistake* mistake;
    std::vector<Held> last;  ///< of each form
};

}  // namespace

std::string_view name_of(Sight sight) {
    switch (sight) {
        case Sight::shown:
            return "shown";
        case Sight::weakly:
            return "weakly";
        case Sight::unseen:
            return "unseen";
        case Sight::no_place:
            return "no place";
    }
    return {};
}

Blindspots blindspots_of(const Plan& plan) {
    const Replay replay(plan);
    const Plan& p = replay.plan();
    Slice slice;
    if (p.queries > most_rows && !p.state)
        for (Index i = 0; i < most_rows; ++i) slice.rows.push_back(i * (p.queries - 1) / (most_rows - 1));
    const HeldStages base = replay.run(replay.none(), {}, slice);
    const PlannedStage* last = nullptr;
    for (const PlannedStage& s : p.stages)
        if (!info_of(s.stage).on_request && base[s.stage]) last = &s;
    const Numbers4& right = *base[last->stage];
    const double size = std::max(largest(right), 1e-30);
    const double unit = size * float32_rounding;
    // In double: what is less than this is the rounding of another order of sums.
    const double nothing = 1e-11 * size;

    Blindspots out;
    out.stage = last->name;
    const Catalogue catalogue = catalogue_of(replay);
    const Seen seen(replay, base);
    std::vector<Made> made;
    for (const Mistake& m : catalogue.mistakes) {
        Blindspot spot;
        spot.id = m.id;
        Made numbers{&m, {}};
        bool told = false, finite = false;
        std::vector<Held> changed(p.stages.size());  // by a form that does not reach the last stage
        for (const Form& f : m.forms) {
            Deviation d = replay.none();
            f.make(d);
            const HeldStages held = replay.run(d, {}, slice);
            const Numbers4& wrong = *held[last->stage];
            const double by = difference(wrong, right);
            for (std::size_t k = 0; k < p.stages.size() && by <= nothing; ++k) {
                const Stage s = p.stages[k].stage;
                if (base[s] && held[s] && !info_of(s).on_request && difference(*held[s], *base[s]) > nothing)
                    changed[k] = held[s];
            }
            if (by > nothing) numbers.last.push_back(held[last->stage]);
            const Told t = told_of(wrong, right);
            told = told || (t.differ && (!m.is_rounding() || t.as_rounded));
            finite = finite || (t.differ && t.finite);
            spot.difference = std::max(spot.difference, by);
        }
        spot.roundings = spot.difference / unit;
        if (spot.difference <= nothing) {
            spot.sight = Sight::unseen;
            spot.difference = spot.roundings = 0;
            Reason reason = reason_of(seen, m);
            for (std::size_t k = 0; k < p.stages.size(); ++k) {
                if (!changed[k]) continue;
                const PlannedStage& s = p.stages[k];
                spot.stages.emplace_back(s.name);
                reason = where_it_ends(seen, s, *base[s.stage], *changed[k]);
            }
            spot.why = std::move(reason.why);
            spot.cure = std::move(reason.cure);
        } else if (spot.roundings < weak || !told || !finite) {
            spot.sight = Sight::weakly;
            if (!told)
                spot.why = m.is_rounding() ? "too few numbers change to be taken for rounding"
                                           : "it is less than diff lets pass";
            else if (!finite)
                spot.why = "no number is finite: that something is wrong is seen, not what";
        }
        if (spot.sight != Sight::shown && spot.cure.empty()) spot.cure = m.row->cure;
        out.mistakes.push_back(std::move(spot));
        made.push_back(std::move(numbers));
    }
    // Two mistakes are one where some way of making each gives the same numbers to float32: an eps beside a
    // norm is all that keeps them apart.
    out.nearest = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < made.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            double apart = std::numeric_limits<double>::infinity();
            bool same = false;
            for (const Held& a : made[i].last)
                for (const Held& b : made[j].last) {
                    // Right numbers may all be 0 where wrong ones are not.
                    const double alike = same_roundings * std::max(unit, largest(*a) * float32_rounding);
                    const double d = difference(*a, *b, std::max(alike, std::min(apart, out.nearest)));
                    apart = std::min(apart, d);
                    same = same || d <= alike;
                }
            if (same) {
                out.mistakes[i].same_as.push_back(made[j].mistake->id);
            } else if (apart < out.nearest && !made[i].mistake->is_rounding() &&
                       !made[j].mistake->is_rounding()) {
                out.nearest = apart;
                out.one = made[j].mistake->id;
                out.other = made[i].mistake->id;
            }
        }
    for (const Inapplicable& o : catalogue.others) {
        Blindspot spot;
        spot.id = o.row->id;
        spot.sight = Sight::no_place;
        spot.why = o.why;
        spot.cure = o.row->cure;
        out.mistakes.push_back(std::move(spot));
    }
    return out;
}

}  // namespace attn
