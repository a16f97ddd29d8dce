#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "lib/replay/replay.hpp"

namespace attn {

/// A rotary embedding as a rule: pair n at position p turns by p * rates[n], and grows by a factor.
struct RotaryRule {
    std::vector<double> rates;  ///< radians of each pair from one position to the next
    double amplitude = 1;
    Places queries, keys;          ///< positions
    std::optional<double> base{};  ///< rates[n] is base^(-2n / dims); nothing: something else

    Index dims() const { return 2 * static_cast<Index>(rates.size()); }
};

/// The rule of a plan with rope, its tables read back where it has some; nothing where they follow no rule,
/// or each column turns by its own.
std::optional<RotaryRule> rule_of(const Replay& replay);
/// Makes a plan's rotary embedding follow a rule.
void follow(PlannedRope& rope, const RotaryRule& rule);

/// The rate of one pair, from the angles (-π ... π) at some positions: nothing where no rate gives them all.
/// `slack`: of an angle.
std::optional<double> rate_of(const std::vector<double>& positions, const std::vector<double>& angles,
                              double slack);
/// The base of rates that are base^(-2n / dims), or nothing. `slack`: of a rate.
std::optional<double> base_of(const std::vector<double>& rates, double slack);
/// base^(-2n / dims).
std::vector<double> rates_of_base(double base, Index dims);
/// Bases that released models have.
std::span<const double> known_bases();

}  // namespace attn
