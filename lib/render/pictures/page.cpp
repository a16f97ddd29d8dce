#include "lib/render/pictures/page.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "lib/explain/writer.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/json_text.hpp"
#include "lib/render/pictures/page_data.hpp"
#include "lib/render/pictures/page_frame.hpp"
#include "lib/render/pictures/page_rules.hpp"
#include "lib/render/pictures/page_stages.hpp"
#include "lib/render/pictures/svg.hpp"
#include "lib/run/materialize.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace {

/// The first picture, which is there without script, has so many cells on a side, of so many matrices.
constexpr Index most_first_side = 64;
constexpr std::size_t most_first_panels = 16;

/// Numbers of the document, as the run reads them.
struct PageInput {
    std::string name;
    Shape shape;
    std::optional<std::string> bytes;  ///< none: they are too many for the page
};

/// In the order of bytes that the page reads.
template <class T>
std::string little_endian(const std::vector<T>& numbers) {
    std::string out(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T));
    if constexpr (std::endian::native == std::endian::big)
        for (auto at = out.begin(); at != out.end(); at += sizeof(T)) std::reverse(at, at + sizeof(T));
    return out;
}

/// A picture of at most a few small matrices.
Picture reduced(const Picture& p) {
    Picture out;
    out.name = p.name;
    out.formula = p.formula;
    out.weights = p.weights;
    out.rows = p.rows;
    out.columns = p.columns;
    const auto each = [](const PictureAxis& axis) {
        return std::max<Index>(1, (axis.whole() + most_first_side - 1) / most_first_side);
    };
    out.rows.each = each(p.rows);
    out.columns.each = each(p.columns);
    const std::size_t panels = std::min(p.panels.size(), most_first_panels);
    PictureFiller filler(out, p.dtype(), static_cast<Index>(panels), false);
    for (std::size_t panel = 0; panel < panels; ++panel) {
        filler.begin_panel(p.panels[panel]);
        for (Index i = 0; i < p.rows.whole(); ++i) {
            const std::size_t at = p.place(panel, i, 0);
            const std::uint8_t* hidden = p.hidden.empty() ? nullptr : p.hidden.data() + at;
            if (p.wide.empty())
                filler.add_row(p.single.data() + at, hidden);
            else
                filler.add_row(p.wide.data() + at, hidden);
        }
    }
    filler.finish();
    out.scale = p.scale;
    return out;
}

std::string rules_json(const Plan* plan) {
    JsonMembers m;
    if (!plan) return json_object(m, 2);
    for (const auto* list : {&plan->stages, &plan->gradients})
        for (const PlannedStage& s : *list) {
            std::vector<std::string> axes;
            for (const Axis a : axes_of(s.family)) axes.emplace_back(name_of(a));
            m.emplace_back(visible(s.name),
                           json_object({{"axes", json_strings(axes)}, {"lines", rule_json(*plan, s)}}));
        }
    return json_object(m, 2);
}

class PageWriter : public PictureWriter {
  public:
    PageWriter(Output& output, const RenderOptions& options) : output_(output), options_(options) {}

    void begin(const PictureHead& head) override {
        head_ = head;
        stages_.begin(head.plan);
        if (head.plan && least_page_bytes(*head.plan) > most_page_bytes)
            too_large(least_page_bytes(*head.plan));
    }

    void draw(Picture picture) override {
        const PlannedStage* stage = stages_.planned(picture.name);
        const bool is_of_cells =
            picture.weights && (!stage || (has_all_keys(stage->family) && has_heads(stage->family)));
        if (is_of_cells) sentence_ = picture.name;
        if (is_of_cells || !first_ || !first_->weights) first_ = reduced(picture);
        bytes_ += base64_bytes(stages_.add(std::move(picture)));
        if (bytes_ + other_page_bytes > most_page_bytes) too_large(bytes_);
    }

    void end(const std::vector<std::string>& warnings) override {
        if (head_.plan && !is_wide(head_.plan->dtype)) add_inputs<float>(*head_.plan);
        if (head_.plan && is_wide(head_.plan->dtype)) add_inputs<double>(*head_.plan);
        write(warnings);
    }

  private:
    [[noreturn]] void too_large(double bytes) const { refuse_large_page(head_.source, bytes); }

    /// The tensors of the document, as far as they fit.
    template <class T>
    void add_inputs(const Plan& plan) {
        std::optional<Pool> pool;
        std::optional<Tensors<T>> tensors;
        for (std::size_t k = 0; k < plan.tensors.size(); ++k) {
            const TensorSource& t = plan.tensors[k];
            const Index count = *element_count(t.shape);
            const bool drawn = t.kind == TensorSource::Kind::drawn_weight;
            const bool appended = drawn && (k == plan.bias_k || k == plan.bias_v);
            PageInput input{appended ? (k == plan.bias_k ? "bias_k" : "bias_v")
                            : drawn  ? "W"
                                     : explain::name_in_document(t.pointer),
                            t.shape,
                            {}};
            const double more = base64_bytes(count * size_of(plan.dtype));
            if (bytes_ + more + other_page_bytes <= most_page_bytes) {
                if (!tensors) {
                    pool.emplace(1);
                    tensors.emplace(plan, *pool);
                }
                std::vector<T> numbers(idx(count));
                tensors->copy(k, 0, numbers);
                input.bytes = little_endian(numbers);
                bytes_ += more;
            }
            inputs_.push_back(std::move(input));
        }
    }

    std::string title() const {
        const std::vector<PageStage>& stages = stages_.all();
        std::string out = head_.plan       ? std::string(head_.plan->variant->title)
                          : stages.empty() ? ""
                                           : visible(stages.front().name);
        if (!head_.source.empty() && visible(head_.source) != out) out += " · " + visible(head_.source);
        return out;
    }

