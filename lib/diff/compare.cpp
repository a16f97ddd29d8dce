#include "lib/diff/compare.hpp"

#include <algorithm>
#include <cmath>

#include "lib/diff/cut.hpp"
#include "lib/diff/measure.hpp"
#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

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
    t.asked = options.atol || options.rtol || options.ulp;
    return t;
}

bool is_among(std::string_view name, const std::vector<std::string>& only) {
    return only.empty() || std::find(only.begin(), only.end(), name) != only.end();
}
bool is_among(Stage stage, const std::vector<std::string>& only) {
    return is_among(info_of(stage).name, only);
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

/// In half precision a sum in another order rounds to the neighbour, and what is made of it is off by some
/// steps of its row's largest number: a score of 4 that is one step off moves its weight by eight.
void allow_steps(WholeStage& theirs, const WholeStage& ours, Element type) {
    const double share = type == Element::bfloat16 ? 0x1p-5 : type == Element::float16 ? 0x1p-8 : 0;
    if (share == 0 || ours.values.empty()) return;
    theirs.half_unit.resize(ours.values.size());
    const std::size_t width = idx(ours.shape.back());
    for (std::size_t row = 0; row < ours.values.size(); row += width) {
        double most = 0;
        for (std::size_t k = row; k < row + width; ++k)
            if (std::isfinite(ours.values[k])) most = std::max(most, std::abs(ours.values[k]));
        for (std::size_t k = row; k < row + width; ++k)
            theirs.half_unit[k] = std::max(theirs.half_unit[k], static_cast<float>(share * most));
    }
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
        gradients_ = theirs_.gradients;
        take_lone_gradient();
        take_lone(arrays_, ours_, options_, out_.notes);
        out_.tolerance = tolerance_of(arrays_, ours_, options_);
        for (const Stage s : ours_.order)
            if (is_among(s, options_.only)) stage(s);
        for (const NamedArray& a : arrays_)
            if (!find(ours_.stages, a.stage) && is_among(a.stage, options_.only)) missing(a);
        gradients();
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
        // A gradient need not be made of the one before it.
        if (out_.stages[k].equal && out_.first && !out_.stages[k].is_gradient) out_.stages[k].again = true;
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

    /// The array of a file that holds only one, where a gradient was asked for.
    void take_lone_gradient() {
        const auto asked = [&](const WholeStage& s) {
            return !options_.only.empty() && options_.only.back() == s.gradient;
        };
        if (std::none_of(ours_.gradients.begin(), ours_.gradients.end(), asked)) return;
        std::erase_if(arrays_, [&](const NamedArray& a) {
            if (!a.array->name.empty()) return false;
            gradients_.push_back({a.array, {options_.only.back()}});
            return true;
        });
    }

    /// Each of theirs beside the first of those that it may be and whose shape fits.
    void gradients() {
        std::vector<const NamedGradient*> beside(ours_.gradients.size());
        for (const NamedGradient& g : gradients_) {
            std::optional<std::size_t> taken;
            for (const std::string& name : g.among) {
                const WholeStage* mine = find_gradient(ours_.gradients, name);
                if (!mine || !is_among(name, options_.only)) continue;
                const auto k = static_cast<std::size_t>(mine - ours_.gradients.data());
                if (beside[k]) continue;
                const bool fit = fits(*g.array, *mine, ours_.joined_heads(), g.layout);
                if (!taken || fit) taken = k;
                if (fit) break;
            }
            if (taken) beside[*taken] = &g;
            if (!taken && options_.only.empty())
                out_.not_compared.push_back(visible(g.array->name) + " (ours has no such gradient)");
        }
        for (std::size_t k = 0; k < beside.size(); ++k)
            if (beside[k])
                largest_gradient_ = std::max(largest_gradient_, largest_of(ours_.gradients[k].values));
        for (std::size_t k = 0; k < beside.size(); ++k) {
            if (!beside[k]) continue;
            common_ = true;
            gradient(*beside[k], ours_.gradients[k]);
        }
        if (!named_otherwise_.empty()) out_.notes.push_back(named_otherwise_);
        const Tolerance t = gradient_tolerance(out_.tolerance, 1, 1);
        if (largest_gradient_ > 0 && !t.asked)
            out_.notes.push_back("gradients are equal within " + significant(t.atol, 6) +
                                 " of their largest number + " + significant(t.rtol, 6) + " |ours|");
    }

    void gradient(const NamedGradient& g, const WholeStage& whole) {
        static const Dump none;
        const auto part = cut_alike(whole, ours_, *g.array, theirs_.dump ? *theirs_.dump : none);
        const WholeStage& mine = part ? *part : whole;
        read_as_ours(*g.array, ours_);
        StageComparison c = begun(mine.gradient, *g.array);
        c.is_gradient = true;
        c.shape = shape_by_axes(mine);
        c.axes = names_by_axes(mine.family());
        if (!g.array->name.empty() && !g.array->name.ends_with(c.name))
            named_otherwise_ += (named_otherwise_.empty() ? "" : ", ") + visible(g.array->name) +
                                " is compared with " + c.name;
        auto aligned = align(std::move(*g.array), mine, ours_.joined_heads(), g.layout);
        if (!aligned) {
            c.fits = false;
            return push(std::move(c));
        }
        const Tolerance t = gradient_tolerance(out_.tolerance, largest_of(mine.values), largest_gradient_);
        const bool square = has_all_keys(mine.family()) && has_heads(mine.family());
        measure(c, {aligned->stage.values, mine.values, aligned->stage.half_unit}, square, t);
        if (!aligned->said.empty())
            out_.notes.push_back(c.name + ": theirs " + to_string(c.their_shape) + " " + aligned->said);
        say_digits(c);
        out_.their_gradients.push_back(std::move(aligned->stage));
        push(std::move(c));
    }

    void stage(Stage s) {
        const auto a =
            std::find_if(arrays_.begin(), arrays_.end(), [&](const NamedArray& n) { return n.stage == s; });
        const WholeStage* mine = find(ours_.stages, s);
        if (a == arrays_.end() || !mine) {
            if (info_of(s).on_request || (a != arrays_.end() && !mine)) return;
            if (arrays_.empty() && !gradients_.empty()) return;  // of a backward pass alone
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
        if (!out_.tolerance.asked) allow_steps(aligned->stage, mine, ours_.type);
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
            if (o->name == array.name) mine = o;
        for (const GivenArray* o : ours_.others)
            if (!mine && split_name(o->name).stage == left.name) mine = o;
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
    std::vector<NamedGradient> gradients_;
    std::string named_otherwise_;  ///< gradients, in words
    double largest_gradient_ = 0;  ///< of those of ours that are compared
    Comparison out_;
    bool common_ = false;
};

}  // namespace

Comparison compare(const Layer& theirs, const Ours& ours, const CompareOptions& options) {
    return Comparer(theirs, ours, options).run();
}

}  // namespace attn
