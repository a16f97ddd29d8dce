#include "lib/render/pictures/svg.hpp"

#include <algorithm>
#include <cmath>

#include "lib/render/bytes.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/pictures/figures.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr int margin = 16, gap_of_parts = 40, widest_strip = 1280;

/// Of all matrices of a picture together, and of one on each side.
constexpr double most_pixels = 6e6;
constexpr Index most_side = 1400, least_side = 128;

/// Colours at equal distances; between them a viewer mixes.
std::string gradient(std::string_view id, Ramp ramp) {
    constexpr int stops = 32;
    std::string out = "<linearGradient id=\"" + std::string(id) + "\">\n";
    for (int k = 0; k <= stops; ++k) {
        const double place = static_cast<double>(k) / stops;
        out += "<stop offset=\"" + significant(place, 5) + "\" stop-color=\"" + hex(colour_at(ramp, place)) +
               "\"/>\n";
    }
    return out + "</linearGradient>\n";
}

class SvgWriter : public PictureWriter {
  public:
    SvgWriter(Output& output, const RenderOptions& options) : output_(output), options_(options) {}

    void begin(const PictureHead& head) override {
        parts_.clear();
        head_ = head;
        head_.plan = nullptr;
    }

    PictureSize most(const Picture&, Index panels) const override {
        const auto side =
            static_cast<Index>(std::sqrt(most_pixels / static_cast<double>(std::max<Index>(panels, 1))));
        const Index most = std::clamp(side, least_side, most_side);
        return {most, most};
    }

    void draw(Picture picture) override {
        names_ += (names_.empty() ? "" : ", ") + heading_of(picture);
        parts_.push_back(svg_part(picture, options_));
    }

    void end(const std::vector<std::string>& warnings) override {
        // A strip of parts, broken where it becomes too wide.
        int x = margin, y = margin, line = 0, width = 0;
        std::vector<std::pair<int, int>> places;
        for (const SvgPart& part : parts_) {
            if (x > margin && x + part.width > widest_strip) {
                x = margin;
                y += line + gap_of_parts;
                line = 0;
            }
            places.emplace_back(x, y);
            x += part.width + gap_of_parts;
            width = std::max(width, x - gap_of_parts);
            line = std::max(line, part.height);
        }
        const std::string size = std::to_string(width + margin) + " " + std::to_string(y + line + margin);
        std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"attn-calc\" viewBox=\"0 0 " +
                           size + "\" width=\"" + std::to_string(width + margin) + "\" height=\"" +
                           std::to_string(y + line + margin) + "\" role=\"img\">\n<title>" +
                           xml_text(clip(names_, 200)) + "</title>\n<desc>" +
                           xml_text(description(warnings)) + "</desc>\n<style>\n" +
                           std::string(svg_styles()) + "</style>\n<defs>\n" + svg_definitions() +
                           "</defs>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n";
        pass(text);
        for (std::size_t k = 0; k < parts_.size(); ++k) {
            pass("<g class=\"stage\" transform=\"translate(" + std::to_string(places[k].first) + "," +
                 std::to_string(places[k].second) + ")\">\n");
            pass(parts_[k].text);
            parts_[k].text = std::string();
            pass("</g>\n");
        }
        pass("</svg>\n");
        output_.flush();
    }

  private:
    void pass(std::string_view text) {
        options_.ascii ? output_.write(xml_in_ascii(text)) : output_.write(text);
    }

    std::string description(const std::vector<std::string>& warnings) const {
        std::string out = head_.source.empty() ? "" : visible(head_.source) + "\n";
        for (const std::string& sentence : head_.sentences) out += sentence + "\n";
        for (const std::string& warning : warnings) out += "warning: " + harmless(warning) + "\n";
        if (!out.empty()) out.pop_back();
        return out;
    }

    Output& output_;
    RenderOptions options_;
    PictureHead head_;
    std::string names_;
    std::vector<SvgPart> parts_;
};

}  // namespace

std::string_view svg_styles() {
    return R"(.attn-calc text { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #222; }
.attn-calc .ground { fill: #fff; }
.attn-calc .heading { font-size: 12px; }
.attn-calc .name, .attn-calc .title { font-weight: bold; }
.attn-calc .axis, .attn-calc .legend { fill: #555; }
.attn-calc .middle, .attn-calc .number { text-anchor: middle; }
.attn-calc .end { text-anchor: end; }
.attn-calc .white { fill: #fff; }
.attn-calc .hidden { fill: url(#attn-hatch); }
.attn-calc .other { fill: url(#attn-other); }
.attn-calc .frame { fill: none; stroke: #999; }
)";
}

std::string svg_definitions() {
    return "<pattern id=\"attn-hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">"
           "<rect width=\"6\" height=\"6\" fill=\"#fff\"/>"
           "<path d=\"M-1,1l2,-2M0,6l6,-6M5,7l2,-2\" stroke=\"#999\"/></pattern>\n"
           "<pattern id=\"attn-other\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">"
           "<rect width=\"6\" height=\"6\" fill=\"#fff\"/>"
           "<path d=\"M0,0l6,6M0,6l6,-6\" stroke=\"#c2185b\"/></pattern>\n" +
           gradient("attn-sequential", Ramp::sequential) + gradient("attn-diverging", Ramp::diverging);
}

std::unique_ptr<PictureWriter> make_svg_writer(Output& output, const RenderOptions& options) {
    return std::make_unique<SvgWriter>(output, options);
}

std::unique_ptr<Sink> make_svg(Output& output, const RenderOptions& options) {
    return make_picture_sink(make_svg_writer(output, options), options);
}

}  // namespace attn
