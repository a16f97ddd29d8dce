// A comparison as a table, and what is said about it.
#include <algorithm>
#include <array>
#include <cmath>

#include "lib/option_words.hpp"
#include "lib/render/comparisons/diff.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::size_t columns = 6, verdict = 2, where = 4;
using Row = std::array<std::string, columns>;

std::string largest_text(double value) {
    if (value == 0) return "0";
    return value < 1e-6 ? "< 1e-6" : significant(value, 4);
}

/// Rounded up, so that it passes.
std::string rounded_up(double value) {
    if (value <= 0) return "0";
    const int exponent = static_cast<int>(std::floor(std::log10(value)));
    const double unit = std::pow(10.0, exponent - 1);
    double steps = std::ceil(value / unit);
    while (std::stod(significant(steps * unit, 2)) < value) ++steps;
    return significant(steps * unit, 2);
}

std::string shape_text(const Shape& shape) {
    std::string out;
    for (const Index n : shape) out += (out.empty() ? "" : "×") + std::to_string(n);
    return out;
}

/// "head 1, q 4, k 3": axes of length 1 left out.
std::string place_text(const StageComparison& c) {
    if (c.axes.size() != c.at.size()) return to_string(c.at);
    std::string out;
    for (std::size_t k = 0; k < c.axes.size(); ++k) {
        if (c.shape[k] == 1) continue;
        const std::string& name = c.axes[k];
        out += (out.empty() ? "" : ", ") +
               (name == "query" ? "q"
                : name == "key" ? "k"
                                : name) +
               " " + std::to_string(c.at[k]);
    }
    return out.empty() ? to_string(c.at) : out;
}

std::string index_text(const Shape& at) {
    std::string out;
    for (const Index n : at) out += (out.empty() ? "" : ",") + std::to_string(n);
    return "[" + out + "]";
}

Row row_of(const StageComparison& c, const Tolerance& t, bool words) {
    Row row{c.name};
    if (!c.present || c.missing) {
        row[1] = c.missing ? "not in ours" : "not given";
        return row;
    }
    row[1] = shape_text(c.shape);
    if (!c.fits) {
        row[verdict] = "NO";
        row[3] = "theirs is " + shape_text(c.their_shape);
        return row;
    }
    row[verdict] = !c.equal ? "NO" : c.again ? "again" : "yes";
    row[3] = largest_text(c.largest);
    if (c.equal) return row;
    row[where] = words ? place_text(c) : index_text(c.at);
    if (t.ulp)
        row[5] = c.needed_ulp ? significant(*c.needed_ulp, 10) : "none";
    else
        row[5] = c.needed_atol ? rounded_up(*c.needed_atol) : "none";
    return row;
}

std::string table_text(std::vector<Row> rows, const RenderOptions& options, int& total) {
    std::array<int, columns> widths{};
    for (Row& row : rows)
        for (std::size_t k = 0; k < columns; ++k) {
            row[k] = said(row[k], options);
            if (k != 1 || !row[verdict].empty())  // words in place of a shape may reach over
                widths[k] = std::max(widths[k], display_width(row[k]));
        }
    total = 2 * static_cast<int>(columns - 1);
    for (const int w : widths) total += w;
    std::string out;
    for (const Row& row : rows) {
        std::string line;
        for (std::size_t k = 0; k < columns; ++k) {
            std::string cell = pad_right(row[k], widths[k]);
            if (options.colour && &row == &rows.front())
                cell = std::string(ansi::bold) + cell + std::string(ansi::reset);
            if (options.colour && row[k] == "NO")
                cell = std::string(ansi::red) + cell + std::string(ansi::reset);
            line += cell + (k + 1 < columns ? "  " : "");
        }
        while (line.ends_with(' ')) line.pop_back();
        out += line + "\n";
    }
    return out;
}

