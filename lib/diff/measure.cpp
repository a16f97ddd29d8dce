#include "lib/diff/measure.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attn {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double distance_of(double theirs, double ours) {
    if (theirs == ours || (std::isnan(theirs) && std::isnan(ours))) return 0;
    return std::abs(theirs - ours);
}

Shape place_in(const Shape& shape, std::size_t k) {
    Shape at(shape.size());
    auto rest = static_cast<Index>(k);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        at[axis] = rest % shape[axis];
        rest /= shape[axis];
    }
    return at;
}

/// The atol with which two finite numbers pass, as near as arithmetic tells.
double atol_for(double theirs, double ours, double slack, const Tolerance& t) {
    if (is_close(theirs, ours, slack, {0, t.rtol, std::nullopt, t.type})) return 0;
    return std::max(0.0, std::abs(theirs - ours) - t.rtol * std::abs(ours));
}

/// The exact one: with the next smaller number it fails.
double settle_atol(double guess, double theirs, double ours, double slack, const Tolerance& t) {
    const auto passes = [&](double atol) {
        return is_close(theirs, ours, slack, {atol, t.rtol, std::nullopt, t.type});
    };
    while (!passes(guess)) guess = std::nextafter(guess, infinity);
    while (guess > 0 && passes(std::nextafter(guess, 0))) guess = std::nextafter(guess, 0);
    return guess;
}

}  // namespace

void measure(StageComparison& c, const Pair& pair, bool is_square, const Tolerance& t) {
    // NaN is worse than infinite, which is worse than any number; what is outside is worse than what is not.
    const auto rank = [](double d) { return std::isnan(d) ? 2 : std::isinf(d) ? 1 : 0; };
    std::size_t worst = 0, needs = 0;
    double needed = 0, ulp = 0;
    bool worst_outside = false, possible = true;
    c.largest = -1;
    c.count = static_cast<Index>(pair.ours.size());
    std::vector<bool> differs(pair.ours.size());
    for (std::size_t k = 0; k < pair.ours.size(); ++k) {
        const double x = pair.theirs[k], y = pair.ours[k], slack = pair.slack(k);
        const double d = distance_of(x, y);
        const bool outside = !is_close(x, y, slack, t);
        if (outside && c.outside++ == 0) {
            c.first_at = place_in(c.shape, k);
            c.first_theirs = x;
            c.first_ours = y;
        }
        differs[k] = outside;
        const bool worse = outside != worst_outside     ? outside
                           : rank(d) != rank(c.largest) ? rank(d) > rank(c.largest)
                                                        : d > c.largest;
        if (worse) {
            c.largest = d;
            worst = k;
            worst_outside = outside;
        }
        if (!std::isfinite(d)) {
            possible = false;
        } else if (d > 0) {
            const double atol = atol_for(x, y, slack, t);
            if (atol > needed) {
                needed = atol;
                needs = k;
            }
            ulp = std::max(ulp, ulp_distance(x, y, t.type));
        }
    }
    c.equal = c.outside == 0;
    c.largest = std::max(c.largest, 0.0);
    c.needed_atol = c.needed_ulp = possible ? std::optional<double>(0) : std::nullopt;
    if (pair.ours.empty()) return;
    c.at = place_in(c.shape, worst);
    c.theirs = pair.theirs[worst];
    c.ours = pair.ours[worst];
    if (!c.equal) c.where = where_differs(c.shape, is_square, differs);
    if (!possible) return;
    if (needed > 0) needed = settle_atol(needed, pair.theirs[needs], pair.ours[needs], pair.slack(needs), t);
    // Another number may need one step more, for all that rounding did to the difference.
    for (std::size_t k = 0; needed > 0 && k < pair.ours.size(); ++k)
        if (!is_close(pair.theirs[k], pair.ours[k], pair.slack(k), {needed, t.rtol, std::nullopt, t.type}))
            needed = settle_atol(needed, pair.theirs[k], pair.ours[k], pair.slack(k), t);
    c.needed_atol = needed;
    c.needed_ulp = ulp;
}

}  // namespace attn
