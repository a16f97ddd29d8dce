#include "lib/render/pictures/screen.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "lib/render/bytes.hpp"
#include "lib/render/pictures/figures.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array<std::string_view, 5> blocks{" ", "░", "▒", "▓", "█"};
constexpr std::array<std::string_view, 10> letters{" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};
constexpr int usual_number_width = 7, widest_heading = 100, longest_token = 60;

/// Colours of the letters of a line, or of the ground below them; said where they change.
class Ink {
  public:
    Ink(std::string& out, Colours colours) : out_(out), colours_(colours) {}

    /// Nothing: the terminal's own.
    void set(std::optional<Rgb> letters_, std::optional<Rgb> ground) {
        if (letters_ == front_ && ground == back_ && !dim_) return;
        if (dim_ || (front_ && !letters_) || (back_ && !ground)) reset();
        if (letters_ != front_) say(38, *letters_);
        if (ground != back_) say(48, *ground);
        front_ = letters_;
        back_ = ground;
    }
    void dim() {
        reset();
        if (colours_ == Colours::none) return;
        out_ += ansi::dim;
        dim_ = true;
    }
    /// One of the sixteen colours, for letters.
    void hue(int number) {
        reset();
        out_ += "\x1b[" + std::to_string(number) + "m";
        dim_ = true;
    }
    void reset() {
        if (front_ || back_ || dim_) out_ += ansi::reset;
        front_.reset();
        back_.reset();
        dim_ = false;
    }

  private:
    void say(int which, Rgb c) {
        out_ += "\x1b[" + std::to_string(which);
        if (colours_ == Colours::full)
            out_ +=
                ";2;" + std::to_string(c.red) + ";" + std::to_string(c.green) + ";" + std::to_string(c.blue);
        else
            out_ += ";5;" + std::to_string(xterm_colour(c.red, c.green, c.blue));
        out_ += "m";
    }

    std::string& out_;
    Colours colours_;
    std::optional<Rgb> front_, back_;
    bool dim_ = false;  ///< something else that a reset ends
};

/// One picture as lines of characters.
class Drawing {
  public:
    Drawing(const Picture& picture, const RenderOptions& options, std::string& out)
        : picture_(picture), options_(options), out_(out) {
        int widest = 0;
        for (std::size_t k = 0; k < picture.single.size() + picture.wide.size(); ++k)
            if (!picture.is_hidden(k))
                widest = std::max(widest, static_cast<int>(cell_number(picture.at(k), options).size()));
        layout_ = screen_layout(picture, static_cast<Index>(picture.panels.size()), widest, options);
    }

    void draw() {
        const auto panels = static_cast<Index>(picture_.panels.size());
        for (Index first = 0; first < panels; first += layout_.panels_in_line) {
            if (first > 0) out_ += "\n";
            const Index last = std::min(first + layout_.panels_in_line, panels);
            each_panel(first, last, has_titles(), [&](Index p) { title(picture_.panels[idx(p)].title); });
            each_panel(first, last, has_ticks(), [&](Index) {
                ticks();
                pad();
            });
            for (Index i = 0; i < picture_.rows.count(); i += layout_.cell_lines_each)
                each_panel(first, last, true, [&](Index p) {
                    row(idx(p), i);
                    pad();
                });
        }
        legend();
    }

  private:
    bool coloured() const { return options_.colours >= Colours::many; }
    Ground ground() const { return options_.dark ? Ground::dark : Ground::light; }
    /// Columns of what stands in a panel, its title apart.
    int width_of_cells() const {
        return layout_.label_width + static_cast<int>(picture_.columns.count() * layout_.cell_columns) +
               (options_.sums ? screen_sums_width : 0);
    }
    int panel_width() const {
        return picture_.panels.size() > 1 ? std::max(width_of_cells(), screen_title_width) : width_of_cells();
    }
    void pad() { out_.append(idx(Index{panel_width()} - width_of_cells()), ' '); }
    bool has_titles() const {
        return std::any_of(picture_.panels.begin(), picture_.panels.end(),
                           [](const PicturePanel& p) { return !p.title.empty(); });
    }
    bool has_ticks() const { return layout_.form != ScreenLayout::Form::dots || picture_.panels.size() == 1; }

    /// A line of the panels from `first` to before `last`; f writes panel_width() columns each.
    template <class F>
    void each_panel(Index first, Index last, bool wanted, F&& f) {
        if (!wanted) return;
        for (Index p = first; p < last; ++p) {
            if (p > first) out_ += "  ";
            f(p);
        }
        out_.resize(out_.find_last_not_of(' ') + 1);
        out_ += "\n";
    }

    /// A text of a file in exactly so many columns.
    void text(std::string_view utf8, int columns, bool right) {
        const std::string shown = fitted(utf8, columns, options_.ascii);
        out_ += right ? pad_left(shown, columns) : pad_right(shown, columns);
    }

    /// "head 3"; where that has no room "h3".
    void title(std::string words) {
        if (display_width(words) > panel_width()) {
            constexpr std::array<std::pair<std::string_view, char>, 2> axes{
                {{"batch ", 'b'}, {"head ", 'h'}}};
            for (const auto& [word, letter] : axes)
                if (const std::size_t at = words.find(word); at != std::string::npos)
                    words.replace(at, word.size(), 1, letter);
        }
        text(words, panel_width(), false);
    }

    /// The names of columns, or numbers of some of them where these are too narrow for names.
    void ticks() {
        out_.append(idx(layout_.label_width), ' ');
        const Index n = picture_.columns.count();
        const auto cell = static_cast<int>(layout_.cell_columns);
        const auto label = [&](Index j) { return picture_.columns.label(j * picture_.columns.each); };
        if (layout_.form == ScreenLayout::Form::numbers) {
            for (Index j = 0; j < n; ++j) {
                text(label(j), cell - 1, true);
                out_ += ' ';
            }
            return sums_heading();
        }
        if (n == 0) return sums_heading();
        const auto number = [&](Index j) {
            return std::to_string(picture_.columns.numbers[idx(j * picture_.columns.each)]);
        };
        const Index width = static_cast<Index>(number(n - 1).size()) + 1;
        const Index step = label_step((width + cell - 1) / cell);
        for (Index j = 0; j < n; j += step) {
            const auto room = static_cast<int>(std::min(step, n - j) * cell);
            const std::string word = number(j);
            out_ += pad_right(static_cast<int>(word.size()) > room ? "" : word, room);
        }
        sums_heading();
    }

    void sums_heading() {
        if (options_.sums) out_ += pad_left("sum", 10) + pad_left(picture_.weights ? "entropy" : "", 8);
    }

    void sums(std::size_t panel, Index drawn) {
        if (!options_.sums) return;
        // Of several rows that are drawn as one: their mean.
        const Index first = drawn * picture_.rows.each,
                    end = std::min(first + picture_.rows.each, picture_.rows.whole());
        double sum = 0, entropy = 0;
        for (Index i = first; i < end; ++i) {
            const std::size_t k = panel * idx(picture_.rows.whole()) + idx(i);
            sum += picture_.sums[k];
            if (picture_.weights) entropy += picture_.entropies[k];
        }
        const auto count = static_cast<double>(end - first);
        out_ += pad_left(cell_number(sum / count, options_), 10) +
                pad_left(picture_.weights ? cell_number(entropy / count, options_) : "", 8);
    }

    void row(std::size_t panel, Index i) {
        Ink ink(out_, options_.colours);
        if (layout_.label_width > 0) {
            // Names of two rows that share a line: the first one's.
            text(picture_.rows.label(i * picture_.rows.each), layout_.label_width - 1, false);
            out_ += ' ';
        }
        const bool halves = layout_.cell_lines_each == 2;
        for (Index j = 0; j < picture_.columns.count(); ++j) {
            if (halves)
                half_cells(ink, panel, i, j);
            else
                whole_cell(ink, picture_.place(panel, i, j));
        }
        ink.reset();
        sums(panel, i);
    }

    /// What is not a number with a colour.
    bool stands_out(std::size_t place) const {
        return picture_.is_hidden(place) || !std::isfinite(picture_.at(place));
    }

    std::string_view mark(std::size_t place) const {
        if (!picture_.is_hidden(place)) return "!";
        return options_.ascii ? "/" : "╱";
    }

    void repeat(std::string_view mark, int times) {
        for (int k = 0; k < times; ++k) out_ += mark;
    }

    void half_cells(Ink& ink, std::size_t panel, Index i, Index j) {
        const std::size_t up = picture_.place(panel, i, j);
        const bool has_down = i + 1 < picture_.rows.count();
        const std::size_t down = has_down ? picture_.place(panel, i + 1, j) : up;
        const bool marks_up = stands_out(up), marks_down = has_down && stands_out(down);
        if (marks_up && (marks_down || !has_down)) {
            ink.dim();
            out_ += mark(picture_.is_hidden(up) ? down : up);
            return;
        }
        const auto colour = [&](std::size_t place) {
            return picture_.scale.colour(picture_.at(place), ground());
        };
        if (marks_up) {
            ink.set(colour(down), std::nullopt);
            out_ += "▄";
        } else {
            ink.set(colour(up), !has_down || marks_down ? std::nullopt : std::optional(colour(down)));
            out_ += "▀";
        }
    }

    std::string_view shade(double number) const {
        const double place = picture_.scale.place(number);
        const auto of = [&](const auto& marks) {
            return marks[static_cast<std::size_t>(
                std::lround(place * static_cast<double>(marks.size() - 1)))];
        };
        return options_.ascii ? of(letters) : of(blocks);
    }

    /// Of the sixteen colours, those of the ramps' hues, on either ground.
    int hue(double number) const {
        constexpr int blue = 34, yellow = 33, lighter = 60;
        const bool positive = picture_.scale.ramp == Ramp::diverging && number > 0;
        return (positive ? yellow : blue) + (options_.dark ? lighter : 0);
    }

    void whole_cell(Ink& ink, std::size_t place) {
        const auto columns = static_cast<int>(layout_.cell_columns);
        const bool numbers = layout_.form == ScreenLayout::Form::numbers;
        const double x = picture_.at(place);
        const std::string number = numbers && !picture_.is_hidden(place) ? cell_number(x, options_) : "";
        const int gap = numbers ? 1 : 0;  // after the cell, where it has no ground
        if (stands_out(place)) {
            ink.dim();
            if (number.empty())
                repeat(mark(place), columns - gap);
            else
                out_ += pad_left(number, columns - gap);
            ink.reset();
            return void(out_.append(idx(Index{gap}), ' '));
        }
        if (coloured()) {
            const Rgb colour = picture_.scale.colour(x, ground());
            const Rgb black{0, 0, 0}, white{255, 255, 255};
            ink.set(numbers ? std::optional(wants_white_ink(colour) ? white : black) : std::nullopt, colour);
            out_ += pad_left(number, columns - gap) + std::string(idx(Index{gap}), ' ');
            return;
        }
        if (numbers && options_.ascii && options_.colours == Colours::none) {  // shades would look like signs
            out_ += pad_left(number, columns - gap) + " ";
            return;
        }
        // In front of its number stands one shade; without one it fills the cell.
        const int shades = numbers ? columns - gap - static_cast<int>(number.size()) : columns;
        if (numbers) repeat(" ", shades - 1);
        if (options_.colours == Colours::sixteen) ink.hue(hue(x));
        repeat(shade(x), numbers ? 1 : shades);
        ink.reset();
        out_ += number + std::string(idx(Index{gap}), ' ');
    }

    /// What lies between the ends of the scale, in at most `room` columns. \return columns
    int draw_scale(int room) {
        Ink ink(out_, options_.colours);
        constexpr int most_steps = 16, least_steps = 4;
        const int steps = std::clamp(room, least_steps, most_steps);
        for (int k = 0; coloured() && k < steps; ++k) {
            ink.set(std::nullopt, colour_at(picture_.scale.ramp, k / (steps - 1.0), ground()));
            out_ += ' ';
        }
        ink.reset();
        if (coloured()) return steps;
        if (options_.ascii && options_.colours == Colours::none &&
            layout_.form == ScreenLayout::Form::numbers) {
            out_ += "to";
            return 2;
        }
        const std::size_t count = options_.ascii ? letters.size() : blocks.size();
        for (std::size_t k = 0; k < count; ++k) {
            const double place = static_cast<double>(k) / static_cast<double>(count - 1);
            if (options_.colours == Colours::sixteen) ink.hue(hue(picture_.scale.number(place)));
            out_ += options_.ascii ? letters[k] : blocks[k];
        }
        ink.reset();
        return static_cast<int>(count);
    }

    void legend() {
        const std::string low = scale_number(picture_.scale.low) + " ",
                          high = " " + scale_number(picture_.scale.high);
        const int ends = static_cast<int>(low.size() + high.size());
        out_ += low;
        const int scale = draw_scale(options_.width - ends);
        out_ += high;
        std::vector<std::string> parts;
        if (const std::string found = range_note(picture_); !found.empty()) parts.push_back(found);
        if (!picture_.hidden.empty()) parts.emplace_back(options_.ascii ? "/ hidden" : "╱ hidden");
        if (picture_.not_finite > 0)
            parts.push_back((layout_.form == ScreenLayout::Form::numbers ? "" : "! ") +
                            std::string("not finite: ") + std::to_string(picture_.not_finite));
        constexpr int gap = 3;
        int width = ends + scale;
        for (const std::string& part : parts) width += gap + display_width(part);
        if (width <= options_.width) {
            for (const std::string& part : parts) out_.append(gap, ' ') += part;
            out_ += "\n";
        } else {
            out_ += "\n" + joined_lines(parts, options_.width, 0, options_);
        }
        if (const std::string note = reduction_note(picture_); !note.empty())
            out_ += joined_lines({note}, options_.width, 0, options_);
        if (layout_.cell_lines_each == 2)
            out_ += joined_lines({"a line shows two rows"}, options_.width, 0, options_);
    }

    const Picture& picture_;
    const RenderOptions& options_;
    std::string& out_;
    ScreenLayout layout_;
};

class ScreenWriter : public PictureWriter {
  public:
    ScreenWriter(Output& output, const RenderOptions& options) : bytes_(output), options_(options) {}

    void begin(const PictureHead& head) override {
        if (options_.heading && options_.document.value_or(0) > 0) bytes_.text += "\n";
        if (options_.heading) bytes_.text += document_heading(options_) + "\n";
        // The first sentence says what it is; `check` tells the others.
        is_first_ = head.sentences.empty();
        if (!is_first_) bytes_.text += joined_lines({head.sentences.front()}, options_.width, 2, options_);
    }

    PictureSize most(const Picture& empty, Index panels) const override {
        const int width =
            empty.weights ? static_cast<int>(cell_number(1, options_).size()) : usual_number_width;
        return screen_layout(empty, panels, width, options_).most;
    }

    void draw(Picture picture) override {
        if (!is_first_) bytes_.text += "\n";
        is_first_ = false;
        // What an array calls its axes is said, not that it has rows and columns.
        std::string axes;
        const auto add = [&](const std::string& word, const std::string& axis) {
            if (!axis.empty() && axis != word) axes += (axes.empty() ? "" : ", ") + word + " " + axis;
        };
        add("rows", picture.rows.name);
        add("columns", picture.columns.name);
        const std::string name = said(fitted(picture.name, longest_token), options_);
        const std::string line =
            apart(said(heading_of(picture), options_), axes, std::min(options_.width, widest_heading));
        bytes_.text +=
            options_.colours != Colours::none && line.starts_with(name)
                ? std::string(ansi::bold) + name + std::string(ansi::reset) + line.substr(name.size())
                : line;
        bytes_.text += "\n";
        Drawing(picture, options_, bytes_.text).draw();
        bytes_.flush();  // the next stage may take its time
    }

    void end(const std::vector<std::string>&) override { bytes_.flush(); }

  private:
    Bytes bytes_;
    RenderOptions options_;
    bool is_first_ = true;  ///< nothing stands above the next picture
};

}  // namespace

std::unique_ptr<PictureWriter> make_screen_writer(Output& output, const RenderOptions& options) {
    return std::make_unique<ScreenWriter>(output, options);
}

}  // namespace attn
