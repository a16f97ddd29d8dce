// Tables of numbers as text: rows as numpy.savetxt or a spreadsheet writes them, our own -f text and -f md.
#include <algorithm>

#include "lib/input/words.hpp"
#include "lib/option_words.hpp"
#include "lib/plan/stage.hpp"
#include "lib/text.hpp"
#include "lib/theirs/printed.hpp"

namespace attn {
namespace {

struct TextLine {
    std::size_t number = 0;
    std::string_view text;  ///< without spaces at its ends
};

std::string_view stripped(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<TextLine> lines_of(std::string_view text) {
    std::vector<TextLine> lines;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines.push_back({number, stripped(text.substr(0, end))});
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

/// The cells of a line; quoted ones keep their separators. Spaces: any number of them is one.
std::vector<std::string> cells_of(std::string_view line, std::string_view separators) {
    const bool spaces = separators.find(' ') != std::string_view::npos;
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (std::size_t k = 0; k < line.size(); ++k) {
        const char c = line[k];
        if (c == '\\' && separators == "|" && k + 1 < line.size()) {
            cells.back() += line[++k];
        } else if (c == '"' && separators != "|") {
            quoted = !quoted;
        } else if (!quoted && separators.find(c) != std::string_view::npos) {
            if (!spaces || !cells.back().empty()) cells.emplace_back();
        } else {
            cells.back() += c;
        }
    }
    for (std::string& cell : cells) cell = stripped(cell);
    return cells;
}

/// The cells of a row of a Markdown table, without the bars at both ends.
std::vector<std::string> bar_cells(std::string_view line) {
    if (line.starts_with('|')) line.remove_prefix(1);
    if (line.ends_with('|') && !line.ends_with("\\|")) line.remove_suffix(1);
    return cells_of(line, "|");
}

bool is_rule(const std::vector<std::string>& cells) {
    return std::all_of(cells.begin(), cells.end(), [](const std::string& c) {
        return c.size() >= 3 && c.find_first_not_of("-:") == std::string::npos;
    });
}

bool is_gap(std::string_view cell) { return cell == "..." || cell == "…"; }

/// The numbers of one array as its rows come.
struct Growing {
    std::vector<double> values;
    std::vector<Digits> digits;

    /// \return false: it is not a number
    bool add(const std::string& cell) {
        const auto number = number_of_text(cell);
        if (number) {
            values.push_back(*number);
            digits.push_back(digits_of(cell));
        }
        return number.has_value();
    }
    void move_to(GivenArray& array) {
        array.values = std::move(values);
        mark_digits(array, digits);
        values.clear();
        digits.clear();
    }
};

[[noreturn]] void refuse_gap(const Source& source, std::size_t line) {
    refuse_line(source, line, "leaves numbers out (...): what is not there cannot be compared",
                "attn-calc run " + option::output + " FILE.json, or " + option::rows + " and " +
                    option::width + ", show all; numpy.savetxt writes all");
}

/// A heading of a stage: its name, and the axes that are longer than 1.
struct Heading {
    std::string name;
    std::vector<std::string> axes;
    Shape lengths;

    Index columns() const {
        const auto stage = stage_named(name);
        if (!stage || axes.empty()) return 1;
        return axes.back() == name_of(axes_of(info_of(*stage).shape).back()) ? lengths.back() : 1;
    }
};

/// "[head 2, query 3, dim 2]", "[one number]"
bool read_axes(std::string_view text, Heading& out) {
    if (!text.starts_with('[') || !text.ends_with(']')) return false;
    text = text.substr(1, text.size() - 2);
    if (text == "one number") return true;
    for (const std::string& part : cells_of(text, ",")) {
        const std::size_t space = part.find(' ');
        if (space == std::string::npos) return false;
        const auto length = number_of_text(part.substr(space + 1));
        const std::string axis = part.substr(0, space);
        const bool known =
            axis == "batch" || axis == "head" || axis == "query" || axis == "key" || axis == "dim";
        if (!known || !length || *length < 1 || *length > 1e15) return false;
        out.axes.push_back(axis);
        out.lengths.push_back(static_cast<Index>(*length));
    }
    return true;
}

/// The first word of `name = formula`.
std::string name_of_formula(std::string_view line) {
    const std::size_t end = line.find(" = ");
    if (end == std::string_view::npos || end == 0) return {};
    const std::string_view name = line.substr(0, end);
    const bool word =
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string_view::npos;
    return word ? std::string(name) : std::string();
}

/// A heading that begins in line k: `name = formula [axes]` over some lines; in Markdown each in backticks.
std::optional<Heading> heading_at(const std::vector<TextLine>& lines, std::size_t& k) {
    constexpr std::size_t most_lines = 8;
    std::string_view first = lines[k].text;
    const bool markdown = first.starts_with('`');
    if (markdown) first.remove_prefix(1);
    Heading out;
    out.name = name_of_formula(first);
    if (out.name.empty()) return std::nullopt;
    for (std::size_t end = k; end < std::min(lines.size(), k + most_lines); ++end) {
        std::string_view line = lines[end].text;
        if (line.empty()) break;
        if (markdown && line.ends_with('`')) line.remove_suffix(1);
        const std::size_t bracket = line.rfind('[');
        if (bracket == std::string_view::npos || !read_axes(line.substr(bracket), out)) continue;
        k = end;
        return out;
    }
    return std::nullopt;
}

/// "head 0", "batch 1 · head 0", "after journey": which table of a stage follows.
bool is_where(std::string_view line) {
    if (line.starts_with("### ")) return true;
    for (const std::string_view word : {"batch ", "head ", "after "})
        if (line.starts_with(word))
            return number_of_text(line.substr(word.size())).has_value() ||
                   line.find("head ", 1) != std::string_view::npos || word == "after ";
    return false;
}

/// Our own -f text and -f md.
class StageText {
  public:
    explicit StageText(const Source& source) : source_(source), lines_(lines_of(source.text)) {}

    std::vector<Dump> read() {
        for (std::size_t k = 0; k < lines_.size(); ++k) {
            const TextLine& line = lines_[k];
            if (line.text.empty() || line.text.starts_with("## ")) continue;
            if (auto heading = heading_at(lines_, k)) {
                flush();
                heading_ = std::move(heading);
                at_header_ = true;
                begun_ = line.number;
            } else if (line.text.starts_with("=== ") || line.text.starts_with("# ")) {
                flush();
                heading_.reset();
                dumps_.emplace_back().number = static_cast<Index>(dumps_.size()) - 1;
            } else if (heading_) {
                body(line);
            }
        }
        flush();
        if (dumps_.size() == 1) dumps_[0].number.reset();
        return std::move(dumps_);
    }

  private:
    void body(const TextLine& line) {
        if (line.text.find(" left out") != std::string_view::npos || is_gap(line.text))
            refuse_gap(source_, line.number);
        if (line.text.find(small_number_note()) != std::string_view::npos) return;
        if (is_where(line.text)) {
            at_header_ = true;
        } else if (line.text.starts_with('|')) {
            const std::vector<std::string> cells = bar_cells(line.text);
            if (is_rule(cells)) return;
            if (std::exchange(at_header_, false)) return;
            for (std::size_t c = 1; c < cells.size(); ++c) add(cells[c], line.number);
        } else if (!std::exchange(at_header_, false)) {
            const std::vector<std::string> cells = cells_of(line.text, " ");
            const auto columns = static_cast<std::size_t>(heading_->columns());
            if (std::any_of(cells.begin(), cells.end(), is_gap)) refuse_gap(source_, line.number);
            if (cells.size() < columns)
                refuse_line(source_, line.number,
                            "has " + std::to_string(cells.size()) + " cells, expected " +
                                std::to_string(columns) + " numbers of " + heading_->name);
            for (std::size_t c = cells.size() - columns; c < cells.size(); ++c) add(cells[c], line.number);
        }
    }

    void add(const std::string& cell, std::size_t line) {
        if (is_gap(cell)) refuse_gap(source_, line);
        const bool hidden = cell == "·" || cell == ".";  // and 0
        if (hidden || cell == small_number || cell == small_negative_number) {
            numbers_.values.push_back(cell == small_negative_number ? -0.0 : 0.0);
            numbers_.digits.emplace_back();
        } else if (!numbers_.add(cell)) {
            refuse_line(source_, line,
                        "has " + shown(cell) + " where a number of " + heading_->name + " stands");
        }
    }

    void flush() {
        if (!heading_) return;
        if (dumps_.empty()) dumps_.emplace_back();
        GivenArray& array = dumps_.back().arrays.emplace_back();
        array.name = heading_->name;
        array.shape = heading_->lengths.empty() ? Shape{1} : heading_->lengths;
        array.axes = heading_->axes;
        array.printed = true;
        dumps_.back().order.push_back(array.name);
        const auto found = static_cast<Index>(numbers_.values.size());
        numbers_.move_to(array);
        if (element_count(array.shape) != found)
            refuse_line(source_, begun_,
                        "begins " + array.name + " of " + to_string(array.shape) + ", but has " +
                            std::to_string(found) + " numbers of it",
                        option::top + " shows some of them only; " + option::format + " json or " +
                            option::output + " FILE.npz hold all");
    }

    const Source& source_;
    std::vector<TextLine> lines_;
    std::vector<Dump> dumps_;
    std::optional<Heading> heading_;
    Growing numbers_;
    bool at_header_ = false;
    std::size_t begun_ = 0;
};

/// The lines of a table of rows as cells.
struct Table {
    std::vector<std::vector<std::string>> rows;
    std::vector<std::size_t> numbers;  ///< of the lines
    bool spaces = false;
};

Table table_of(const Source& source) {
    Table out;
    std::vector<TextLine> lines = lines_of(source.text);
    std::erase_if(lines, [](const TextLine& l) { return l.text.empty() || l.text.starts_with('#'); });
    const auto any = [&](std::string_view of) {
        return std::any_of(lines.begin(), lines.end(), [&](const TextLine& l) {
            return l.text.find_first_of(of) != std::string_view::npos;
        });
    };
    const bool bars = !lines.empty() && lines[0].text.starts_with('|');
    out.spaces = !bars && !any(",;\t");
    for (const TextLine& line : lines) {
        std::vector<std::string> cells =
            bars ? bar_cells(line.text) : cells_of(line.text, out.spaces ? " " : ",;\t");
        if (bars && is_rule(cells)) continue;
        if (std::any_of(cells.begin(), cells.end(), is_gap)) refuse_gap(source, line.number);
        out.rows.push_back(std::move(cells));
        out.numbers.push_back(line.number);
    }
    return out;
}

bool is_number_cell(const std::string& cell) { return number_of_text(cell).has_value(); }

/// How many numbers stand at the end of a row.
std::size_t numbers_at_end(const std::vector<std::string>& cells) {
    const auto other = std::find_if_not(cells.rbegin(), cells.rend(), is_number_cell);
    return static_cast<std::size_t>(other - cells.rbegin());
}

/// What stands in a table besides numbers: a first row of names, and cells before each row.
struct Labels {
    bool header = false;
    std::size_t before = 0;  ///< cells; with spaces between cells a token may be several
};

Labels labels_of(const Table& table) {
    Labels out;
    const auto& first = table.rows[0];
    const bool more = table.rows.size() > 1;
    const std::size_t width = more ? table.rows[1].size() : first.size();
    const bool names = std::any_of(first.begin() + (first.size() > 1 ? 1 : 0), first.end(),
                                   [](const std::string& c) { return !is_number_cell(c); });
    // One name fewer than cells, or an empty one: the column of the tokens has none.
    const bool corner = more && (first.size() + 1 == width || (first.size() == width && first[0].empty()));
    // A token of several words before a row is no row of names: it has numbers at its end.
    const bool whole = table.spaces ? numbers_at_end(first) == 0 : first.size() == width;
    out.header = more && (corner || (names && whole && numbers_at_end(table.rows[1]) + 1 >= width));
    const auto from = table.rows.begin() + (out.header ? 1 : 0);
    const bool words =
        std::any_of(from, table.rows.end(), [](const auto& row) { return !is_number_cell(row[0]); });
    out.before = corner || words ? 1 : 0;
    return out;
}

GivenArray array_of(const Source& source, const Table& table) {
    const Labels labels = labels_of(table);
    GivenArray array;
    Growing numbers;
    std::size_t columns = 0;
    Index height = 0;
    for (std::size_t k = labels.header ? 1 : 0; k < table.rows.size(); ++k, ++height) {
        const auto& cells = table.rows[k];
        std::size_t before = labels.before;
        if (table.spaces && before > 0) before = std::max(before, cells.size() - numbers_at_end(cells));
        const std::size_t found = cells.size() - std::min(before, cells.size());
        if (height > 0 && found != columns)
            refuse_line(source, table.numbers[k],
                        "has " + std::to_string(found) + (found == 1 ? " number" : " numbers") +
                            ", but the line before has " + std::to_string(columns));
        columns = found;
        for (std::size_t c = before; c < cells.size(); ++c)
            if (!numbers.add(cells[c]))
                refuse_line(
                    source, table.numbers[k],
                    (cells[c].empty() ? "has nothing" : "has " + shown(cells[c])) + " where a number stands",
                    "expected JSON, a trace as CSV, a printed tensor, or rows of numbers");
    }
    if (columns == 0)
        refuse_line(source, table.numbers[0], shown(table.rows[0][0]) + " is not a number",
                    "expected JSON, a trace as CSV, a printed tensor, or rows of numbers");
    array.shape = {height, static_cast<Index>(columns)};
    numbers.move_to(array);
    return array;
}

}  // namespace

bool is_stage_text(std::string_view text) {
    const std::vector<TextLine> lines = lines_of(text.substr(0, 1 << 16));
    for (std::size_t k = 0; k < lines.size(); ++k)
        if (heading_at(lines, k)) return true;
    return false;
}

std::vector<Dump> read_tables(const Source& source) {
    if (is_stage_text(source.text)) return StageText(source).read();
    const Table table = table_of(source);
    if (table.rows.empty()) refuse_line(source, 1, "is empty");
    std::vector<Dump> dumps(1);
    dumps[0].arrays.push_back(array_of(source, table));
    return dumps;
}

}  // namespace attn
