// An explanation for people: a heading for each step, its calculations below, broken before operators.
#include <algorithm>

#include "lib/option_words.hpp"
#include "lib/render/bytes.hpp"
#include "lib/render/explanations/explain.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using explain::Level;
using explain::Line;
using explain::Step;

constexpr int indent = 3, why_column = 38, least_wrap = 24;

std::string spaces(int n) { return std::string(static_cast<std::size_t>(std::max(0, n)), ' '); }

std::string label_of(const Line& line) {
    if (line.group.empty()) return line.label;
    return line.group + " " + line.label;
}

/// A line whose calculations are written.
struct Set {
    std::string label;
    std::vector<std::string> parts;  ///< calculations, then the result
    std::string note;
    std::pair<int, std::size_t> likeness;  ///< lines that are alike are aligned
};

class TextWriter {
  public:
    TextWriter(const explain::Explanation& e, const ExplainForm& form)
        : e_(e), form_(form), options_(form.base), notation_(notation_of(e, form)) {}

    std::string write() {
        for (std::string& p : title_parts(e_, form_)) title_ += (title_.empty() ? "" : " · ") + p;
        out_ += joined_lines({title_}, options_.width, 2, options_);
        for (const Step& s : e_.steps) step(s);
        if (e_.unexplained > 0)
            out_ += wrapped("and " + std::to_string(e_.unexplained) +
                                " more numbers that are not explained here: " + option::level +
                                " full explains all",
                            0, "") +
                    "\n";
        return std::move(out_);
    }

  private:
    std::string marked(std::string_view mark, const std::string& text) const {
        return options_.colour && !text.empty() ? std::string(mark) + text + std::string(ansi::reset) : text;
    }

    /// Words in lines of at most the width, each behind `left` spaces.
    std::string wrapped(const std::string& text, int left, std::string_view mark) const {
        std::string out;
        if (text.empty()) return out;
        const int columns = options_.width - left;
        for (const std::string& line : lines_of_words(said(text, options_), columns, columns))
            out += (out.empty() ? "" : "\n") + spaces(left) + (mark.empty() ? line : marked(mark, line));
        return out;
    }

    void heading(const Step& s) {
        const std::string number = std::to_string(s.number);
        const std::string left = pad_right(number, indent - 1 >= static_cast<int>(number.size())
                                                       ? indent
                                                       : static_cast<int>(number.size()) + 1);
        const std::string name = said(s.name, options_), formula = said(" = " + s.formula, options_);
        const std::string why = said(s.why, options_);
        const int used = display_width(left + name + formula);
        const int column = std::max(why_column, used + indent);
        out_ += "\n";
        if (used > options_.width) {
            out_ += joined_lines({left + s.name + " = " + s.formula}, options_.width, indent, options_);
        } else {
            out_ += left + marked(ansi::bold, name) + formula;
            if (!why.empty() && column + display_width(why) <= options_.width) {
                out_ += spaces(column - used) + marked(ansi::dim, why) + "\n";
                return;
            }
            out_ += "\n";
        }
        if (!why.empty()) out_ += wrapped(s.why, indent, ansi::dim) + "\n";
    }

    void step(const Step& s) {
        heading(s);
        std::vector<Set> run;
        for (std::size_t k = 0; k < s.lines.size(); ++k) {
            const Line& line = s.lines[k];
            if (line.more > 0) {
                lines(run);
                out_ += spaces(indent) + marked(ansi::dim, said("… " + line.label + " …", options_)) + "\n";
                continue;
            }
            const bool listed = form_.level == Level::brief ||
                                (line.is_copy() && !line.group.empty() && form_.level != Level::full);
            if (listed) {
                if (form_.level == Level::brief && !line.cell) continue;
                lines(run);
                k = list(s, k) - 1;
                continue;
            }
            run.push_back(set_of(s, line));
        }
        lines(run);
        if (!s.rest.empty() && form_.level != Level::brief)
            out_ += wrapped("(" + s.rest + ")", indent, ansi::dim) + "\n";
    }

    /// Numbers of one group side by side, from line k on; returns where it ended.
    std::size_t list(const Step& s, std::size_t k) {
        const std::string& group = s.lines[k].group;
        const Index row = s.lines[k].cell ? s.lines[k].cell->row : 0;
        std::vector<std::string> items;
        for (; k < s.lines.size(); ++k) {
            const Line& line = s.lines[k];
            const bool brief = form_.level == Level::brief;
            if (brief && !line.cell && line.more == 0) continue;
            if (line.more == 0 && (line.group != group || !(brief || line.is_copy()))) break;
            if (line.cell && line.cell->row != row) break;
            if (line.more > 0 && group.empty() && !brief) break;
            if (line.more > 0) {
                items.push_back(said("… " + line.label + " …", options_));
                continue;
            }
            const std::string value = shown_result(line, s.id(), notation_);
            items.push_back(group.empty() ? line.label + " = " + value : value);
        }
        std::string line = group.empty() ? "" : said(group, options_) + " = ";
        const int left = indent + (group.empty() ? 0 : std::min(display_width(line), least_wrap));
        const std::string between = group.empty() ? "   " : ", ";
        bool first = true;
        for (const std::string& item : items) {
            const std::string part = said(item, options_);
            if (!first && indent + display_width(line + between + part) > options_.width) {
                out_ += spaces(indent) + line + (group.empty() ? "" : ",") + "\n";
                line = spaces(left - indent) + part;
            } else {
                line += (first ? "" : between) + part;
            }
            first = false;
        }
        out_ += spaces(indent) + line + "\n";
        return k;
    }

