#include "lib/mistakes/tuning.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace attn {
namespace {

double size_of(const std::vector<double>& r) {
    return r.empty() ? std::numeric_limits<double>::infinity()
                     : std::inner_product(r.begin(), r.end(), r.begin(), 0.0);
}

/// The best of few.
double best_among(const Tunable& t, const Residuals& left) {
    double best = t.ours, least = std::numeric_limits<double>::infinity();
    for (const double x : t.among)
        if (const double s = size_of(left(t, x)); s < least) least = s, best = x;
    return best;
}

/// By steps of Gauss and Newton in the number's logarithm, from the best of some beginnings.
double best_of(const Tunable& t, const Residuals& left) {
    const auto residuals = [&](double by) { return left(t, t.ours * std::exp(by)); };
    constexpr std::array beginnings{-2.8, -2.0, -1.4, -0.7, -0.3, 0.3, 0.7, 1.4, 2.0, 2.8};
    double best = 0, least = std::numeric_limits<double>::infinity();
    std::vector<double> now;
    for (const double by : beginnings) {
        std::vector<double> r = residuals(by);
        if (const double s = size_of(r); s < least) least = s, best = by, now = std::move(r);
    }
    constexpr int most_steps = 8;
    constexpr double apart = 1e-5, close = 1e-9;
    for (int step = 0; step < most_steps && std::isfinite(least) && least > 0; ++step) {
        const std::vector<double> next = residuals(best + apart);
        if (next.size() != now.size()) break;
        double along = 0, squares = 0;
        for (std::size_t k = 0; k < now.size(); ++k) {
            const double slope = (next[k] - now[k]) / apart;
            along += slope * now[k], squares += slope * slope;
        }
        if (!(squares > 0) || !std::isfinite(along / squares)) break;
        double by = std::clamp(-along / squares, -1.0, 1.0);
        bool nearer = false;
        for (int half = 0; half < 3 && !nearer; ++half) {
            std::vector<double> r = residuals(best + by);
            const double s = size_of(r);
            nearer = s < least;
            if (nearer) least = s, best += by, now = std::move(r);
            if (!nearer) by /= 2;
        }
        if (!nearer || std::abs(by) < close) break;
    }
    return t.ours * std::exp(best);
}

}  // namespace

std::vector<Mistake> tuned_mistakes(const Replay& replay, const Residuals& residuals) {
    std::vector<Mistake> out;
    for (const MistakeRow& row : all_mistakes()) {
        if (!row.tune || !row.applies(replay).empty()) continue;
        Mistake found{&row, std::string(row.id), {}, true};
        for (const Tunable& t : row.tune(replay)) {
            const double x = t.among.empty() ? best_of(t, residuals) : best_among(t, residuals);
            const std::optional<Measurement> measured = t.measured(x);
            if (!measured) continue;
            found.forms.push_back({{},
                                   t.first,
                                   false,
                                   [make = t.make, x](Deviation& d) { make(d, x); },
                                   {},
                                   {},
                                   false,
                                   measured});
        }
        if (!found.forms.empty()) out.push_back(std::move(found));
    }
    return out;
}

}  // namespace attn
