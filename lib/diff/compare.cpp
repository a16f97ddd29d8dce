#include "lib/diff/compare.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/diff/cut.hpp"
#include "lib/error.hpp"
#include "lib/option_words.hpp"
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

/// Somebody's numbers beside ours, in our order.
struct Pair {
    const std::vector<double>&theirs, &ours;
    const std::vector<float>& half_unit;  ///< of theirs, as in WholeStage
    double slack(std::size_t k) const { return half_unit.empty() ? 0 : static_cast<double>(half_unit[k]); }
};

/// `c.shape` is that of the numbers.
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

bool is_among(Stage stage, const std::vector<std::string>& only) {
    return only.empty() || std::find(only.begin(), only.end(), info_of(stage).name) != only.end();
}

/// The array of a file that holds only one: the last stage that it fits.
void take_lone(std::vector<NamedArray>& arrays, const Ours& ours, const CompareOptions& options,
               std::vector<std::string>& notes) {
    for (NamedArray& a : arrays) {
        if (!a.array->name.empty()) continue;
        std::optional<Stage> last, fitting;
        for (const Stage s : ours.order) {
            const WholeStage* mine = find(ours.stages, s);
            if (!mine || !is_among(s, options.only)) continue;
            last = s;
            if (fits(*a.array, *mine, ours.heads, options.layout)) fitting = s;
        }
        a.stage = fitting.value_or(last.value_or(Stage::output));
        if (options.only.size() == 1) continue;
        const std::string name(info_of(a.stage).name);
        notes.push_back(
            "the array has no name: taken as " + name +
            (fitting && fitting != last ? ", the last stage that it fits; " : ", the last stage; ") +
            option::stages + " names another");
    }
}

void narrow(std::vector<double>& values) {
    for (double& x : values) x = static_cast<double>(static_cast<float>(x));
}

void read_as_ours(GivenArray& array, const Ours& ours) {
    if (!array.as_ours || array.type || ours.decimals || ours.type != Element::float32) return;
    array.type = Element::float32;
    narrow(array.values);
}

bool are_weights(Stage stage) { return has_heads(info_of(stage).shape) && is_weights(stage); }

/// The mean over heads of our last weights, as [batch, 1, query, key]: what nn.MultiheadAttention returns.
std::optional<WholeStage> mean_of_weights(const Ours& ours) {
    const WholeStage* last = nullptr;
    for (const Stage s : ours.order)
        if (const WholeStage* stage = find(ours.stages, s); stage && are_weights(s) && stage->shape[1] > 1)
            last = stage;
    if (!last) return std::nullopt;
    WholeStage out;
    out.stage = last->stage;
    const Index heads = last->shape[1], plane = last->shape[2] * last->shape[3];
    out.shape = {last->shape[0], 1, last->shape[2], last->shape[3]};
    for (Index b = 0; b < last->shape[0]; ++b)
        for (Index k = 0; k < plane; ++k) {
            double sum = 0;
            for (Index h = 0; h < heads; ++h) sum += last->values[idx((b * heads + h) * plane + k)];
            out.values.push_back(sum / static_cast<double>(heads));
        }
    return out;
}

class Comparer {
  public:
    Comparer(const Layer& theirs, const Ours& ours, const CompareOptions& options)
        : theirs_(theirs), ours_(ours), options_(options) {}

    Comparison run() {
        out_.name = theirs_.name;
        arrays_ = theirs_.arrays;
        take_lone(arrays_, ours_, options_, out_.notes);
        out_.tolerance = tolerance_of(arrays_, ours_, options_);
        for (const Stage s : ours_.order)
            if (is_among(s, options_.only)) stage(s);
        for (const NamedArray& a : arrays_)
            if (!find(ours_.stages, a.stage) && is_among(a.stage, options_.only)) missing(a);
        for (const LeftOut& left : theirs_.left_out) other(left);
        std::sort(out_.theirs.begin(), out_.theirs.end(),
                  [](const WholeStage& a, const WholeStage& b) { return a.stage < b.stage; });
        if (!common_) refuse();
        if (options_.ignore_unknown || !options_.only.empty()) {
            if (!out_.not_compared.empty()) out_.notes.push_back("not compared: " + names(400));
            out_.not_compared.clear();
        }
        return std::move(out_);
    }

