// A comparison as pictures: SVG for a paper, a page of HTML to look into.
#include "lib/render/comparisons/diff_pictures.hpp"

#include <algorithm>
#include <cmath>

#include "lib/render/escape.hpp"
#include "lib/render/json_text.hpp"
#include "lib/render/pictures/page_data.hpp"
#include "lib/render/pictures/page_frame.hpp"
#include "lib/render/pictures/svg.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace {

constexpr int diff_margin = 16, diff_gap = 40, diff_line = 16, diff_columns = 110;

/// The axes of a picture of a whole stage.
void name_axes(Picture& p, const WholeStage& s) {
    const StageShape family = s.family();
    const bool keys = row_kind(family) == RowKind::new_keys || row_kind(family) == RowKind::all_keys ||
                      family == StageShape::per_key;
    const bool states = family == StageShape::state || family == StageShape::states;
    p.rows.name = states ? "dim of keys" : keys ? "keys" : "queries";
    p.rows.one = states ? "dim" : keys ? "key" : "query";
    p.columns.name = has_all_keys(family) ? "keys" : "dim";
    p.columns.one = has_all_keys(family) ? "key" : "dim";
    p.rows.numbers = counted(s.shape[2]);
    p.columns.numbers = counted(s.shape[3]);
}

/// One side, or their difference, with the numbers of `values`.
template <class T>
Picture picture_of_side(const WholeStage& s, const std::string& side, const std::vector<double>& values) {
    Picture p;
    p.name = side + " " + std::string(s.name());
    p.weights = s.gradient.empty() && is_weights(s.stage) && side != "difference";
    name_axes(p, s);
    const Index panels = s.shape[0] * s.shape[1], cells = s.shape[2] * s.shape[3];
    PictureFiller filler(p, sizeof(T) == sizeof(float) ? DType::float32 : DType::float64, panels, false);
    std::vector<T> row(idx(s.shape[3]));
    for (Index k = 0; k < panels; ++k) {
        const Index b = k / s.shape[1], h = k % s.shape[1];
        std::string title = s.shape[0] > 1 ? "batch " + std::to_string(b) : "";
        if (s.shape[1] > 1) title += (title.empty() ? "head " : ", head ") + std::to_string(h);
        filler.begin_panel({b, h, {}, std::move(title)});
        for (Index i = 0; i < s.shape[2]; ++i) {
            const auto from = values.begin() + k * cells + i * s.shape[3];
            std::transform(from, from + s.shape[3], row.begin(), [](double v) { return static_cast<T>(v); });
            filler.add_row(row.data(), nullptr);
        }
    }
    filler.finish();
    return p;
}

bool is_single(Element e) { return e == Element::float32 || e == Element::float16 || e == Element::bfloat16; }

Picture picture_of_side(const WholeStage& s, const std::string& side, Element type) {
    return is_single(type) ? picture_of_side<float>(s, side, s.values)
                           : picture_of_side<double>(s, side, s.values);
}

std::string words_of(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                     const RenderOptions& options, int width) {
    RenderOptions plain = options;
    plain.colour = false;
    plain.width = width;
    return diff_text(reports, missing, plain);
}

/// Numbers of the first difference, or of the largest, for each axis.
std::string first_json(const StageComparison& s) {
    return s.first_at.empty() ? "null" : json_indices(s.first_at);
}

std::string stage_words(const StageComparison& s) {
    if (s.equal)
        return s.name + " is equal within the tolerance; the largest difference is " +
               significant(s.largest, 4);
    return s.name + " differs: " + std::to_string(s.outside) + " of " + std::to_string(s.count) +
           " numbers, by " + significant(s.largest, 4) + " at most" +
           (s.needed_atol ? "; it passes with atol " + significant(*s.needed_atol, 3) : "");
}

class DiffPage {
  public:
    DiffPage(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing, Output& output,
             const RenderOptions& options)
        : reports_(reports), missing_(missing), output_(output), options_(options) {}