    /// What the page reads before it shows anything.
    std::string data(const std::vector<std::string>& warnings, bool has_mask) const {
        std::size_t blocks = 0;
        std::string inputs, plan;
        const auto list = [](std::string& to, const std::string& item) {
            to += (to.empty() ? "" : ",\n") + item;
        };
        const std::string stages = stages_json(stages_, blocks);
        for (const PageInput& i : inputs_)
            list(inputs, json_object({{"name", json_string(i.name)},
                                      {"shape", json_indices(i.shape)},
                                      {"type", json_string(name_of(head_.plan->dtype))},
                                      {"block", i.bytes ? std::to_string(blocks++) : "null"}}));
        for (const std::string& s : head_.sentences) plan += (plan.empty() ? "" : " · ") + s;
        std::vector<std::string> said;
        for (const std::string& w : warnings) said.push_back(harmless(w));
        JsonMembers m{{"title", json_string(title())},
                      {"plan", json_string(plan)},
                      {"tool", json_string("attn-calc " ATTN_VERSION)},
                      {"precision", std::to_string(options_.precision)},
                      {"start", json_string(sentence_)},
                      {"sentence", json_string(sentence_)},
                      {"warnings", json_strings(said)},
                      {"axes", axes_json(stages_)},
                      {"stages", stages},
                      {"inputs", "[" + inputs + "]"},
                      {"rules", rules_json(head_.plan)},
                      {"hidden", has_mask ? json_object({{"shape", json_indices(stages_.mask_shape())},
                                                         {"block", std::to_string(blocks)}})
                                          : "null"},
                      {"ramps", ramps_json()}};
        const JsonMembers facts = head_.plan
                                      ? rule_facts(*head_.plan)
                                      : JsonMembers{{"weights", "{}"}, {"lists", "{}"}, {"hides", "[]"}};
        m.insert(m.end(), facts.begin(), facts.end());
        return json_for_html(json_object(m, 2));
    }

    /// What is there without script.
    std::string first_picture() const {
        if (!first_) return {};
        constexpr int margin = 8;
        const SvgPart part = svg_part(*first_, options_);
        const std::string width = std::to_string(part.width + 2 * margin),
                          height = std::to_string(part.height + 2 * margin);
        const std::string note = reduction_note(*first_);
        return "<p>" + xml_text(title()) + "</p>\n<svg class=\"attn-calc\" viewBox=\"-8 -8 " + width + " " +
               height + "\" width=\"" + width + "\" height=\"" + height + "\" role=\"img\" aria-label=\"" +
               xml_text(title()) + "\">\n<defs>\n" + svg_definitions() +
               "</defs>\n<rect class=\"ground\" x=\"-8\" y=\"-8\" width=\"100%\" height=\"100%\"/>\n" +
               part.text + "</svg>\n" + (note.empty() ? "" : "<p>" + xml_text(note) + "</p>\n");
    }

    void block(std::string_view bytes) { write_block(output_, blocks_written_++, bytes); }

    void write(const std::vector<std::string>& warnings) {
        const std::string mask = stages_.take_mask();
        const std::string styles = std::string(page::style) + std::string(svg_styles());
        const std::string text = page_head(title(), styles, page::script) + std::string(page::markup) +
                                 "<div id=\"first\">\n" + first_picture() + "</div>\n",
                          head = data(warnings, !mask.empty());
        const double size = bytes_ + base64_bytes(static_cast<Index>(mask.size())) +
                            static_cast<double>(text.size() + head.size() + page::script.size());
        if (size > most_page_bytes) too_large(size);
        output_.write(text);
        output_.write("<script type=\"application/json\" id=\"data\">\n" + head + "\n</script>\n");
        for (PageStage& s : stages_.all())
            if (s.has_block()) block(s.bytes());
        for (const PageInput& i : inputs_)
            if (i.bytes) block(*i.bytes);
        if (!mask.empty()) block(mask);
        output_.write(page_foot(page::script));
        output_.flush();
    }

    Output& output_;
    RenderOptions options_;
    PictureHead head_;
    PageStages stages_;
    std::vector<PageInput> inputs_;
    std::optional<Picture> first_;
    std::string sentence_;  ///< the stage of weights that says what a word attends to
    double bytes_ = 0;      ///< of the blocks
    std::size_t blocks_written_ = 0;
};

}  // namespace

double least_page_bytes(const Plan& plan) {
    double bytes = other_page_bytes;
    for (const PlannedStage& s : plan.stages) {
        const bool may_be_known = s.stage == Stage::scaled_scores || s.stage == Stage::masked_scores ||
                                  (plan.masked && is_weights(s.stage));
        if (s.shown && !may_be_known)
            bytes += base64_bytes(*element_count(plan.shown_shape(s)) * size_of(plan.dtype));
    }
    for (const PlannedStage& s : plan.gradients) {
        const Phase phase = info_of(s.stage).phase;
        const bool is_cells = phase == Phase::cells || phase == Phase::paired;
        if (s.shown && !(plan.masked && is_cells))
            bytes += base64_bytes(*element_count(plan.shown_shape(s)) * size_of(plan.dtype));
    }
    return bytes;
}

std::unique_ptr<PictureWriter> make_page_writer(Output& output, const RenderOptions& options) {
    return std::make_unique<PageWriter>(output, options);
}

std::unique_ptr<Sink> make_page(Output& output, const RenderOptions& options) {
    return make_picture_sink(make_page_writer(output, options), options);
}

}  // namespace attn