std::string table_of(const Comparison& c, const RenderOptions& options) {
    std::string text;
    // Too wide: shorter heads, then indices in place of words.
    for (const int step : {0, 1, 2}) {
        const std::string unit = c.tolerance.ulp ? "ulp" : "atol";
        std::vector<Row> rows{{"stage", "shape", "equal", "largest difference", "at", "passes with " + unit}};
        if (step > 0) rows.front() = {"stage", "shape", "equal", "largest", "at", "needs " + unit};
        for (const StageComparison& s : c.stages) rows.push_back(row_of(s, c.tolerance, step < 2));
        int total = 0;
        text = table_text(std::move(rows), options, total);
        if (total <= options.width) break;
    }
    return text;
}

class ReportLines {
  public:
    explicit ReportLines(const RenderOptions& options) : options_(options) {}
    void add(const std::string& text, int indent = 0) {
        const std::string lead(static_cast<std::size_t>(indent), ' ');
        out_ += joined_lines({lead + harmless(text)}, options_.width, indent + 2, options_);
    }
    void blank() { out_ += '\n'; }
    std::string take() { return std::move(out_); }

  private:
    const RenderOptions& options_;
    std::string out_;
};

std::string value_text(double value) { return significant(value, std::abs(value) < 1e5 ? 7 : 9); }

std::string values_text(double theirs, double ours) {
    return "theirs " + value_text(theirs) + ", ours " + value_text(ours);
}

void say_first(const Comparison& c, ReportLines& lines) {
    const StageComparison& f = c.stages[*c.first];
    if (!f.fits) {
        lines.add("first difference: " + f.name + " is " + shape_text(f.their_shape) + ", ours " +
                  shape_text(f.shape) + ": no order of axes fits");
    } else {
        std::string text = "first difference: " + f.name + index_text(f.first_at) + ": " +
                           values_text(f.first_theirs, f.first_ours);
        if (f.outside < f.count)
            text += " (" + std::to_string(f.outside) + " of " + std::to_string(f.count) + " numbers differ)";
        lines.add(text);
        if (f.first_at != f.at)
            lines.add("the largest: " + f.name + index_text(f.at) + ": " + values_text(f.theirs, f.ours), 2);
        std::string pattern;
        for (const std::string& words : where_words(f.where, f.shape, f.axes))
            pattern += (pattern.empty() ? "" : "; ") + words;
        if (!pattern.empty()) lines.add(pattern, 2);
    }
    std::string inherited, made, again;
    for (std::size_t k = 0; k < c.stages.size(); ++k) {
        const StageComparison& s = c.stages[k];
        const auto append = [&](std::string& to) { to += (to.empty() ? "" : ", ") + s.name; };
        if (s.again) append(again);
        if (s.equal || k == *c.first || !s.new_error || s.by_cause) continue;
        append(*s.new_error ? made : inherited);
    }
    if (!inherited.empty()) lines.add(inherited + ": follows from their earlier stages, no new error");
    if (!made.empty()) lines.add(made + ": does not follow from their earlier stages: a new error");
    if (!again.empty()) lines.add(again + ": equal again, so what differs before it does no harm there");
}

void say_causes(const CauseReport& r, ReportLines& lines) {
    for (const Cause& cause : r.causes) {
        std::string id = cause.id;
        for (const std::string& other : cause.with) id += " and " + other;
        std::string fits;
        for (const std::string& stage : cause.fits) fits += (fits.empty() ? "" : ", ") + stage;
        lines.add((r.causes.size() > 1 ? "possible cause: " : "cause: ") + id);
        lines.add(cause.hint, 2);
        for (const std::string& line : cause.look_at)
            lines.add("look at, in " + cause.system + ": " + line, 2);
        lines.add(std::string("with ") + (cause.with.empty() ? "this one change " : "these changes ") + fits +
                      (cause.fits.size() == 1 ? " comes" : " come") + " out as theirs",
                  2);
    }
    if (r.causes.size() == 1)
        lines.add("no other known mistake fits (" + std::to_string(r.tried) + " tried)", 2);
    if (r.causes.size() > 1)
        lines.add("this input cannot tell them apart; attn-calc probe writes one that can");
    if (r.causes.empty() && r.tried > 0)
        lines.add("cause: none of the known mistakes (" + std::to_string(r.tried) + " tried)");
    for (const std::string& finding : r.findings) lines.add(finding, r.tried > 0 ? 2 : 0);
}

