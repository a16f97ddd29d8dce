// One picture as a piece of an SVG.
#include <algorithm>
#include <array>
#include <cmath>

#include "lib/render/base64.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/pictures/figures.hpp"
#include "lib/render/pictures/png.hpp"
#include "lib/render/pictures/svg.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

// Lengths in user units. Letters are of the size that svg_styles() says, of a typeface whose letters are all
// of one width.
constexpr int line_height = 18, letter_height = 11, margin_of_labels = 6, svg_panel_gap = 28;
constexpr double letter_width = 6.7;
constexpr int longest_svg_label = 16;
constexpr int number_height = 22, widest_of_numbers = 760, most_numbers = 600, side_of_labels = 11,
              least_cell = 3;
constexpr Index most_cells = 10'000, most_cells_of_all = 40'000;

int text_width(std::string_view utf8) {
    return static_cast<int>(std::ceil(letter_width * display_width(utf8)));
}

std::string number(int n) { return std::to_string(n); }

/// <NAME ATTRIBUTES> with `text` escaped.
std::string text_at(int x, int y, std::string_view classes, std::string_view text,
                    const std::string& more = {}) {
    return "<text class=\"" + std::string(classes) + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\"" +
           more + ">" + xml_text(text) + "</text>\n";
}

/// What lies on each matrix of a picture, which are all of one size.
struct Layout {
    enum class Form { numbers, cells, image } form = Form::cells;
    int cell_width = 0, cell_height = 0;  ///< not of images
    int width = 0, height = 0;            ///< of the matrix
    int left = 0, top = 0;                ///< room for labels and names of axes
    int right = 0;                        ///< room for slanted labels
    int bottom = 0;                       ///< room for the name of rows beside few of them
    Index row_step = 1, column_step = 1;  ///< between labels
    bool slanted = false;
    int panels_in_row = 1;
};

/// About how large a matrix is drawn, its longer side.
int side_of(std::size_t panels) { return panels <= 1 ? 480 : panels <= 4 ? 320 : panels <= 16 ? 220 : 150; }

int longest_number(const Picture& picture, const RenderOptions& options) {
    int longest = 0;
    const std::size_t all = picture.single.size() + picture.wide.size();
    for (std::size_t k = 0; k < all; ++k)
        if (!picture.is_hidden(k))
            longest = std::max(longest, text_width(cell_number(picture.at(k), options)));
    return longest;
}

class Part {
  public:
    Part(const Picture& picture, const RenderOptions& options)
        : picture_(picture),
          options_(options),
          rows_(picture.rows.count()),
          columns_(picture.columns.count()) {
        lay_out_cells();
        lay_out_labels();
        const auto fit = std::max(1, (1240 + svg_panel_gap) / (outer_width() + svg_panel_gap));
        const auto panels = static_cast<int>(std::max<std::size_t>(picture.panels.size(), 1));
        const auto square = static_cast<int>(std::ceil(std::sqrt(1.4 * panels)));
        const int most = std::min({panels, fit, square}), lines = (panels + most - 1) / most;
        layout_.panels_in_row = (panels + lines - 1) / lines;  // lines of equal length
    }

    SvgPart draw() {
        int y = line_height;
        const std::string heading = heading_of(picture_);
        const std::size_t name = std::min(heading.find(" = "), heading.size());
        out_.text += "<text class=\"heading\" x=\"0\" y=\"" + number(y - 5) + "\"><tspan class=\"name\">" +
                     xml_text(heading.substr(0, name)) + "</tspan>" + xml_text(heading.substr(name)) +
                     "</text>\n";
        out_.width = text_width(heading) + 30;  // headings are a little larger
        y += 8;
        for (std::size_t k = 0; k < picture_.panels.size(); ++k) {
            const auto column = static_cast<int>(k) % layout_.panels_in_row;
            if (k > 0 && column == 0) y += outer_height() + svg_panel_gap / 2;
            draw_panel(k, column * (outer_width() + svg_panel_gap), y);
        }
        out_.width =
            std::max(out_.width, layout_.panels_in_row * (outer_width() + svg_panel_gap) - svg_panel_gap);
        y += outer_height() + 12;
        out_.height = draw_legend(y);
        return std::move(out_);
    }