  private:
    static constexpr std::string_view mean_name = "mean_weights";

    std::string names(int columns) const {
        std::string out;
        for (const std::string& name : out_.not_compared) out += (out.empty() ? "" : ", ") + name;
        return clip(out, columns);
    }

    [[noreturn]] void refuse() const {
        Error error(Exit::input, {}, "holds no stage that ours has",
                    out_.not_compared.empty() ? "stages are called scores, weights, output, ...; " +
                                                    option::map + " for other systems' names"
                                              : "found " + names(200));
        if (theirs_.dump) error.place.file = theirs_.dump->file;
        throw error;
    }

    void push(StageComparison c) {
        out_.stages.push_back(std::move(c));
        const std::size_t k = out_.stages.size() - 1;
        if (!out_.stages[k].equal && !out_.first) out_.first = k;
        if (out_.stages[k].equal && out_.first) out_.stages[k].again = true;
    }

    static StageComparison begun(std::string name, const GivenArray& array) {
        StageComparison c;
        c.name = std::move(name);
        c.present = true;
        c.their_shape = array.shape;
        c.their_type = array.type;
        c.digits = array.digits;
        return c;
    }

    void say_digits(const StageComparison& c) {
        if (c.digits > 0)
            out_.notes.push_back(c.name + ": theirs has " + std::to_string(c.digits) +
                                 " digits after the point: equal where ours rounds to it; " + option::digits +
                                 " full compares all digits");
    }

    void stage(Stage s) {
        const auto a =
            std::find_if(arrays_.begin(), arrays_.end(), [&](const NamedArray& n) { return n.stage == s; });
        const WholeStage* mine = find(ours_.stages, s);
        if (a == arrays_.end() || !mine) {
            if (info_of(s).on_request || (a != arrays_.end() && !mine)) return;
            StageComparison c;
            c.stage = s;
            c.name = info_of(s).name;
            if (mine) c.shape = shape_by_axes(*mine);
            out_.stages.push_back(std::move(c));
            return;
        }
        read_as_ours(*a->array, ours_);
        common_ = true;
        static const Dump none;
        auto part = cut_alike(*mine, ours_, *a->array, theirs_.dump ? *theirs_.dump : none);
        if (ours_.decimals && a->array->type == Element::float32) {
            if (!part) part = *mine;
            narrow(part->values);
        }
        compare_stage(*a, part ? *part : *mine);
    }

    void compare_stage(const NamedArray& a, const WholeStage& mine) {
        StageComparison c = begun(std::string(info_of(a.stage).name), *a.array);
        c.stage = a.stage;
        c.shape = shape_by_axes(mine);
        c.axes = names_by_axes(mine.family());
        const Layout layout = options_.layout != Layout::unknown ? options_.layout : a.layout;
        if (!fits(*a.array, mine, ours_.joined_heads(), layout)) {
            if (are_weights(a.stage) && averaged(*a.array, c.name)) return;
            c.fits = false;
            return push(std::move(c));
        }
        auto aligned = align(std::move(*a.array), mine, ours_.joined_heads(), layout);
        const bool square = has_all_keys(info_of(a.stage).shape) && has_heads(info_of(a.stage).shape);
        measure(c, {aligned->stage.values, mine.values, aligned->stage.half_unit}, square, out_.tolerance);
        if (!aligned->said.empty())
            out_.notes.push_back(c.name + ": theirs " + to_string(c.their_shape) + " " + aligned->said);
        if (!aligned->other.empty() && !c.equal)
            out_.notes.push_back(c.name + ": the sizes fit " + aligned->other + " as well; " +
                                 option::layout + " heads-first or tokens-first decides");
        say_digits(c);
        out_.theirs.push_back(std::move(aligned->stage));
        push(std::move(c));
    }

