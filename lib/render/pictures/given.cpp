#include "lib/render/pictures/given.hpp"

#include <algorithm>
#include <cmath>

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/plan/selection.hpp"
#include "lib/render/render.hpp"
#include "lib/text.hpp"
#include "lib/theirs/names.hpp"

namespace attn {
namespace {

constexpr double slack_of_sums = 1e-3;

std::string stage_name(const GivenArray& array) { return split_name(array.name).stage; }

/// An array as matrices: the axes before its last two, one after another.
struct Matrices {
    std::vector<Index> leading;           ///< lengths of the axes before rows and columns
    std::vector<std::string_view> names;  ///< of these
    Index rows = 1, columns = 1;
    std::string_view row_name = "rows", row_one = "row", column_name = "columns", column_one = "column";
    bool one_row = false;

    Index count() const {
        Index n = 1;
        for (const Index length : leading) n *= length;
        return n;
    }
    /// The place of matrix `k` on a leading axis, 0 where there is no such axis.
    std::optional<Index> place(Index k, std::string_view axis) const {
        for (std::size_t a = leading.size(); a-- > 0; k /= leading[a])
            if (names[a] == axis) return k % leading[a];
        return std::nullopt;
    }
    Index length(std::string_view axis) const {
        for (std::size_t a = 0; a < leading.size(); ++a)
            if (names[a] == axis) return leading[a];
        return 1;
    }
};

struct AxisWord {
    std::string_view many, one;
};
AxisWord word_of(Axis axis) {
    switch (axis) {
        case Axis::query:
            return {"queries", "query"};
        case Axis::key:
            return {"keys", "key"};
        case Axis::batch:
        case Axis::head:
        case Axis::dim:
        case Axis::d_in:
        case Axis::d_out:
        case Axis::tap:
        case Axis::bucket:
            break;
    }
    return {"dim", "dim"};
}

/// No number below 0 and no sum of a row above 1: what a softmax makes, dropped, masked or cut.
bool looks_like_weights(const GivenArray& array) {
    const Index columns = array.shape.back();
    double sum = 0;
    bool any = false;
    for (std::size_t k = 0; k < array.values.size(); ++k) {
        const double x = array.values[k];
        if (static_cast<Index>(k) % columns == 0) sum = 0;
        if (std::isnan(x)) continue;  // an empty row
        sum += x;
        if (x < 0 || sum > 1 + slack_of_sums) return false;
        any = any || x > 0;
    }
    return any;
}

bool is_weights_array(const GivenArray& array) {
    const auto stage = stage_named(stage_name(array));
    return stage ? is_weights(*stage) : looks_like_weights(array);
}

Matrices matrices_of(const GivenArray& array) {
    Matrices out;
    const auto stage = stage_named(stage_name(array));
    Shape shape = array.shape;
    std::vector<Axis> axes{Axis::batch, Axis::head, Axis::dim, Axis::dim};
    bool known = false;
    if (stage) {
        const auto own = axes_of(info_of(*stage).shape);
        known = shape.size() <= own.size() ||
                std::all_of(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(own.size()),
                            [](Index n) { return n == 1; });
        if (known) axes.assign(own.begin(), own.end());
    }
    while (known && shape.size() > axes.size()) shape.erase(shape.begin());
    out.one_row = known ? has_one_row(info_of(*stage).shape) : shape.size() < 2;
    out.columns = shape.back();
    shape.pop_back();
    if (!out.one_row && !shape.empty()) {
        out.rows = shape.back();
        shape.pop_back();
    }
    std::vector<Axis> before(axes.begin(), axes.end() - (out.one_row && known ? 1 : 2));
    out.leading = shape;
    for (std::size_t k = 0; k < shape.size(); ++k) {
        const std::size_t from_end = shape.size() - k;
        const bool named = from_end <= before.size();
        out.names.push_back(named ? name_of(before[before.size() - from_end]) : std::string_view());
    }
    if (known) {
        const AxisWord column = word_of(axes.back());
        out.column_name = column.many;
        out.column_one = column.one;
        const AxisWord row = out.one_row ? AxisWord{"", "row"} : word_of(axes[axes.size() - 2]);
        out.row_name = row.many;
        out.row_one = row.one;
    } else if (is_weights_array(array)) {
        out.column_name = "keys";
        out.column_one = "key";
        out.row_name = out.one_row ? "" : "queries";
        out.row_one = "query";
    } else if (out.one_row) {
        out.row_name = "";
    }
    return out;
}

/// Original numbers of an axis, where a trace says which part of it it holds.
std::vector<Index> numbers_of(const Dump& dump, std::string_view axis, Index length) {
    for (const AxisPart& part : dump.selection)
        if (part.axis == axis && static_cast<Index>(part.indices.size()) == length) return part.indices;
    return counted(length);
}

class Chooser {
  public:
    Chooser(const Dump& dump, const Request& request) : dump_(dump), request_(request) {}