std::string tolerance_text(const Tolerance& t) {
    if (t.ulp) return "within " + std::to_string(*t.ulp) + " ulp of " + std::string(name_of(t.type));
    return "|theirs - ours| ≤ " + significant(t.atol, 6) + " + " + significant(t.rtol, 6) + " |ours|";
}

/// A line for each key that two documents have otherwise.
std::string settings_text(const std::vector<SettingDifference>& settings, const RenderOptions& options) {
    ReportLines lines(options);
    lines.add(settings.empty() ? "the documents say the same" : "what the documents say differently");
    const auto value = [](const std::optional<std::string>& v) { return v ? clip(*v, 60) : "not there"; };
    for (const SettingDifference& s : settings)
        lines.add(
            visible(s.key) + ": " +
                (s.largest ? "the largest difference " + value_text(*s.largest) + " at " + index_text(s.at)
                           : "theirs " + value(s.theirs) + ", ours " + value(s.ours)),
            2);
    lines.blank();
    return lines.take();
}

std::string part_text(const DiffPart& part, const RenderOptions& options) {
    const Comparison& c = part.comparison;
    ReportLines lines(options);
    lines.blank();
    if (c.first) {
        say_first(c, lines);
        say_causes(part.causes, lines);
    } else {
        lines.add((c.equal() ? "equal: " : "what is compared is equal: ") + tolerance_text(c.tolerance));
    }
    if (!c.not_compared.empty()) {
        std::string names;
        for (const std::string& name : c.not_compared) names += (names.empty() ? "" : ", ") + name;
        lines.add("not compared: " + names);
        lines.add(option::stages + " chooses what is compared; " + option::ignore_unknown +
                      " does not count this as a difference",
                  2);
    }
    for (const std::string& note : c.notes) lines.add("note: " + note);
    return (part.settings ? settings_text(*part.settings, options) : "") + table_of(c, options) +
           lines.take();
}

struct Item {
    std::string name;
    const DiffPart* part;
};

}  // namespace

std::string diff_text(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                      const RenderOptions& options) {
    std::vector<Item> items;
    std::vector<std::string> lacking = missing;
    for (const DiffReport& report : reports) {
        for (const DiffPart& part : report.parts) {
            const std::string& layer = part.comparison.name;
            items.push_back({report.name + (report.name.empty() || layer.empty() ? "" : " ") + layer, &part});
        }
        for (const std::string& m : report.missing)
            lacking.push_back(report.name.empty() ? m : report.name + " " + m);
    }
    const bool several =
        items.size() > 1 || (!reports.empty() && !reports[0].name.empty()) || !lacking.empty();
    if (!several) return items.empty() ? "" : part_text(*items[0].part, options);

    std::vector<Row> rows{{"compared", "stages", "equal", "largest difference", "first difference", ""}};
    const Item* first = nullptr;
    std::size_t differ = 0;
    for (const Item& item : items) {
        const Comparison& c = item.part->comparison;
        Index count = 0;
        double largest = 0;
        for (const StageComparison& s : c.stages) {
            count += s.present && !s.missing;
            if (s.present && s.fits && !(s.largest <= largest)) largest = s.largest;
        }
        Row row{visible(item.name), std::to_string(count), c.equal() ? "yes" : "NO", largest_text(largest)};
        if (!c.equal()) {
            row[4] = c.first ? c.stages[*c.first].name : "not compared: " + c.not_compared.front();
            ++differ;
            if (!first) first = &item;
        }
        rows.push_back(std::move(row));
    }
    int total = 0;
    std::string out = table_text(std::move(rows), options, total);
    ReportLines lines(options);
    lines.blank();
    for (const std::string& m : lacking) lines.add("missing: " + m);
    lines.add(std::to_string(items.size() - differ) + " of " + std::to_string(items.size()) + " equal" +
              (lacking.empty() ? "" : ", " + std::to_string(lacking.size()) + " missing"));
    if (first) {
        lines.blank();
        lines.add("the first that differs: " + first->name);
        lines.blank();
    }
    out += lines.take();
    if (first) out += part_text(*first->part, options);
    return out;
}

}  // namespace attn
