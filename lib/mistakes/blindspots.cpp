#include "lib/mistakes/blindspots.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attn {
namespace {

constexpr Index most_rows = 48;
constexpr double weak = 1000, float32_rounding = 0x1p-24;

/// The largest difference of two stages; infinite where NaN, infinities or widths differ.
double difference(const Numbers4& a, const Numbers4& b) {
    double most = 0;
    for (std::size_t k = 0; k < a.values.size() && k < b.values.size(); ++k) {
        const double x = a.values[k], y = b.values[k];
        if (x == y || (std::isnan(x) && std::isnan(y))) continue;
        const double d = std::abs(x - y);
        if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
        most = std::max(most, d);
    }
    return a.values.size() == b.values.size() ? most : std::numeric_limits<double>::infinity();
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
        if (s.stage != Stage::states && s.stage != Stage::head_outputs && base[s.stage]) last = &s;
    const Numbers4& right = *base[last->stage];
    double largest = 0;
    for (const double x : right.values)
        if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
    const double unit = std::max(largest, 1e-30) * float32_rounding;
    // In double: what is less than this is the rounding of another order of sums.
    const double nothing = 1e-11 * std::max(largest, 1e-30);

    Blindspots out;
    out.stage = last->name;
    const Catalogue catalogue = catalogue_of(replay);
    std::vector<Made> made;
    for (const Mistake& m : catalogue.mistakes) {
        Blindspot spot;
        spot.id = m.id;
        Made numbers{&m, {}};
        for (const Form& f : m.forms) {
            Deviation d = replay.none();
            f.make(d);
            const HeldStages held = replay.run(d, {}, slice);
            const double by = difference(*held[last->stage], right);
            if (by <= nothing && spot.stages.empty() && &f == &m.forms.front())
                for (const PlannedStage& s : p.stages)
                    if (base[s.stage] && held[s.stage] && s.stage != Stage::head_outputs &&
                        difference(*held[s.stage], *base[s.stage]) > nothing)
                        spot.stages.emplace_back(s.name);
            if (by > nothing) numbers.last.push_back(held[last->stage]);
            spot.difference = std::max(spot.difference, by);
        }
        spot.roundings = spot.difference / unit;
        if (spot.difference <= nothing) {
            spot.sight = Sight::unseen;
            spot.difference = spot.roundings = 0;
        } else {
            spot.stages.clear();
            if (spot.roundings < weak) spot.sight = Sight::weakly;
        }
        if (spot.sight != Sight::shown) {
            spot.why = m.row->blind;
            spot.cure = m.row->cure;
        }
        out.mistakes.push_back(std::move(spot));
        made.push_back(std::move(numbers));
    }
    // Two mistakes are one where some way of making each gives the same numbers.
    out.nearest = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < made.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            double apart = std::numeric_limits<double>::infinity();
            for (const Held& a : made[i].last)
                for (const Held& b : made[j].last) apart = std::min(apart, difference(*a, *b));
            if (apart <= nothing) {
                out.mistakes[i].same_as.push_back(made[j].mistake->id);
            } else if (apart < out.nearest && made[i].mistake->row->id != "rounded" &&
                       made[j].mistake->row->id != "rounded") {
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
