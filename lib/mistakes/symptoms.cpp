// What numbers show by themselves, where no known mistake gives them.
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <limits>

#include "lib/mistakes/causes.hpp"
#include "lib/text.hpp"
#include "lib/theirs/align.hpp"

namespace attn {
namespace {

bool are_weights(Stage s) {
    return s == Stage::weights || s == Stage::masked_weights || s == Stage::renormalized_weights;
}

void row_sums(const WholeStage& t, const std::string& name, std::vector<std::string>& out) {
    const Index keys = t.shape[3], rows = static_cast<Index>(t.values.size()) / std::max(keys, Index{1});
    constexpr double infinite = std::numeric_limits<double>::infinity();
    double least = infinite, most = -infinite;
    for (Index r = 0; r < rows; ++r) {
        double sum = 0;
        for (Index j = 0; j < keys; ++j) sum += t.values[idx(r * keys + j)];
        least = std::min(least, sum), most = std::max(most, sum);
    }
    if (std::abs(least - 1) < 1e-3 && std::abs(most - 1) < 1e-3) return;
    if (!std::isfinite(least) || !std::isfinite(most)) return;
    out.push_back(name + ": rows sum to " + significant(least, 4) + " ... " + significant(most, 4) +
                  ", not to 1");
    // Along the queries?
    const Index queries = t.shape[2], planes = rows / std::max(queries, Index{1});
    double off = 0;
    for (Index p = 0; p < planes; ++p)
        for (Index j = 0; j < keys; ++j) {
            double sum = 0;
            for (Index i = 0; i < queries; ++i) sum += t.values[idx((p * queries + i) * keys + j)];
            off = std::max(off, std::abs(sum - 1));
        }
    if (off < 1e-3) out.push_back(name + ": columns sum to 1");
}

void nan_rows(const WholeStage& t, const WholeStage& o, const std::string& name,
              std::vector<std::string>& out) {
    const Index width = t.shape[3], rows = static_cast<Index>(t.values.size()) / std::max(width, Index{1});
    Index bad = 0, first = -1;
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < width; ++j) {
            const auto k = static_cast<std::size_t>(r * width + j);
            if (!std::isnan(t.values[k]) || std::isnan(o.values[k])) continue;
            if (bad++ == 0) first = r % t.shape[2];
            break;
        }
    if (bad > 0)
        out.push_back(name + ": NaN in " + std::to_string(bad) + " of " + std::to_string(rows) +
                      " rows, first in row " + std::to_string(first));
}

void ratio(const WholeStage& t, const WholeStage& o, const std::string& name, std::vector<std::string>& out) {
    double xy = 0, yy = 0, xx = 0, sum = 0, squares = 0;
    double n = 0;
    for (std::size_t k = 0; k < t.values.size(); ++k) {
        const double x = t.values[k], y = o.values[k];
        if (!std::isfinite(x) || !std::isfinite(y)) continue;
        xy += x * y, yy += y * y, xx += x * x;
        sum += x - y, squares += (x - y) * (x - y), n += 1;
    }
    if (n < 2 || yy == 0 || xx == 0) return;
    const double factor = xy / yy, left = std::max(0.0, xx - xy * xy / yy);
    if (left < 1e-8 * xx && std::abs(factor - 1) > 1e-4)
        out.push_back(name + ": theirs are ours times " + significant(factor, 6));
    const double mean = sum / n, spread = std::max(0.0, squares / n - mean * mean);
    if (spread < 1e-8 * mean * mean) out.push_back(name + ": theirs are ours plus " + significant(mean, 4));
}

void permutation(const WholeStage& t, const WholeStage& o, const std::string& name,
                 const Tolerance& tolerance, std::vector<std::string>& out) {
    if (t.values.size() < 4) return;
    std::vector<double> x = t.values, y = o.values;
    for (const std::vector<double>* v : {&x, &y})
        if (std::any_of(v->begin(), v->end(), [](double a) { return std::isnan(a); })) return;
    std::sort(x.begin(), x.end());
    std::sort(y.begin(), y.end());
    for (std::size_t k = 0; k < x.size(); ++k)
        if (!is_close(x[k], y[k], 0, tolerance)) return;
    out.push_back(name + ": the same numbers as ours in other places");
}

void zeros(const WholeStage& t, const WholeStage& o, const std::string& name, std::vector<std::string>& out) {
    Index more = 0, fewer = 0;
    for (std::size_t k = 0; k < t.values.size(); ++k) {
        more += t.values[k] == 0 && o.values[k] != 0 ? 1 : 0;
        fewer += t.values[k] != 0 && o.values[k] == 0 ? 1 : 0;
    }
    if (more + fewer > 0)
        out.push_back(name + ": " + std::to_string(more) + " numbers are 0 that are not 0 in ours, " +
                      std::to_string(fewer) + " the other way round");
}

/// The text of a number with so many digits after the point; -1: the shortest.
std::string digits_of(double x, int digits) {
    if (digits < 0) return significant(x, 6);
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.*f", digits, x);
    return text.data();
}

/// How many digits after the point theirs was written with; -1: not known.
int printed_digits(const WholeStage& t, std::size_t k) {
    const double slack = t.slack(k);
    if (slack > 0) return std::clamp(static_cast<int>(std::lround(-std::log10(2 * slack))), 0, 15);
    for (int digits = 0; digits < 7; ++digits)
        if (std::abs(std::stod(digits_of(t.values[k], digits)) - t.values[k]) <= 1e-9) return digits;
    return -1;
}

/// What a hand does to a number: two digits exchanged, one digit, the sign, the point. Empty: none of them.
std::string slip(const std::string& theirs, const std::string& ours) {
    if ("-" + theirs == ours || "-" + ours == theirs) return "the sign";
    const auto figures = [](const std::string& text) {
        std::string out;
        for (const char c : text)
            if (c != '.' && c != '-') out += c;
        out.erase(0, std::min(out.find_first_not_of('0'), out.size()));
        out.erase(std::min(out.find_last_not_of('0') + 1, out.size()));
        return out;
    };
    std::vector<std::size_t> other;
    for (std::size_t k = 0; k < ours.size() && theirs.size() == ours.size(); ++k)
        if (theirs[k] != ours[k]) other.push_back(k);
    const bool digits = !other.empty() && std::all_of(other.begin(), other.end(), [&](std::size_t k) {
        return std::isdigit(static_cast<unsigned char>(ours[k])) &&
               std::isdigit(static_cast<unsigned char>(theirs[k]));
    });
    if (digits && other.size() == 2 && theirs[other[0]] == ours[other[1]] &&
        theirs[other[1]] == ours[other[0]])
        return "two digits are exchanged";
    if (figures(theirs) == figures(ours)) return "the decimal point";
    return digits && other.size() == 1 && ours.size() > 3 ? "one digit" : "";
}

/// Few numbers that differ are named.
bool few(const WholeStage& t, const WholeStage& o, const std::vector<std::size_t>& differ,
         std::vector<std::string>& out) {
    constexpr std::size_t most = 3, share = 8;
    if (differ.size() > most || differ.size() * share > o.values.size()) return false;
    std::string text = std::string(o.name()) + ": " + std::to_string(differ.size()) + " of " +
                       std::to_string(o.values.size()) +
                       (differ.size() == 1 ? " numbers differs" : " numbers differ");
    const Shape shape = shape_by_axes(o);
    for (const std::size_t k : differ) {
        std::string place;
        auto rest = static_cast<Index>(k);
        for (std::size_t axis = shape.size(); axis-- > 0; rest /= shape[axis])
            place = std::to_string(rest % shape[axis]) + (place.empty() ? "" : ",") + place;
        const int digits = printed_digits(t, k);
        const std::string theirs = digits_of(t.values[k], digits), ours = digits_of(o.values[k], digits);
        const std::string why = digits < 0 ? "" : slip(theirs, ours);
        text += (k == differ.front() ? ": [" : "; [") + place + "] is " + theirs + ", ours " + ours +
                (why.empty() ? "" : " (" + why + ")");
    }
    out.push_back(std::move(text));
    return true;
}

/// Many numbers, random signs, and a size near half a unit of 8 or 11 bits.
void rounding(const WholeStage& t, const WholeStage& o, const std::vector<std::size_t>& differ,
              const std::string& name, std::vector<std::string>& out) {
    constexpr std::size_t least = 16, share = 3;
    if (differ.size() < least || differ.size() * share < o.values.size()) return;
    double squares = 0, size = 0, signs = 0;
    for (const std::size_t k : differ) {
        const double d = t.values[k] - o.values[k];
        if (!std::isfinite(d)) return;
        squares += d * d, size += o.values[k] * o.values[k];
        signs += d > 0 ? 1 : -1;
    }
    if (size == 0 || std::abs(signs) > 4 * std::sqrt(static_cast<double>(differ.size()))) return;
    const double relative = std::sqrt(squares / size);
    if (relative > 1e-3 && relative < 6e-3)
        out.push_back(name + ": errors of random sign near 2^-9 of the numbers' size, as bf16 leaves them");
    if (relative > 1e-4 && relative < 7e-4)
        out.push_back(name + ": errors of random sign near 2^-12 of the numbers' size, as f16 leaves them");
}

}  // namespace

