#include "lib/diff/compare.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// float16 and bfloat16 before float32 before float64.
int coarseness(Element e) {
    switch (e) {
        case Element::bfloat16:
            return 3;
        case Element::float16:
            return 2;
        case Element::float32:
            return 1;
        default:
            return 0;
    }
}

Tolerance tolerance_of(const std::vector<NamedArray>& arrays, const Ours& ours,
                       const CompareOptions& options) {
    Element type = ours.type;
    for (const NamedArray& a : arrays)
        if (a.array->type && coarseness(*a.array->type) > coarseness(type)) type = *a.array->type;
    Tolerance t = default_tolerance(type);
    t.atol = options.atol.value_or(t.atol);
    t.rtol = options.rtol.value_or(t.rtol);
    t.ulp = options.ulp;
    return t;
}

double distance_of(double theirs, double ours) {
    if (theirs == ours || (std::isnan(theirs) && std::isnan(ours))) return 0;
    return std::abs(theirs - ours);
}

/// By its own axes.
Shape place_in(const WholeStage& stage, std::size_t k) {
    const Shape shape = shape_by_axes(stage);
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

void measure(StageComparison& c, const WholeStage& theirs, const WholeStage& ours, const Tolerance& t) {
    // NaN is worse than infinite, which is worse than any number; what is outside is worse than what is not.
    const auto rank = [](double d) { return std::isnan(d) ? 2 : std::isinf(d) ? 1 : 0; };
    std::size_t worst = 0, needs = 0;
    double needed = 0, ulp = 0;
    bool worst_outside = false, possible = true;
    c.largest = -1;
    for (std::size_t k = 0; k < ours.values.size(); ++k) {
        const double x = theirs.values[k], y = ours.values[k], slack = theirs.slack(k);
        const double d = distance_of(x, y);
        const bool outside = !is_close(x, y, slack, t);
        c.outside += outside;
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
    c.count = static_cast<Index>(ours.values.size());
    c.equal = c.outside == 0;
    c.largest = std::max(c.largest, 0.0);
    c.at = place_in(ours, worst);
    c.theirs = theirs.values[worst];
    c.ours = ours.values[worst];
    if (!possible) return;
    if (needed > 0)
        needed = settle_atol(needed, theirs.values[needs], ours.values[needs], theirs.slack(needs), t);
    // Another number may need one step more, for all that rounding did to the difference.
    for (std::size_t k = 0; needed > 0 && k < ours.values.size(); ++k)
        if (!is_close(theirs.values[k], ours.values[k], theirs.slack(k),
                      {needed, t.rtol, std::nullopt, t.type}))
            needed = settle_atol(needed, theirs.values[k], ours.values[k], theirs.slack(k), t);
    c.needed_atol = needed;
    c.needed_ulp = ulp;
}

/// The array of a file that holds only one: the last stage that it fits.
void take_lone(std::vector<NamedArray>& arrays, const Ours& ours, const CompareOptions& options,
               std::vector<std::string>& notes) {
    for (NamedArray& a : arrays) {
        if (!a.array->name.empty()) continue;
        std::optional<Stage> last, fitting;
        for (const Stage s : ours.order) {
            const WholeStage* mine = find(ours.stages, s);
            if (!mine || (!options.only.empty() && info_of(s).name != options.only.front())) continue;
            last = s;
            if (align(*a.array, *mine, ours.heads, options.layout)) fitting = s;
        }
        a.stage = fitting.value_or(last.value_or(Stage::output));
        if (!options.only.empty()) continue;
        const std::string name(info_of(a.stage).name);
        notes.push_back("the array has no name: taken as " + name +
                        (fitting && fitting != last ? ", the last stage that it fits; --stages names another"
                                                    : ", the last stage; --stages names another"));
    }
}

void read_as_ours(GivenArray& array, const Ours& ours) {
    if (!array.as_ours || array.type || ours.type != Element::float32) return;
    array.type = Element::float32;
    for (double& x : array.values) x = static_cast<double>(static_cast<float>(x));
}

StageComparison compare_stage(const NamedArray& a, const WholeStage& mine, const Ours& ours,
                              const CompareOptions& options, Comparison& out) {
    StageComparison c;
    c.stage = a.stage;
    c.present = true;
    c.shape = shape_by_axes(mine);
    c.their_shape = a.array->shape;
    c.their_type = a.array->type;
    c.digits = a.array->digits;
    const std::string name(info_of(a.stage).name);
    auto aligned =
        align(*a.array, mine, ours.heads, options.layout != Layout::unknown ? options.layout : a.layout);
    if (!aligned) {
        c.fits = false;
        return c;
    }
    measure(c, aligned->stage, mine, out.tolerance);
    if (!aligned->said.empty())
        out.notes.push_back(name + ": theirs " + to_string(a.array->shape) + " " + aligned->said);
    if (!aligned->other.empty() && !c.equal)
        out.notes.push_back(name + ": the sizes fit " + aligned->other +
                            " as well; --layout heads-first or tokens-first decides");
    if (c.digits > 0)
        out.notes.push_back(
            name + ": theirs has " + std::to_string(c.digits) +
            " digits after the point: equal where ours rounds to it; --digits full compares all digits");
    out.theirs.push_back(std::move(aligned->stage));
    return c;
}

}  // namespace

Comparison compare(const Layer& theirs, const Ours& ours, const CompareOptions& options) {
    Comparison out;
    out.name = theirs.name;
    out.notes = theirs.notes;
    std::vector<NamedArray> arrays = theirs.arrays;
    take_lone(arrays, ours, options, out.notes);
    out.tolerance = tolerance_of(arrays, ours, options);
    const auto array_of = [&](Stage s) {
        return std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& a) { return a.stage == s; });
    };
    const auto wanted = [&](Stage s) {
        return options.only.empty() ||
               std::find(options.only.begin(), options.only.end(), info_of(s).name) != options.only.end();
    };
    bool common = false;
    for (const Stage s : ours.order) {
        if (!options.only.empty() && info_of(s).name != options.only.front()) continue;
        const auto a = array_of(s);
        const WholeStage* mine = find(ours.stages, s);
        if (a == arrays.end() || !mine) {
            if (info_of(s).on_request || (a != arrays.end() && !mine)) continue;
            StageComparison c;
            c.stage = s;
            if (mine) c.shape = shape_by_axes(*mine);
            out.stages.push_back(std::move(c));
            continue;
        }
        read_as_ours(*a->array, ours);
        common = true;
        out.stages.push_back(compare_stage(*a, *mine, ours, options, out));
        const std::size_t k = out.stages.size() - 1;
        if (!out.stages[k].equal && !out.first) out.first = k;
        if (out.stages[k].equal && out.first) out.stages[k].again = true;
    }
    for (const NamedArray& a : arrays) {
        if (find(ours.stages, a.stage) || !wanted(a.stage)) continue;
        StageComparison c;
        c.stage = a.stage;
        c.present = c.missing = true;
        c.their_shape = a.array->shape;
        out.stages.push_back(std::move(c));
    }
    std::sort(out.theirs.begin(), out.theirs.end(),
              [](const WholeStage& a, const WholeStage& b) { return a.stage < b.stage; });
    std::string unknown;
    for (const std::string& name : theirs.unknown) unknown += (unknown.empty() ? "" : ", ") + name;
    if (!unknown.empty()) out.notes.push_back("not compared: " + clip(unknown, 400));
    if (!common) {
        Error error(Exit::input, {}, "holds no stage that ours has",
                    unknown.empty()
                        ? "stages are called scores, weights, output, ...; --map for other systems' names"
                        : "found " + clip(unknown, 200));
        if (theirs.dump) error.place.file = theirs.dump->file;
        throw error;
    }
    return out;
}

void judge_errors(Comparison& comparison, const Ours& ours, const Replayer& replay) {
    for (std::size_t k = 0; k < comparison.stages.size(); ++k) {
        StageComparison& c = comparison.stages[k];
        if (!c.present || c.missing) continue;
        if (c.equal || comparison.first == k) {
            c.new_error = !c.equal;
            continue;
        }
        if (!replay || !c.fits) continue;
        StageSet before;
        for (const WholeStage& s : comparison.theirs) {
            const auto place = [&](Stage x) { return std::find(ours.order.begin(), ours.order.end(), x); };
            if (place(s.stage) < place(c.stage)) before.push_back(s);
        }
        const std::optional<WholeStage> expected = replay(c.stage, before);
        const WholeStage* theirs = find(comparison.theirs, c.stage);
        if (!expected || !theirs || expected->values.size() != theirs->values.size()) continue;
        bool follows = true;
        // What was rounded before it went into a stage is some half units off in it.
        constexpr double carried = 10;
        for (std::size_t i = 0; follows && i < expected->values.size(); ++i)
            follows = is_close(theirs->values[i], expected->values[i], carried * theirs->slack(i),
                               comparison.tolerance);
        c.new_error = !follows;
    }
}

}  // namespace attn