    Set set_of(const Step& s, const Line& line) const {
        Set set;
        set.label = said(label_of(line), options_);
        const std::vector<explain::Expr> forms = shown_forms(line, form_.level);
        if (!forms.empty()) set.likeness = {static_cast<int>(forms.front().kind), forms.front().parts.size()};
        if (form_.level == Level::full && !forms.empty()) {
            Notation places = notation_;
            places.places = true;
            set.parts.push_back(shown_expression(forms.front(), places));
        }
        const bool taken_over = line.expression && line.expression->is_number();
        for (const explain::Expr& f : forms)
            if (!taken_over) set.parts.push_back(shown_expression(f, notation_));
        set.parts.push_back(shown_result(line, s.id(), notation_));
        for (std::string& p : set.parts) p = said(p, options_);
        set.note = note_of(line, s.id(), notation_, form_.level);
        return set;
    }

    void lines(std::vector<Set>& run) {
        // Labels in one column; calculations that are alike, too, as long as they fit on a line.
        int labels = 0;
        for (const Set& s : run) labels = std::max(labels, display_width(s.label));
        labels = std::min(labels, std::max(8, options_.width / 3));
        for (std::size_t k = 0; k < run.size();) {
            std::size_t end = k;
            while (end < run.size() && run[end].likeness == run[k].likeness &&
                   run[end].parts.size() == run[k].parts.size())
                ++end;
            std::size_t width = 0, result = 0;
            for (std::size_t i = k; i < end; ++i) result = std::max(result, columns(run[i].parts.back()));
            for (std::size_t i = k; i < end; ++i)
                if (run[i].parts.size() == 2 && fits(labels, columns(run[i].parts[0]), result))
                    width = std::max(width, columns(run[i].parts[0]));
            for (; k < end; ++k) line(run[k], labels, width, result);
        }
        run.clear();
    }

    static std::size_t columns(std::string text) {
        std::replace(text.begin(), text.end(), breakable, ' ');
        return static_cast<std::size_t>(display_width(text));
    }
    bool fits(int labels, std::size_t calculation, std::size_t result) const {
        return indent + labels + 6 + static_cast<int>(calculation + result) <= options_.width;
    }

    void line(const Set& s, int labels, std::size_t width, std::size_t result) {
        std::string text = spaces(indent) + pad_right(s.label, labels);
        int left = indent + labels;
        if (display_width(s.label) > labels) {
            out_ += text + "\n";
            text = spaces(left);
        }
        if (s.parts.size() == 2 && fits(labels, columns(s.parts[0]), result)) {
            std::string calculation = s.parts[0], value = s.parts[1];
            std::replace(calculation.begin(), calculation.end(), breakable, ' ');
            text += " = " + pad_right(calculation, static_cast<int>(width)) + " = ";
            text += pad_left(value, static_cast<int>(result));
        } else if (s.parts.size() == 1) {
            text += " = " + pad_left(s.parts[0], static_cast<int>(result));
        } else {
            // Each calculation on a line of its own, the result behind the last one where there is room.
            std::string all;
            for (std::size_t k = 0; k < s.parts.size(); ++k) {
                std::string part = broken("= " + s.parts[k], left + 1);
                if (k == 0) {
                    all = part.substr(static_cast<std::size_t>(left + 1));
                    continue;
                }
                const bool last = k + 1 == s.parts.size();
                const std::size_t start = all.rfind('\n');
                const std::string tail =
                    start == std::string::npos ? spaces(left + 1) + all : all.substr(start + 1);
                const std::string plain = part.substr(static_cast<std::size_t>(left + 1));
                if (last && display_width(tail) + 1 + display_width(plain) <= options_.width)
                    all += " " + plain;
                else
                    all += "\n" + part;
            }
            text += " " + all;
        }
        out_ += text;
        if (!s.note.empty()) {
            const std::string note = "(" + said(s.note, options_) + ")";
            const std::size_t start = out_.rfind('\n');
            const int used = display_width(std::string_view(out_).substr(start + 1));
            if (used + 3 + display_width(note) <= options_.width)
                out_ += "   " + marked(ansi::dim, note);
            else
                out_ += "\n" + wrapped("(" + s.note + ")", left + 3, ansi::dim);
        }
        out_ += "\n";
    }

    /// A calculation in lines of at most the width behind `left` spaces, broken before operators.
    std::string broken(const std::string& text, int left) const {
        std::string out, line;
        for (std::size_t from = 0; from <= text.size();) {
            const std::size_t end = std::min(text.find(breakable, from), text.size());
            const std::string piece = text.substr(from, end - from);
            if (!line.empty() &&
                left + display_width(line + " " + piece) > std::max(options_.width, left + least_wrap)) {
                out += (out.empty() ? "" : "\n") + spaces(left) + line;
                line = "  " + piece;
            } else {
                line += (line.empty() ? "" : " ") + piece;
            }
            from = end + 1;
        }
        return out + (out.empty() ? "" : "\n") + spaces(left) + line;
    }

    const explain::Explanation& e_;
    const ExplainForm& form_;
    const RenderOptions& options_;
    Notation notation_;
    std::string title_, out_;
};

}  // namespace

std::string explained_text(const explain::Explanation& e, const ExplainForm& form) {
    return TextWriter(e, form).write();
}

}  // namespace attn