    std::vector<GivenPicture> choose() {
        const std::vector<const GivenArray*> arrays = request_.stages.empty() ? usual() : named();
        if (arrays.empty()) refuse("holds no numbers that can be drawn");
        std::vector<GivenPicture> out;
        for (const GivenArray* array : arrays) {
            if (array->values.empty()) refuse("has " + visible(array->name) + " without numbers");
            out.push_back(prepare(*array));
        }
        return out;
    }

  private:
    [[noreturn]] void refuse(const std::string& message) const {
        Error error(Exit::input, {}, message);
        error.place.file = dump_.file;
        throw error;
    }

    /// Of each layer the last weights, or its last array.
    std::vector<const GivenArray*> usual() const {
        std::vector<const GivenArray*> out;
        std::vector<std::string> layers;
        for (const GivenArray& a : dump_.arrays)
            if (const std::string layer = split_name(a.name).layer;
                std::find(layers.begin(), layers.end(), layer) == layers.end())
                layers.push_back(layer);
        const auto add_last = [&](auto&& fits) {
            for (const std::string& layer : layers) {
                const GivenArray* last = nullptr;
                for (const GivenArray& a : dump_.arrays)
                    if (split_name(a.name).layer == layer && !a.values.empty() && fits(a)) last = &a;
                if (last) out.push_back(last);
            }
        };
        add_last([](const GivenArray& a) { return stage_name(a) != "mean_weights" && is_weights_array(a); });
        if (out.empty()) add_last([](const GivenArray&) { return true; });
        return out;
    }

    std::vector<const GivenArray*> named() const {
        std::vector<const GivenArray*> out;
        for (const std::string& name : request_.stages) {
            const std::size_t before = out.size();
            for (const GivenArray& a : dump_.arrays)
                if (a.name == name || stage_name(a) == name) out.push_back(&a);
            if (out.size() > before) continue;
            std::vector<std::string_view> here;
            std::string all;
            for (const GivenArray& a : dump_.arrays) {
                here.push_back(a.name);
                all += (all.empty() ? "" : ", ") + (a.name.empty() ? "one without a name" : visible(a.name));
            }
            const std::string near = did_you_mean(name, here);
            fail_usage(option::stages + " " + name + ": " + dump_.file + " holds no such array",
                       (near.empty() ? "" : near + " ") + "arrays: " + clip(all, 200));
        }
        return out;
    }

    /// The places on an axis that are shown.
    std::vector<Index> select(std::string_view axis, Index length) const {
        const std::vector<std::string>* tokens = tokens_of(axis, length);
        if (axis == "queries" || axis == "rows")
            return select_axis(request_.rows, length, tokens, {option::rows, "row", "rows"}).indices;
        if (axis == "keys" || axis == "columns")
            return select_axis(request_.cols, length, tokens, {option::cols, "column", "columns"}).indices;
        return counted(length);
    }

    /// Tokens for an axis of that length: those that are asked for, or the trace's own.
    const std::vector<std::string>* tokens_of(std::string_view axis, Index length) const {
        if (axis == "dim" || axis.empty()) return nullptr;
        if (request_.tokens && static_cast<Index>(request_.tokens->size()) == length)
            return &*request_.tokens;
        const auto& own = axis == "queries" ? dump_.query_tokens : dump_.key_tokens;
        const bool known = axis == "queries" || axis == "keys";
        return known && static_cast<Index>(own.size()) == length ? &own : nullptr;
    }

    PictureAxis axis_of(std::string_view name, std::string_view one, Index length,
                        const std::vector<Index>& places) const {
        PictureAxis axis{std::string(name), std::string(one), {}, {}, 1};
        const std::vector<Index> numbers = numbers_of(dump_, one, length);
        const std::vector<std::string>* tokens = tokens_of(name, length);
        for (const Index k : places) {
            axis.numbers.push_back(numbers[idx(k)]);
            if (tokens) axis.labels.push_back((*tokens)[idx(k)]);
        }
        return axis;
    }

