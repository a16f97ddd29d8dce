// Rotary embeddings whose rates were measured from rotated queries and keys: which mistake makes them.
#include <algorithm>
#include <cmath>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/measures.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// What measured rates are: the row they belong to, and in which way.
struct Found {
    std::string_view id;
    std::string detail;
    std::optional<Measurement> measured;
    std::vector<RotaryRule> rules;  ///< the likely numbers, then those that were measured
};

class Judge {
  public:
    Judge(const Replay& replay, const RotaryRule& theirs, double slack)
        : ours_(*rule_of(replay)), theirs_(theirs), slack_(slack), is_scaled_(!ours_.base) {
        for (const double p : ours_.keys.numbers) is_scaled_ = is_scaled_ || p != std::floor(p);
    }

    std::optional<Found> found() const {
        const bool same_factor = std::abs(theirs_.amplitude - ours_.amplitude) < 1e-5 * ours_.amplitude;
        if (same(theirs_.rates, ours_.rates)) {
            if (same_factor) return std::nullopt;
            return of_factor();
        }
        if (auto by = one_ratio()) return of_ratio(*by);
        if (theirs_.base) return of_base(*theirs_.base);
        if (auto f = of_exponents()) return f;
        return of_factors();
    }

  private:
    bool same(const std::vector<double>& a, const std::vector<double>& b) const {
        for (std::size_t n = 0; n < a.size(); ++n)
            if (!(std::abs(a[n] - b[n]) <= slack_ + 1e-4 * std::max(std::abs(a[n]), std::abs(b[n]))))
                return false;
        return true;
    }
    RotaryRule with(std::vector<double> rates, std::optional<double> base = {}) const {
        RotaryRule out = theirs_;
        out.rates = std::move(rates);
        out.base = base;
        return out;
    }
    std::vector<double> ours_times(double by) const {
        std::vector<double> out = ours_.rates;
        for (double& x : out) x *= by;
        return out;
    }
    /// The one number that theirs are ours times, above 0.
    std::optional<double> one_ratio() const {
        const double by = theirs_.rates[0] / ours_.rates[0];
        if (!(by > 0) || !std::isfinite(by) || std::abs(ours_.rates[0]) < 1e2 * slack_) return std::nullopt;
        if (!same(theirs_.rates, ours_times(by))) return std::nullopt;
        return by;
    }

    Found of_factor() const {
        RotaryRule rule = theirs_;
        rule.rates = ours_.rates;
        rule.base = ours_.base;
        const double by = theirs_.amplitude / ours_.amplitude;
        const std::string detail = std::abs(theirs_.amplitude - 1) < 1e-5             ? "left out"
                                   : std::abs(by - ours_.amplitude) < 1e-4 && by != 1 ? "applied twice"
                                   : ours_.amplitude == 1 ? "applied where there is none"
                                                          : "";
        return {"rope_factor",
                detail,
                Measurement{"factor of cosines and sines", {theirs_.amplitude}, {ours_.amplitude}},
                {rule}};
    }

    Found of_ratio(double by) const {
        const auto dims = static_cast<double>(ours_.dims());
        // An exponent that begins one off multiplies all rates by one number too.
        if (ours_.base && !is_scaled_) {
            const double off = -std::log(by) * dims / std::log(*ours_.base), whole = std::round(off);
            const double twos = std::log2(1 / by);
            const bool of_scaling = std::abs(twos - std::round(twos)) < 1e-3;
            if (!of_scaling && std::abs(off - whole) < 1e-3 && whole != 0 && std::abs(whole) <= 2)
                return exponents(2, whole);
        }
        const double round = by < 1 ? 1 / std::round(1 / by) : std::round(by);
        const double likely = std::abs(by - round) < 1e-3 * by ? round : by;
        std::string words;
        if (!is_scaled_) {
            words = by < 1 ? "applied where there is none: positions divided by " + significant(1 / likely, 5)
                           : "inverted: positions multiplied by " + significant(likely, 5);
        } else {
            const double own = own_step();
            words = std::abs(by * own - 1) < 1e-3         ? "left out"
                    : std::abs(by / own - 1) < 1e-3       ? "applied twice"
                    : std::abs(by * own * own - 1) < 1e-3 ? "inverted"
                                                          : "by another factor";
        }
        return {"rope_scaling",
                words,
                Measurement{"frequencies over ours", {likely}, {1}},
                {with(ours_times(likely)), theirs_}};
    }
    /// What the positions, or the frequencies, are multiplied by.
    double own_step() const {
        std::vector<double> places = ours_.keys.numbers;
        std::sort(places.begin(), places.end());
        for (std::size_t k = 1; k < places.size(); ++k)
            if (const double step = places[k] - places[k - 1]; step > 0 && step < 1) return step;
        return ours_.rates[0];
    }