  private:
    int outer_width() const { return layout_.left + layout_.width + layout_.right; }
    int outer_height() const { return layout_.top + layout_.height + layout_.bottom; }

    void lay_out_cells() {
        const auto cells = rows_ * columns_;
        const auto panels = static_cast<Index>(picture_.panels.size());
        const int side = side_of(picture_.panels.size());
        if (cells * panels <= most_numbers) {
            const int width = longest_number(picture_, options_) + 10;
            if (width * columns_ <= widest_of_numbers) {
                layout_.form = Layout::Form::numbers;
                layout_.cell_width = std::max(width, 34);
                layout_.cell_height = number_height;
            }
        }
        const auto longer = static_cast<int>(std::max({rows_, columns_, Index{1}}));
        if (cells > most_cells || cells * panels > most_cells_of_all || side < least_cell * longer) {
            layout_.form = Layout::Form::image;
            const double unit = static_cast<double>(side) / longer;
            const auto length = [&](Index n) {
                return std::max(16, static_cast<int>(std::lround(unit * static_cast<double>(n))));
            };
            layout_.width = length(columns_);
            layout_.height = length(rows_);
            return;
        }
        if (layout_.form == Layout::Form::cells)
            layout_.cell_width = layout_.cell_height = std::clamp(side / longer, least_cell, 24);
        layout_.width = layout_.cell_width * static_cast<int>(columns_);
        layout_.height = layout_.cell_height * static_cast<int>(rows_);
    }

    std::string row_label(Index i) const { return cell_label(picture_.rows, i, longest_svg_label); }
    std::string column_label(Index j) const { return cell_label(picture_.columns, j, longest_svg_label); }

    void lay_out_labels() {
        const double unit_x = static_cast<double>(layout_.width) /
                              static_cast<double>(std::max<Index>(columns_, 1)),
                     unit_y =
                         static_cast<double>(layout_.height) / static_cast<double>(std::max<Index>(rows_, 1));
        layout_.row_step = label_step(static_cast<Index>(std::ceil(side_of_labels / unit_y)));
        int widest_row = 0, widest_column = 0;
        for (Index i = 0; i < rows_; i += layout_.row_step)
            widest_row = std::max(widest_row, text_width(row_label(i)));
        for (Index j = 0; j < columns_; ++j)
            widest_column = std::max(widest_column, text_width(column_label(j)));
        const bool has_rows = !picture_.rows.name.empty();
        layout_.left = has_rows ? line_height + widest_row + margin_of_labels : 0;
        // Numbers that do not fit are left out, words are slanted.
        const bool fits = widest_column + 4 <= unit_x;
        layout_.slanted = !fits && !picture_.columns.labels.empty() && unit_x >= side_of_labels;
        layout_.column_step = layout_.slanted || fits
                                  ? 1
                                  : label_step(static_cast<Index>(std::ceil((widest_column + 6) / unit_x)));
        const auto slope = static_cast<int>(std::ceil(0.71 * widest_column));
        layout_.right = layout_.slanted ? std::max(0, slope - static_cast<int>(unit_x / 2)) + 4 : 0;
        layout_.top = line_height + margin_of_labels + (layout_.slanted ? slope + 4 : letter_height);
        if (has_titles()) layout_.top += line_height;
        if (has_rows) layout_.bottom = std::max(0, text_width(picture_.rows.name) - layout_.height) / 2;
    }

    bool has_titles() const {
        return std::any_of(picture_.panels.begin(), picture_.panels.end(),
                           [](const PicturePanel& p) { return !p.title.empty(); });
    }

    void draw_panel(std::size_t panel, int x, int y) {
        out_.text += "<g class=\"panel\" transform=\"translate(" + number(x) + "," + number(y) + ")\">\n";
        const std::string title = fitted(picture_.panels[panel].title, 60);
        if (!title.empty()) out_.text += text_at(layout_.left, 12, "title", title);
        draw_axes();
        if (layout_.form == Layout::Form::image)
            draw_image(panel);
        else
            draw_cells(panel);
        out_.text += "<rect class=\"frame\" x=\"" + number(layout_.left) + "\" y=\"" + number(layout_.top) +
                     "\" width=\"" + number(layout_.width) + "\" height=\"" + number(layout_.height) +
                     "\"/>\n</g>\n";
    }

