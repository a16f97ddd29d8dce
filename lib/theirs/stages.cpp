#include "lib/theirs/stages.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace attn {
namespace {

/// Bits after the point of the significand, and the exponent of the smallest normal number.
struct Precision {
    int digits;
    int least_exponent;
};

Precision precision_of(Element type) {
    switch (type) {
        case Element::float64:
            return {52, -1022};
        case Element::float16:
            return {10, -14};
        case Element::bfloat16:
            return {7, -126};
        default:
            return {23, -126};
    }
}

/// The number of a number among those of its type, counted from 0 outwards with its sign.
double steps_of(double value, const Precision& p) {
    if (value == 0) return 0;
    int exponent = 0;
    std::frexp(value, &exponent);  // value = f 2^exponent with 0.5 <= |f| < 1
    const int normal = std::max(exponent - 1, p.least_exponent);
    const double steps = std::nearbyint(std::ldexp(std::abs(value), p.digits - normal));
    // 2^digits steps for each power of two below it; the lowest one also begins at 0.
    const double below = static_cast<double>(normal - p.least_exponent) * std::ldexp(1.0, p.digits);
    return std::copysign(below + steps, value);
}

}  // namespace

const WholeStage* find(const StageSet& set, Stage stage) {
    const auto found = std::find_if(
        set.begin(), set.end(), [&](const WholeStage& s) { return s.stage == stage && s.gradient.empty(); });
    return found == set.end() ? nullptr : &*found;
}

const WholeStage* find_gradient(const StageSet& set, std::string_view name) {
    const auto found =
        std::find_if(set.begin(), set.end(), [&](const WholeStage& s) { return s.gradient == name; });
    return found == set.end() ? nullptr : &*found;
}

double largest_of(const std::vector<double>& values) {
    double most = 0;
    for (const double x : values)
        if (std::isfinite(x)) most = std::max(most, std::abs(x));
    return most;
}

Tolerance gradient_tolerance(Tolerance t, double largest, double largest_of_all) {
    if (t.asked || t.ulp || t.rtol == 0) return t;
    constexpr double least = 1e-3;  // of a number that is 0 but for rounding, alone
    const bool half = t.type != Element::float32 && t.type != Element::float64;
    const double share = half ? t.rtol : t.atol;
    t.atol = share * std::max(largest, std::clamp(largest_of_all, least, 1.0));
    // Some 200 roundings of the largest number were measured for float32.
    if (t.type == Element::float32) t.rtol = std::max(t.rtol, 1e-4);
    return t;
}

Tolerance default_tolerance(Element type) {
    Tolerance t;
    t.type = type;
    switch (type) {
        case Element::float64:
            t.atol = t.rtol = 1e-7;
            break;
        case Element::float32:
            t.atol = 1e-5;
            t.rtol = 1.3e-6;
            break;
        case Element::float16:
            t.atol = 1e-5;
            t.rtol = 1e-3;
            break;
        case Element::bfloat16:
            t.atol = 1e-5;
            t.rtol = 1.6e-2;
            break;
        default:
            t.atol = t.rtol = 0;
    }
    return t;
}

double ulp_distance(double a, double b, Element type) {
    if (a == b) return 0;
    if (!std::isfinite(a) || !std::isfinite(b)) return std::numeric_limits<double>::infinity();
    const Precision p = precision_of(type);
    if (type == Element::float64) {  // places beyond 2^53 are no doubles
        const auto place = [](double x) {
            const auto bits = std::bit_cast<std::int64_t>(x);
            return bits < 0 ? std::numeric_limits<std::int64_t>::min() - bits : bits;
        };
        const std::int64_t i = place(a), j = place(b);
        const auto less = static_cast<std::uint64_t>(std::min(i, j)),
                   more = static_cast<std::uint64_t>(std::max(i, j));
        return static_cast<double>(more - less);
    }
    return std::abs(steps_of(a, p) - steps_of(b, p));
}

bool is_close(double theirs, double ours, double slack, const Tolerance& t) {
    if (theirs == ours) return true;
    if (std::isnan(theirs) || std::isnan(ours)) return std::isnan(theirs) && std::isnan(ours);
    if (std::isinf(theirs) || std::isinf(ours)) return false;
    const double distance = std::abs(theirs - ours);
    // Halves may be rounded either way, and the digits themselves are not exact in binary.
    if (slack > 0 && distance <= slack * (1 + 1e-6)) return true;
    return t.ulp ? ulp_distance(theirs, ours, t.type) <= *t.ulp
                 : distance <= t.atol + t.rtol * std::abs(ours);
}

}  // namespace attn