    void write() {
        stages_.begin(nullptr);
        if (const DiffPart* part = shown_part(reports_)) add(*part);
        const std::string styles = std::string(page::style) + std::string(svg_styles());
        std::string text = page_head("attn-calc diff", styles, page::comparison_script) +
                           "<main>\n<h1>Theirs and ours</h1>\n<pre class=\"report\">" +
                           xml_text(words_of(reports_, missing_, options_, diff_columns)) + "</pre>\n";
        if (!compared_.empty()) text += std::string(page::comparison_markup) + first_;
        text += "</main>\n";
        std::size_t blocks = 0;
        const std::string head = data(blocks);
        output_.write(text);
        if (!compared_.empty()) {
            output_.write("<script type=\"application/json\" id=\"data\">\n" + head + "\n</script>\n");
            std::size_t number = 0;
            for (PageStage& s : stages_.all())
                if (s.has_block()) write_block(output_, number++, s.bytes());
        }
        output_.write(page_foot(compared_.empty() ? std::string_view() : page::comparison_script));
        output_.flush();
    }

  private:
    void add(const DiffPart& part) {
        const StageComparison* chosen = shown_stage(part);
        tolerance_ = part.comparison.tolerance;
        double bytes = other_page_bytes;
        for (const StageComparison& s : part.comparison.stages) {
            std::vector<Picture> pictures = diff_pictures(part, s);
            if (pictures.empty()) continue;
            if (&s == chosen) {
                chosen_ = s.name;
                first_ = first_picture(pictures);
            }
            for (const std::size_t side : {std::size_t{0}, std::size_t{1}})
                bytes += base64_bytes(stages_.add(pictures[side]));
            stages_.add_difference(pictures[2], pictures[0].name, pictures[1].name);
            if (bytes > most_page_bytes) refuse_large_page("the comparison", bytes);
            compared_ +=
                (compared_.empty() ? "" : ",\n") + json_object({{"name", json_string(s.name)},
                                                                {"axes", json_strings(s.axes)},
                                                                {"shape", json_indices(s.shape)},
                                                                {"words", json_string(stage_words(s))},
                                                                {"first", first_json(s)},
                                                                {"equal", s.equal ? "true" : "false"}});
        }
    }

    std::string first_picture(const std::vector<Picture>& pictures) const {
        std::string out = "<div id=\"first\">\n";
        for (const Picture& p : pictures) {
            if (p.single.size() + p.wide.size() > most_first_cells) continue;
            const SvgPart part = svg_part(p, options_);
            const std::string width = std::to_string(part.width), height = std::to_string(part.height);
            out += "<svg class=\"attn-calc\" viewBox=\"0 0 " + width + " " + height + "\" width=\"" + width +
                   "\" height=\"" + height + "\" role=\"img\" aria-label=\"" + xml_text(p.name) +
                   "\">\n<defs>\n" + (&p == pictures.data() ? svg_definitions() : "") +
                   "</defs>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n" + part.text +
                   "</svg>\n";
        }
        return out + "</div>\n";
    }

    std::string data(std::size_t& blocks) const {
        return json_for_html(json_object({{"title", "\"diff\""},
                                          {"plan", "\"\""},
                                          {"tool", json_string("attn-calc " ATTN_VERSION)},
                                          {"precision", std::to_string(options_.precision)},
                                          {"start", "\"\""},
                                          {"sentence", "\"\""},
                                          {"chosen", json_string(chosen_)},
                                          {"atol", json_number(tolerance_.ulp ? 0 : tolerance_.atol)},
                                          {"rtol", json_number(tolerance_.ulp ? 0 : tolerance_.rtol)},
                                          {"compared", "[" + compared_ + "]"},
                                          {"warnings", "[]"},
                                          {"axes", axes_json(stages_)},
                                          {"stages", stages_json(stages_, blocks)},
                                          {"inputs", "[]"},
                                          {"rules", "{}"},
                                          {"weights", "{}"},
                                          {"lists", "{}"},
                                          {"hides", "[]"},
                                          {"hidden", "null"},
                                          {"ramps", ramps_json()}},
                                         2));
    }

    static constexpr std::size_t most_first_cells = 20000;
    const std::vector<DiffReport>& reports_;
    const std::vector<std::string>& missing_;
    Output& output_;
    RenderOptions options_;
    PageStages stages_;
    Tolerance tolerance_;
    std::string compared_, chosen_, first_;
};

}  // namespace