    int middle_x(Index column) const {
        return layout_.left + static_cast<int>(std::lround((static_cast<double>(column) + 0.5) *
                                                           layout_.width / static_cast<double>(columns_)));
    }
    int middle_y(Index row) const {
        return layout_.top + static_cast<int>(std::lround((static_cast<double>(row) + 0.5) * layout_.height /
                                                          static_cast<double>(rows_)));
    }

    void draw_axes() {
        const int base = layout_.top - margin_of_labels;
        for (Index j = 0; j < columns_; j += layout_.column_step) {
            const int x = middle_x(j);
            const std::string turn = " transform=\"rotate(-45 " + number(x) + " " + number(base) + ")\"";
            out_.text += layout_.slanted ? text_at(x + 2, base + 2, "label", column_label(j), turn)
                                         : text_at(x, base, "label middle", column_label(j));
        }
        for (Index i = 0; i < rows_ && !picture_.rows.name.empty(); i += layout_.row_step)
            out_.text += text_at(layout_.left - margin_of_labels, middle_y(i) + 4, "label end", row_label(i));
        const int above = has_titles() ? line_height + 10 : 10;
        out_.text += text_at(layout_.left + layout_.width / 2, above, "axis middle", picture_.columns.name);
        const std::string across = number(layout_.top + layout_.height / 2);
        if (!picture_.rows.name.empty())
            out_.text += text_at(10, layout_.top + layout_.height / 2, "axis middle", picture_.rows.name,
                                 " transform=\"rotate(-90 10 " + across + ")\"");
    }

    std::string fill_of(std::size_t place) const {
        if (picture_.is_hidden(place)) return "hidden";
        return std::isfinite(picture_.at(place)) ? "cell" : "other";
    }

    std::string title_of(std::size_t panel, Index row, Index column, std::size_t place) const {
        const std::string& title = picture_.panels[panel].title;
        return (title.empty() ? "" : fitted(title, 60) + ", ") + cell_name(picture_, row, column) + ": " +
               (picture_.is_hidden(place) ? "hidden" : whole_number(picture_, place)) +
               (picture_.is_reduced() && !picture_.is_hidden(place) ? " (several as one)" : "");
    }

    void draw_cells(std::size_t panel) {
        const std::string size =
            "\" width=\"" + number(layout_.cell_width) + "\" height=\"" + number(layout_.cell_height) + "\"";
        std::string numbers;
        for (Index i = 0; i < rows_; ++i)
            for (Index j = 0; j < columns_; ++j) {
                const std::size_t place = picture_.place(panel, i, j);
                const std::string kind = fill_of(place);
                const int x = layout_.left + static_cast<int>(j) * layout_.cell_width,
                          y = layout_.top + static_cast<int>(i) * layout_.cell_height;
                out_.text += "<rect class=\"" + kind + "\" x=\"" + number(x) + "\" y=\"" + number(y) + size;
                const Rgb colour = picture_.scale.colour(picture_.at(place));
                if (kind == "cell") out_.text += " fill=\"" + hex(colour) + "\"";
                out_.text += "><title>" + xml_text(title_of(panel, i, j, place)) + "</title></rect>\n";
                if (layout_.form != Layout::Form::numbers || kind == "hidden") continue;
                const bool white = kind == "cell" && wants_white_ink(colour);
                numbers +=
                    text_at(x + layout_.cell_width / 2, y + layout_.cell_height / 2 + 4,
                            white ? "number white" : "number", cell_number(picture_.at(place), options_));
            }
        out_.text += numbers;
    }

