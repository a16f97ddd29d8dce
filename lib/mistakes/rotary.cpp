#include "lib/mistakes/rotary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

namespace attn {
namespace {

constexpr double pi = std::numbers::pi;
/// Of angles in tables of float32.
constexpr double table_slack = 1e-5;

double wrapped(double angle) { return angle - 2 * pi * std::round(angle / (2 * pi)); }

/// Positions that tables are likely to be made for: of new tokens after the cache, or from 0 on.
Places counted_places(Index n, Index from) {
    const std::vector<Index> places = counted(n, from);
    return {{places.begin(), places.end()}, 1};
}

std::optional<RotaryRule> rule_of_tables(const Replay& replay, Index from) {
    const Plan& p = replay.plan();
    const PlannedRope& rope = *p.rope;
    const std::span<const double> cos = replay.tensor(*rope.cos), sin = replay.tensor(*rope.sin);
    const Index pairs = rope.pairs(), rows = p.new_keys;
    RotaryRule out;
    out.queries = out.keys = counted_places(rows, from);
    out.amplitude = std::hypot(cos[0], sin[0]);
    for (Index n = 0; n < pairs; ++n) {
        std::vector<double> angles;
        for (Index t = 0; t < rows; ++t) {
            const std::size_t cell = idx(t * pairs + n);
            if (std::abs(std::hypot(cos[cell], sin[cell]) - out.amplitude) > table_slack) return std::nullopt;
            angles.push_back(std::atan2(sin[cell], cos[cell]));
        }
        const std::optional<double> rate = rate_of(out.keys.numbers, angles, table_slack);
        if (!rate) return std::nullopt;
        out.rates.push_back(*rate);
    }
    const double longest = *std::max_element(out.keys.numbers.begin(), out.keys.numbers.end());
    out.base = base_of(out.rates, table_slack / std::max(longest, 1.0));
    return out;
}

}  // namespace

std::span<const double> known_bases() {
    static constexpr std::array bases{1e4, 5e5, 1e6, 1.5e5, 1.6e5, 1e5, 5e6, 8e6, 1e7, 2.5e4, 1e8, 1e11};
    return bases;
}

std::vector<double> rates_of_base(double base, Index dims) {
    std::vector<double> out;
    for (Index n = 0; n < dims / 2; ++n)
        out.push_back(std::pow(base, -2.0 * static_cast<double>(n) / static_cast<double>(dims)));
    return out;
}

std::optional<double> rate_of(const std::vector<double>& positions, const std::vector<double>& angles,
                              double slack) {
    std::vector<std::size_t> order(positions.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::abs(positions[a]) < std::abs(positions[b]);
    });
    std::optional<double> rate;
    for (const std::size_t k : order) {
        if (positions[k] == 0) continue;
        // So many turns more than half a one that the rate so far leaves no doubt of.
        const double expected = rate.value_or(0) * positions[k];
        const double angle = expected + wrapped(angles[k] - expected);
        rate = angle / positions[k];
    }
    if (!rate) return std::nullopt;
    for (std::size_t k = 0; k < positions.size(); ++k)
        if (!(std::abs(wrapped(angles[k] - *rate * positions[k])) <= 2 * slack)) return std::nullopt;
    return rate;
}

std::optional<double> base_of(const std::vector<double>& rates, double slack) {
    const auto dims = 2 * static_cast<Index>(rates.size());
    if (dims < 4 || !(std::abs(rates[0] - 1) <= 1e-4 + slack)) return std::nullopt;
    // By the slowest pair that is still known well.
    std::size_t by = 0;
    for (std::size_t n = 1; n < rates.size(); ++n)
        if (rates[n] > 1e3 * slack) by = n;
    if (by == 0) by = 1;
    if (!(rates[by] > 2 * slack)) return std::nullopt;
    double base = std::pow(rates[by], -static_cast<double>(dims) / (2 * static_cast<double>(by)));
    const auto fits = [&](double b) {
        const std::vector<double> wanted = rates_of_base(b, dims);
        for (std::size_t n = 0; n < rates.size(); ++n)
            if (!(std::abs(wanted[n] - rates[n]) <= 1e-4 * wanted[n] + slack)) return false;
        return true;
    };
    if (!(base > 0) || !std::isfinite(base)) return std::nullopt;
    for (const double known : known_bases())
        if (std::abs(known - base) < 0.02 * known && fits(known)) return known;
    const double unit = std::pow(10, std::floor(std::log10(base)) - 2),
                 round = unit * std::round(base / unit);
    if (fits(round)) return round;
    if (!fits(base)) return std::nullopt;
    return base;
}

std::optional<RotaryRule> rule_of(const Replay& replay) {
    const Plan& p = replay.plan();
    const PlannedRope& rope = *p.rope;
    if (rope.by_column) return std::nullopt;
    if (rope.cos) {
        const Shape& s = p.tensors[*rope.cos].shape;
        if (s.size() == 3 && s[0] > 1) return std::nullopt;
        for (const Index from : {p.past, Index{0}})
            if (auto rule = rule_of_tables(replay, from)) return rule;
        return std::nullopt;
    }
    RotaryRule out{{}, rope.amplitude, rope.query_positions, rope.key_positions};
    const double sense = rope.reverse ? -1 : 1;
    for (Index n = 0; n < rope.pairs(); ++n) out.rates.push_back(sense * rope.frequency(n));
    if (rope.frequency_factors.empty() && !rope.reverse) out.base = rope.base;
    return out;
}

void follow(PlannedRope& rope, const RotaryRule& rule) {
    rope.cos.reset();
    rope.sin.reset();
    rope.by_column = rope.reverse = false;
    rope.dims = rule.dims();
    rope.amplitude = rule.amplitude;
    rope.query_positions = rule.queries;
    rope.key_positions = rule.keys;
    rope.base = rule.base.value_or(1);
    rope.frequency_factors.clear();
    if (!rule.base) rope.frequency_factors = rule.rates;
}

}  // namespace attn