std::vector<Picture> diff_pictures(const DiffPart& part, const StageComparison& stage) {
    const bool named = stage.stage || stage.is_gradient;
    if (!named || !stage.present || stage.missing || !stage.fits) return {};
    const WholeStage* theirs = stage.is_gradient ? find_gradient(part.comparison.their_gradients, stage.name)
                                                 : find(part.comparison.theirs, *stage.stage);
    const WholeStage* ours =
        stage.is_gradient ? find_gradient(part.ours, stage.name) : find(part.ours, *stage.stage);
    if (theirs && is_of_parameter(theirs->family())) return {};  // rows and columns are no tokens
    if (!theirs || !ours || theirs->shape != ours->shape || theirs->values.empty()) return {};
    std::vector<double> difference(theirs->values.size());
    for (std::size_t k = 0; k < difference.size(); ++k)
        difference[k] = theirs->values[k] == ours->values[k] ? 0 : theirs->values[k] - ours->values[k];
    std::vector<Picture> out;
    out.push_back(picture_of_side(*theirs, "theirs", stage.their_type.value_or(Element::float64)));
    out.push_back(picture_of_side(*ours, "ours", part.our_type));
    out.push_back(picture_of_side<double>(*theirs, "difference", difference));
    Extent both = out[0].extent;
    both.add(out[1].extent.least, out[1].extent.largest);
    out[0].scale = out[1].scale = scale_of(out[0].weights, both);
    return out;
}

const DiffPart* shown_part(const std::vector<DiffReport>& reports) {
    const DiffPart* first = nullptr;
    for (const DiffReport& r : reports)
        for (const DiffPart& p : r.parts) {
            if (!p.comparison.equal()) return &p;
            if (!first) first = &p;
        }
    return first;
}

const StageComparison* shown_stage(const DiffPart& part) {
    const Comparison& c = part.comparison;
    if (c.first && !diff_pictures(part, c.stages[*c.first]).empty()) return &c.stages[*c.first];
    for (auto s = c.stages.rbegin(); s != c.stages.rend(); ++s)
        if (!diff_pictures(part, *s).empty()) return &*s;
    return nullptr;
}

void write_diff_svg(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                    Output& output, const RenderOptions& options) {
    const DiffPart* part = shown_part(reports);
    const StageComparison* stage = part ? shown_stage(*part) : nullptr;
    std::string body;
    int x = diff_margin, tallest = 0, width = 0;
    if (stage)
        for (const Picture& p : diff_pictures(*part, *stage)) {
            const SvgPart drawn = svg_part(p, options);
            body += "<g class=\"stage\" transform=\"translate(" + std::to_string(x) + "," +
                    std::to_string(diff_margin) + ")\">\n" + drawn.text + "</g>\n";
            x += drawn.width + diff_gap;
            tallest = std::max(tallest, drawn.height);
        }
    width = std::max(x, 800);
    int y = diff_margin + tallest + 2 * diff_line;
    const std::string words = words_of(reports, missing, options, diff_columns);
    for (std::size_t from = 0; from < words.size();) {
        const std::size_t end = std::min(words.find('\n', from), words.size());
        body += "<text x=\"" + std::to_string(diff_margin) + "\" y=\"" + std::to_string(y) +
                "\" xml:space=\"preserve\">" + xml_text(words.substr(from, end - from)) + "</text>\n";
        y += diff_line;
        from = end + 1;
    }
    const std::string size = std::to_string(width) + " " + std::to_string(y);
    const std::string text =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"attn-calc\" viewBox=\"0 0 " + size +
        "\" width=\"" + std::to_string(width) + "\" height=\"" + std::to_string(y) +
        "\" role=\"img\">\n<title>" +
        xml_text(stage ? "theirs, ours and the difference of " + stage->name : "a comparison") +
        "</title>\n<style>\n" + std::string(svg_styles()) + "</style>\n<defs>\n" + svg_definitions() +
        "</defs>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n" + body + "</svg>\n";
    output.write(options.ascii ? xml_in_ascii(text) : text);
}

void write_diff_html(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                     Output& output, const RenderOptions& options) {
    DiffPage(reports, missing, output, options).write();
}

}  // namespace attn