    GivenPicture prepare(const GivenArray& array) const {
        const Matrices m = matrices_of(array);
        GivenPicture out;
        out.array = &array;
        out.row_count = m.rows;
        out.column_count = m.columns;
        out.rows = select(m.row_name, m.rows);
        out.columns = select(m.column_name, m.columns);
        Picture& picture = out.picture;
        picture.name = array.name.empty() ? dump_.file : array.name;
        picture.weights = is_weights_array(array);
        if (const auto stage = stage_named(stage_name(array)); stage && is_score(*stage))
            picture.masked_as = -std::numeric_limits<double>::infinity();
        picture.rows = axis_of(m.row_name, m.row_one, m.rows, out.rows);
        picture.columns = axis_of(m.column_name, m.column_one, m.columns, out.columns);
        if (request_.tokens && picture.rows.labels.empty() && picture.columns.labels.empty())
            fail_usage(option::tokens + " has " + std::to_string(request_.tokens->size()) + " tokens, but " +
                       visible(picture.name) + " has " + std::to_string(m.rows) + " rows and " +
                       std::to_string(m.columns) + " columns");
        choose_panels(m, out);
        out.masked = mask_of(array, m);
        return out;
    }

    void choose_panels(const Matrices& m, GivenPicture& out) const {
        const Index batch = m.length("batch"), heads = m.length("head");
        const auto batch_shown =
            select_axis(request_.batch, batch, nullptr, {option::batch, "batch item", "batch items"}).indices;
        const auto heads_shown =
            select_axis(request_.heads, heads, nullptr, {option::heads, "head", "heads"}).indices;
        const auto batch_numbers = numbers_of(dump_, "batch", batch),
                   head_numbers = numbers_of(dump_, "head", heads);
        const auto shows = [](const std::vector<Index>& shown, Index k) {
            return std::binary_search(shown.begin(), shown.end(), k);
        };
        for (Index k = 0; k < m.count(); ++k) {
            const Index b = m.place(k, "batch").value_or(0), h = m.place(k, "head").value_or(0);
            if (!shows(batch_shown, b) || !shows(heads_shown, h)) continue;
            PicturePanel panel{batch_numbers[idx(b)], head_numbers[idx(h)], m.place(k, "key"), {}};
            const auto add = [&](std::string_view what, Index n) {
                panel.title +=
                    (panel.title.empty() ? "" : ", ") + std::string(what) + " " + std::to_string(n);
            };
            if (batch > 1) add("batch", panel.batch);
            if (heads > 1) add("head", panel.head);
            if (panel.token) add("after key", *panel.token);
            if (m.count() > batch * heads && !panel.token) add("matrix", k);
            out.panels.push_back(std::move(panel));
            out.matrices.push_back(k);
        }
    }

    /// The scores under the mask, beside cells of the same size.
    const GivenArray* mask_of(const GivenArray& array, const Matrices& m) const {
        const SplitName name = split_name(array.name);
        const auto stage = stage_named(name.stage);
        if (!stage || info_of(*stage).shape != StageShape::query_key) return nullptr;
        for (const GivenArray& a : dump_.arrays) {
            const SplitName other = split_name(a.name);
            if (other.layer == name.layer && other.stage == info_of(Stage::masked_scores).name &&
                a.values.size() == array.values.size() && matrices_of(a).columns == m.columns)
                return &a;
        }
        return nullptr;
    }

    const Dump& dump_;
    const Request& request_;
};

}  // namespace

std::vector<GivenPicture> choose_given(const Dump& dump, const Request& request) {
    return Chooser(dump, request).choose();
}

void draw_given(const std::vector<GivenPicture>& given, PictureWriter& writer, const RenderOptions& options) {
    for (const GivenPicture& g : given) {
        Picture picture = g.picture;
        reduce_to(picture, writer.most(picture, static_cast<Index>(g.panels.size())));
        // Nothing that a float does not hold is asked of one.
        const bool narrow = std::all_of(g.array->values.begin(), g.array->values.end(), [](double x) {
            return std::isnan(x) || static_cast<double>(static_cast<float>(x)) == x;
        });
        PictureFiller filler(picture, narrow ? DType::float32 : DType::float64,
                             static_cast<Index>(g.panels.size()), options.sums);
        std::vector<double> row(g.columns.size());
        std::vector<float> single(g.columns.size());
        std::vector<std::uint8_t> hidden(g.columns.size());
        for (std::size_t p = 0; p < g.panels.size(); ++p) {
            filler.begin_panel(g.panels[p]);
            for (const Index i : g.rows) {
                const std::size_t from = idx((g.matrices[p] * g.row_count + i) * g.column_count);
                for (std::size_t j = 0; j < row.size(); ++j) {
                    const std::size_t at = from + idx(g.columns[j]);
                    row[j] = g.array->values[at];
                    single[j] = static_cast<float>(row[j]);
                    hidden[j] =
                        g.masked && g.masked->values[at] == -std::numeric_limits<double>::infinity() ? 1 : 0;
                }
                const std::uint8_t* const mask = g.masked ? hidden.data() : nullptr;
                narrow ? filler.add_row(single.data(), mask) : filler.add_row(row.data(), mask);
            }
        }
        filler.finish();
        writer.draw(std::move(picture));
    }
}

}  // namespace attn