    Found of_base(double base) const {
        Found out{"rope_base", "", {}, {with(rates_of_base(base, ours_.dims()), base), theirs_}};
        out.rules.back().base.reset();
        const auto known = known_bases();
        if (!ours_.base) {
            out.id = "rope_scaling";
            out.detail = "left out";
            out.measured =
                Measurement{"frequencies", theirs_.rates, ours_.rates, "base " + significant(base, 6)};
            return out;
        }
        const double steps = 2 * std::log(base) / std::log(*ours_.base);
        if (std::find(known.begin(), known.end(), base) == known.end() &&
            (std::abs(steps - 1) < 1e-3 || std::abs(steps - 4) < 1e-3)) {
            Found exponent = exponents(std::round(steps), 0);
            return exponent;
        }
        out.measured = Measurement{"base", {base}, {*ours_.base}};
        return out;
    }

    /// base^(-(slope n + from) / dims).
    Found exponents(double slope, double from) const {
        std::vector<double> rates;
        for (std::size_t n = 0; n < ours_.rates.size(); ++n)
            rates.push_back(std::pow(
                *ours_.base, -(slope * static_cast<double>(n) + from) / static_cast<double>(ours_.dims())));
        const std::string times = slope == 1 ? "n" : significant(slope, 3) + "n";
        const std::string more = from == 0  ? ""
                                 : from > 0 ? " + " + significant(from, 3)
                                            : " - " + significant(-from, 3);
        return {"rope_exponent",
                "base^(-(" + times + more + ")/dims)",
                Measurement{"frequencies", theirs_.rates, ours_.rates},
                {with(std::move(rates)), theirs_}};
    }
    /// Exponents in equal steps: from the two fastest pairs.
    std::optional<Found> of_exponents() const {
        if (!ours_.base || ours_.rates.size() < 3) return std::nullopt;
        const auto dims = static_cast<double>(ours_.dims());
        const auto exponent = [&](std::size_t n) {
            return -std::log(theirs_.rates[n]) * dims / std::log(*ours_.base);
        };
        if (!(theirs_.rates[0] > 0) || !(theirs_.rates[1] > 1e2 * slack_)) return std::nullopt;
        const double from = exponent(0), slope = exponent(1) - from;
        const auto near_whole = [](double x) {
            return std::abs(x - std::round(x)) < 1e-2 ? std::round(x) : x;
        };
        Found out = exponents(near_whole(slope), near_whole(from));
        if (!same(out.rules.front().rates, theirs_.rates) || slope < 0) return std::nullopt;
        return out;
    }

    /// A factor for each pair: a scaling of llama3's or yarn's kind.
    std::optional<Found> of_factors() const {
        std::vector<double> ratios;
        for (std::size_t n = 0; n < ours_.rates.size(); ++n) {
            if (ours_.rates[n] <= slack_ || theirs_.rates[n] <= 0) return std::nullopt;
            ratios.push_back(theirs_.rates[n] / ours_.rates[n]);
        }
        const auto room = [&](std::size_t n) { return 1e-3 + slack_ / ours_.rates[n]; };
        bool falls = ratios[0] <= 1 + room(0), rises = ratios[0] >= 1 - room(0);
        for (std::size_t n = 1; n < ratios.size(); ++n) {
            falls = falls && ratios[n] <= ratios[n - 1] * (1 + room(n) + room(n - 1));
            rises = rises && ratios[n] >= ratios[n - 1] * (1 - room(n) - room(n - 1));
        }
        if (!falls && !rises) return std::nullopt;
        const std::string range = ", factors of the pairs from " + significant(ratios.front(), 3) + " to " +
                                  significant(ratios.back(), 3);
        const std::string words = ours_.base
                                      ? falls ? "applied where there is none" + range : "inverted" + range
                                  : falls ? "applied twice, or by more" + range
                                          : "applied by less, or inverted" + range;
        return Found{
            "rope_scaling", words, Measurement{"frequencies", theirs_.rates, ours_.rates}, {theirs_}};
    }

    RotaryRule ours_;
    const RotaryRule& theirs_;
    double slack_;
    bool is_scaled_;
};

/// The forms of one row; none where the numbers are those of another.
std::optional<Forms> measured_as(std::string_view id, const Replay& r, const Measures& m) {
    if (!m.rope()) return std::nullopt;
    Forms out;
    const std::optional<Found> found = Judge(r, *m.rope(), m.rate_slack()).found();
    if (!found || found->id != id) return out;
    for (const RotaryRule& rule : found->rules)
        out.push_back({found->detail,
                       Stage::rope_keys,
                       false,
                       [rule](Deviation& d) { follow(*d.plan.rope, rule); },
                       {},
                       {},
                       false,
                       found->measured});
    return out;
}

}  // namespace

namespace make {

std::optional<Forms> rope_base_measured(const Replay& r, const Measures& m) {
    return measured_as("rope_base", r, m);
}
std::optional<Forms> rope_scaling_measured(const Replay& r, const Measures& m) {
    return measured_as("rope_scaling", r, m);
}
std::optional<Forms> rope_factor_measured(const Replay& r, const Measures& m) {
    return measured_as("rope_factor", r, m);
}
std::optional<Forms> rope_exponent_measured(const Replay& r, const Measures& m) {
    return measured_as("rope_exponent", r, m);
}

}  // namespace make
}  // namespace attn