std::vector<std::string> findings_of(const StageSet& theirs, const StageSet& ours,
                                     const Tolerance& tolerance) {
    std::vector<std::string> out;
    for (const WholeStage& o : ours) {
        const bool gradient = !o.gradient.empty();
        const WholeStage* t = gradient ? find_gradient(theirs, o.gradient) : find(theirs, o.stage);
        if (!t || t->values.size() != o.values.size() || o.values.empty()) continue;
        std::vector<std::size_t> differ;
        for (std::size_t k = 0; k < o.values.size(); ++k)
            if (!is_close(t->values[k], o.values[k], t->slack(k), tolerance)) differ.push_back(k);
        if (differ.empty()) continue;
        const std::string name(o.name());
        if (std::none_of(t->values.begin(), t->values.end(), [](double x) { return std::isfinite(x); })) {
            out.push_back(name + ": no number is finite, which tells no cause");
            continue;
        }
        WholeStage shaped{o.stage, o.shape, t->values, t->half_unit, o.by_column};
        shaped.gradient = o.gradient;
        shaped.axes_of_gradient = o.axes_of_gradient;
        if (few(shaped, o, differ, out)) continue;
        if (!gradient && are_weights(o.stage)) row_sums(shaped, name, out);
        nan_rows(shaped, o, name, out);
        ratio(shaped, o, name, out);
        permutation(shaped, o, name, tolerance, out);
        if (!gradient && are_weights(o.stage)) zeros(shaped, o, name, out);
        rounding(shaped, o, differ, name, out);
    }
    return out;
}

}  // namespace attn