    void draw_image(std::size_t panel) {
        constexpr std::uint8_t other = 253, clear = 254;
        constexpr Rgb other_colour{0xC2, 0x18, 0x5B};  // as in svg_definitions()
        std::array<Rgb, 255> palette{};
        for (std::size_t k = 0; k < other; ++k)
            palette[k] = colour_at(picture_.scale.ramp, static_cast<double>(k) / (other - 1));
        palette[other] = other_colour;
        // Many viewers blur what they enlarge: a cell has at least as many pixels as units.
        const Index wide = (layout_.width + columns_ - 1) / columns_,
                    high = (layout_.height + rows_ - 1) / rows_;
        std::vector<std::uint8_t> pixels;
        pixels.reserve(idx(rows_ * high * columns_ * wide));
        for (Index i = 0; i < rows_; ++i) {
            const std::size_t line = pixels.size();
            for (Index j = 0; j < columns_; ++j) {
                const std::size_t place = picture_.place(panel, i, j);
                const double x = picture_.at(place);
                const auto pixel =
                    picture_.is_hidden(place) ? clear
                    : !std::isfinite(x)
                        ? other
                        : static_cast<std::uint8_t>(std::lround(picture_.scale.place(x) * (other - 1)));
                pixels.insert(pixels.end(), idx(wide), pixel);
            }
            for (Index copy = 1; copy < high; ++copy)
                pixels.insert(pixels.end(), pixels.begin() + static_cast<std::ptrdiff_t>(line),
                              pixels.begin() + static_cast<std::ptrdiff_t>(line) + columns_ * wide);
        }
        const std::string at = "x=\"" + number(layout_.left) + "\" y=\"" + number(layout_.top) +
                               "\" width=\"" + number(layout_.width) + "\" height=\"" +
                               number(layout_.height) + "\"";
        if (!picture_.hidden.empty()) out_.text += "<rect class=\"hidden\" " + at + "/>\n";
        const std::string& title = picture_.panels[panel].title;
        out_.text += "<image " + at + " preserveAspectRatio=\"none\" href=\"data:image/png;base64,";
        append_base64(out_.text, png(columns_ * wide, rows_ * high, pixels, palette, clear));
        out_.text += "\"><title>" + xml_text(title.empty() ? heading_of(picture_) : fitted(title, 60)) +
                     "</title></image>\n";
    }

    /// \return the height of all
    int draw_legend(int y) {
        const bool diverging = picture_.scale.ramp == Ramp::diverging;
        constexpr int width = 160, height = 10;
        int x = 0;
        const auto word = [&](const std::string& text) {
            out_.text += text_at(x, y + 10, "legend", text);
            x += text_width(text) + 8;
        };
        word(scale_number(picture_.scale.low));
        out_.text += "<rect class=\"scale\" x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" +
                     number(width) + "\" height=\"" + number(height) + "\" fill=\"url(#" +
                     (diverging ? "attn-diverging" : "attn-sequential") + ")\"/>\n";
        x += width + 8;
        word(scale_number(picture_.scale.high));
        if (const std::string found = range_note(picture_); !found.empty()) {
            x += 14;
            word(found);
        }
        const auto patch = [&](const std::string& kind, const std::string& text) {
            x += 14;
            out_.text += "<rect class=\"" + kind + "\" x=\"" + number(x) + "\" y=\"" + number(y - 1) +
                         "\" width=\"22\" height=\"12\"/>\n";
            x += 28;
            word(text);
        };
        if (!picture_.hidden.empty()) patch("hidden", "hidden by the mask");
        if (picture_.not_finite > 0) patch("other", "not finite: " + std::to_string(picture_.not_finite));
        out_.width = std::max(out_.width, x);
        y += height + 8;
        if (const std::string note = reduction_note(picture_); !note.empty()) {
            y += line_height - 4;
            out_.text += text_at(0, y, "legend", note);
            out_.width = std::max(out_.width, text_width(note));
            y += 6;
        }
        return y;
    }

    const Picture& picture_;
    const RenderOptions& options_;
    Index rows_, columns_;
    Layout layout_;
    SvgPart out_;
};

}  // namespace

SvgPart svg_part(const Picture& picture, const RenderOptions& options) {
    return Part(picture, options).draw();
}

}  // namespace attn