    /// Their weights as one matrix for all heads. \return false: they are not
    bool averaged(GivenArray& array, const std::string& name) {
        const auto mean = mean_of_weights(ours_);
        if (!mean || !fits(array, *mean, 1, Layout::unknown)) return false;
        StageComparison c = begun(std::string(mean_name), array);
        c.stage = Stage::mean_weights;
        c.shape = {mean->shape[0], mean->shape[2], mean->shape[3]};
        c.axes = {"batch", "query", "key"};
        auto aligned = align(std::move(array), *mean, 1, Layout::unknown);
        measure(c, {aligned->stage.values, mean->values, aligned->stage.half_unit}, true, out_.tolerance);
        if (name != mean_name)
            out_.notes.push_back(name + ": theirs " + to_string(c.their_shape) +
                                 " is one matrix for all heads: compared with mean_weights, the mean of ours "
                                 "over heads");
        say_digits(c);
        aligned->stage.stage = Stage::mean_weights;
        out_.theirs.push_back(std::move(aligned->stage));
        push(std::move(c));
        return true;
    }

    void missing(const NamedArray& a) {
        StageComparison c = begun(std::string(info_of(a.stage).name), *a.array);
        c.stage = a.stage;
        c.missing = true;
        out_.not_compared.push_back(c.name + " (ours has no such stage)");
        out_.stages.push_back(std::move(c));
    }

    /// An array that no stage is called by.
    void other(const LeftOut& left) {
        GivenArray& array = *left.array;
        if (left.name == mean_name && options_.only.empty() && averaged(array, left.name)) {
            common_ = true;
            return;
        }
        const GivenArray* mine = nullptr;
        for (const GivenArray* o : ours_.others)
            if (o->name == array.name || split_name(o->name).stage == left.name) mine = o;
        if (!mine || !options_.only.empty()) {
            out_.not_compared.push_back(visible(array.name) +
                                        (left.why.empty() ? "" : " (" + left.why + ")"));
            return;
        }
        common_ = true;
        StageComparison c = begun(visible(array.name), array);
        c.shape = mine->shape;
        c.fits = without_ones(mine->shape) == without_ones(array.shape);
        if (c.fits) measure(c, {array.values, mine->values, array.half_unit}, false, out_.tolerance);
        say_digits(c);
        push(std::move(c));
    }

    static Shape without_ones(Shape shape) {
        std::erase(shape, 1);
        return shape;
    }

    const Layer& theirs_;
    const Ours& ours_;
    const CompareOptions& options_;
    std::vector<NamedArray> arrays_;
    Comparison out_;
    bool common_ = false;
};

}  // namespace

Comparison compare(const Layer& theirs, const Ours& ours, const CompareOptions& options) {
    return Comparer(theirs, ours, options).run();
}

void judge_errors(Comparison& comparison, const Ours& ours, const Replayer& replay) {
    for (std::size_t k = 0; k < comparison.stages.size(); ++k) {
        StageComparison& c = comparison.stages[k];
        if (!c.present || c.missing) continue;
        if (c.equal || comparison.first == k) {
            c.new_error = !c.equal;
            continue;
        }
        if (!replay || !c.fits || !c.stage) continue;
        StageSet before;
        for (const WholeStage& s : comparison.theirs) {
            const auto place = [&](Stage x) { return std::find(ours.order.begin(), ours.order.end(), x); };
            if (place(s.stage) < place(*c.stage)) before.push_back(s);
        }
        const std::optional<WholeStage> expected = replay(*c.stage, before);
        const WholeStage* theirs = find(comparison.theirs, *c.stage);
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
