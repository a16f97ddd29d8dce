#include "lib/diff/where.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace attn {
namespace {

constexpr std::size_t most_ranges = 4;

/// First and last of the unbroken runs.
std::vector<std::pair<Index, Index>> runs_of(const std::vector<Index>& indices) {
    std::vector<std::pair<Index, Index>> runs;
    for (const Index k : indices) {
        if (runs.empty() || runs.back().second + 1 != k) runs.emplace_back(k, k);
        runs.back().second = k;
    }
    return runs;
}

/// The step of indices that are evenly spaced, more than one apart; 0: they are not.
Index step_of(const std::vector<Index>& indices) {
    constexpr std::size_t least = 3;
    if (indices.size() < least) return 0;
    const Index step = indices[1] - indices[0];
    for (std::size_t k = 1; k < indices.size(); ++k)
        if (indices[k] - indices[k - 1] != step) return 0;
    return step > 1 ? step : 0;
}

std::vector<Index> others_of(const WhereOnAxis& w) {
    std::vector<Index> out;
    for (Index k = 0; k < w.length; ++k)
        if (!std::binary_search(w.indices.begin(), w.indices.end(), k)) out.push_back(k);
    return out;
}

/// "0-4, 7"
std::string run_words(const std::vector<Index>& indices) {
    std::string out;
    for (const auto& [first, last] : runs_of(indices))
        out += (out.empty() ? "" : ", ") + std::to_string(first) +
               (first == last ? "" : "-" + std::to_string(last));
    return out;
}

std::string ordinal(Index step) {
    constexpr std::array<const char*, 3> words{"second", "third", "fourth"};
    const auto k = static_cast<std::size_t>(step - 2);
    return k < words.size() ? words[k] : std::to_string(step) + "th";
}

std::string axis_words(const WhereOnAxis& w, const std::string& one) {
    const std::vector<Index> others = others_of(w);
    if (w.indices.size() == 1) return one + " " + std::to_string(w.indices[0]) + " alone";
    if (others.size() == 1) return "all " + one + "s but " + std::to_string(others[0]);
    if (const Index step = step_of(w.indices))
        return "every " + ordinal(step) + " " + one + ", " + std::to_string(w.indices.front()) + " to " +
               std::to_string(w.indices.back());
    return one + "s " + run_words(others) + " agree, " + run_words(w.indices) + " differ";
}

}  // namespace

Where where_differs(const Shape& shape, bool is_square, const std::vector<bool>& differs) {
    Where out;
    std::vector<std::vector<bool>> met;
    for (const Index n : shape) met.emplace_back(static_cast<std::size_t>(n), false);
    std::size_t count = 0;
    bool right = true, on = true, left = true;
    for (std::size_t k = 0; k < differs.size(); ++k) {
        if (!differs[k]) continue;
        ++count;
        auto rest = static_cast<Index>(k);
        Index column = 0, row = 0;
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            const Index at = rest % shape[axis];
            rest /= shape[axis];
            met[axis][idx(at)] = true;
            if (axis + 1 == shape.size()) column = at;
            if (axis + 2 == shape.size()) row = at;
        }
        right = right && column > row, on = on && column == row, left = left && column < row;
    }
    if (count < 2) return out;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        WhereOnAxis w{axis, shape[axis], {}};
        for (Index k = 0; k < w.length; ++k)
            if (met[axis][idx(k)]) w.indices.push_back(k);
        if (static_cast<Index>(w.indices.size()) == w.length) continue;
        if (runs_of(w.indices).size() <= most_ranges || step_of(w.indices) > 0)
            out.axes.push_back(std::move(w));
    }
    const std::size_t rank = shape.size();
    if (is_square && rank >= 2 && shape[rank - 1] == shape[rank - 2] && shape[rank - 1] > 2)
        out.diagonal = right  ? Where::Side::right
                       : on   ? Where::Side::on
                       : left ? Where::Side::left
                              : Where::Side::any;
    return out;
}

std::string ranges_of(const std::vector<Index>& indices) {
    std::string out;
    for (const auto& [first, last] : runs_of(indices))
        out += (out.empty() ? "" : ",") + std::to_string(first) +
               (first == last ? "" : ":" + std::to_string(last + 1));
    return out;
}

std::vector<std::string> where_words(const Where& where, const Shape& shape,
                                     const std::vector<std::string>& names) {
    std::vector<std::string> out;
    for (const WhereOnAxis& w : where.axes) {
        std::string one = w.axis + 1 == shape.size() ? "column" : "row";
        if (w.axis < names.size() && names.size() == shape.size()) {
            if (names[w.axis] == "head") one = "head";
            if (names[w.axis] == "batch") one = "item";
        } else if (w.axis + 2 < shape.size()) {
            one = "index of axis " + std::to_string(w.axis) + ",";
        }
        out.push_back(axis_words(w, one));
    }
    if (where.diagonal == Where::Side::right) out.emplace_back("only right of the diagonal");
    if (where.diagonal == Where::Side::on) out.emplace_back("only on the diagonal");
    if (where.diagonal == Where::Side::left) out.emplace_back("only left of the diagonal");
    return out;
}

}  // namespace attn
