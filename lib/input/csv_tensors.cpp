#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <unordered_map>

#include "lib/input/file_tensors.hpp"
#include "lib/input/words.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view csv_header = "stage,batch,head,row,column,row_token,column_token,value";
constexpr std::size_t csv_axes = 4;

/// What a column holds.
enum class Column { stage, batch, head, row, column, row_token, column_token, value, document, other };
constexpr std::size_t column_count = 10;
constexpr std::array<std::string_view, column_count - 1> column_names{
    "stage", "batch", "head", "row", "column", "row_token", "column_token", "value", "document"};

Column column_named(std::string_view name) {
    const auto found = std::find(column_names.begin(), column_names.end(), name);
    return static_cast<Column>(found - column_names.begin());
}

/// The cells of one line after another (RFC 4180: quoted cells may hold line ends).
class CsvLines {
  public:
    CsvLines(std::string name, std::string_view text) : name_(std::move(name)), left_(text) {
        if (left_.starts_with("\xEF\xBB\xBF")) left_.remove_prefix(3);
    }

    std::vector<std::string> cell;
    std::size_t count = 0;  ///< of the cells of this line

    bool next() {
        if (left_.empty()) return false;
        line_ = next_line_;
        count = 0;
        do {
            if (count == cell.size()) cell.emplace_back();
        } while (read(cell[count++]));
        return true;
    }
    std::int64_t line() const { return line_; }

    [[noreturn]] void refuse(std::string message, std::string hint = {}, std::int64_t line = 0) const {
        if (hint.empty()) hint = "the columns of a CSV trace are " + std::string(csv_header);
        Error error(Exit::input, {}, std::move(message), std::move(hint));
        error.place.file = name_;
        error.place.line = line > 0 ? line : line_;
        error.place.column = 1;
        throw error;
    }

  private:
    /// Whether another cell follows in the line.
    bool read(std::string& out) {
        out.clear();
        if (left_.starts_with('"')) {
            for (left_.remove_prefix(1);;) {
                const std::size_t quote = left_.find('"');
                if (quote == std::string_view::npos) refuse("has a quoted cell without an end");
                out += left_.substr(0, quote);
                left_.remove_prefix(quote + 1);
                if (!left_.starts_with('"')) break;
                out += '"';
                left_.remove_prefix(1);
            }
            next_line_ += std::count(out.begin(), out.end(), '\n');
        }
        const std::size_t end = std::min(left_.find_first_of(",\r\n"), left_.size());
        out += left_.substr(0, end);
        left_.remove_prefix(end);
        if (left_.starts_with(',')) {
            left_.remove_prefix(1);
            return true;
        }
        if (left_.starts_with('\r')) left_.remove_prefix(1);
        if (left_.starts_with('\n')) left_.remove_prefix(1);
        ++next_line_;
        return false;
    }

    std::string name_;
    std::string_view left_;
    std::int64_t line_ = 1, next_line_ = 1;
};

/// What each cell of a line is; nothing where the line is not the header of a trace.
std::optional<std::vector<Column>> columns_of(const CsvLines& lines) {
    std::vector<Column> out;
    std::array<int, column_count> met{};
    for (std::size_t k = 0; k < lines.count; ++k) {
        out.push_back(column_named(lines.cell[k]));
        ++met[idx(out.back())];
    }
    for (const Column c :
         {Column::stage, Column::batch, Column::head, Column::row, Column::column, Column::value})
        if (met[idx(c)] == 0) return std::nullopt;
    for (std::size_t c = 0; c + 1 < column_count; ++c)
        if (met[c] > 1) lines.refuse("has the column " + std::string(column_names[c]) + " twice");
    return out;
}

/// The lines of one stage.
struct CsvCells {
    std::string name;
    std::optional<Index> document;
    std::array<std::vector<Index>, csv_axes> places;               ///< empty: the axis is not there
    std::array<std::unordered_map<Index, std::string>, 2> tokens;  ///< of rows and columns
    std::vector<double> values;
    std::vector<std::int64_t> lines;
};

/// A whole number from 0 on, also as a program writes it that holds all numbers as floating (0.0, 1e+05).
Index read_place(const CsvLines& lines, const std::string& text) {
    Index whole = 0;
    const char* end = text.data() + text.size();
    if (const auto [stop, error] = std::from_chars(text.data(), end, whole);
        error == std::errc{} && stop == end && whole >= 0)
        return whole;
    constexpr double most = 9007199254740992;  // 2^53
    const auto number = number_of_text(text);
    if (!number || !(*number >= 0) || *number > most || *number != std::floor(*number))
        lines.refuse("has \"" + clip(visible(text), 40) + "\" where a number of an axis stands");
    return static_cast<Index>(*number);
}

/// Nothing, or what R and pandas write for nothing.
bool is_nothing(std::string_view text) { return text.empty() || text == "NA" || text == "NaN"; }

void read_value(const CsvLines& lines, const std::string& text, CsvCells& out) {
    const auto number = number_of_text(text);
    if (!number && (text.empty() || text == "NA" || text == "null"))
        lines.refuse("has " + std::string(text.empty() ? "nothing" : text) + " where a value stands",
                     "it may be any of NaN, Inf and -Inf: write which (pandas: to_csv(na_rep=\"NaN\"); "
                     "attn-calc without " +
                         option::nonfinite + " null)");
    if (!number) lines.refuse("has \"" + clip(visible(text), 40) + "\" where a value stands");
    out.values.push_back(*number);
    out.lines.push_back(lines.line());
}

void read_line(const CsvLines& lines, const std::array<std::string, column_count>& cell, CsvCells& out) {
    for (std::size_t a = 0; a < csv_axes; ++a) {
        const std::string& text = cell[idx(Column::batch) + a];
        const bool had = !out.places[a].empty(), empty = is_nothing(text);
        if (!out.values.empty() && had == empty)
            lines.refuse("has " + std::string(had ? "no number" : "a number") +
                         " where the first line of this stage has " + (had ? "one" : "none"));
        if (!empty) out.places[a].push_back(read_place(lines, text));
    }
    for (std::size_t a = 0; a < out.tokens.size(); ++a) {
        const std::vector<Index>& places = out.places[csv_axes - out.tokens.size() + a];
        const std::string& token = cell[idx(Column::row_token) + a];
        if (!token.empty() && !places.empty()) out.tokens[a].try_emplace(places.back(), token);
    }
    read_value(lines, cell[idx(Column::value)], out);
}

/// The place of a cell in words: "[0, 0, 1, 2]".
std::string place_words(const CsvCells& cells, std::size_t k) {
    Shape at;
    for (const std::vector<Index>& numbers : cells.places)
        if (!numbers.empty()) at.push_back(numbers[k]);
    return to_string(at);
}

/// Puts the numbers in order, where they stand in another one.
FileTensor finished(const CsvLines& lines, CsvCells&& cells) {
    const std::size_t count = cells.values.size();
    FileTensor out;
    out.name = cells.name;
    out.document = cells.document;
    std::vector<std::size_t> place(count, 0);
    for (std::size_t a = 0; a < csv_axes; ++a) {
        const std::vector<Index>& numbers = cells.places[a];
        if (numbers.empty()) continue;
        std::vector<Index>& all = out.places[a];
        all = numbers;
        std::sort(all.begin(), all.end());
        all.erase(std::unique(all.begin(), all.end()), all.end());
        out.shape.push_back(static_cast<Index>(all.size()));
        for (std::size_t k = 0; k < count; ++k)
            place[k] =
                place[k] * all.size() +
                static_cast<std::size_t>(std::lower_bound(all.begin(), all.end(), numbers[k]) - all.begin());
    }
    for (std::size_t a = 0; a < out.tokens.size(); ++a)
        for (const Index p : out.places[csv_axes - out.tokens.size() + a])
            if (const auto found = cells.tokens[a].find(p); found != cells.tokens[a].end())
                out.tokens[a].push_back(std::move(found->second));
    const auto whole = element_count(out.shape);
    constexpr std::size_t none = SIZE_MAX;
    std::vector<std::size_t> seen(
        whole && *whole <= static_cast<Index>(count) ? static_cast<std::size_t>(*whole) : 0, none);
    for (std::size_t k = 0; k < count && !seen.empty(); ++k) {
        if (seen[place[k]] != none)
            lines.refuse("has the cell " + visible(cells.name) + place_words(cells, k) +
                             " again, which stands in line " + std::to_string(cells.lines[seen[place[k]]]),
                         "keep one of them", cells.lines[k]);
        seen[place[k]] = k;
    }
    if (whole != static_cast<Index>(count))
        lines.refuse("has stage " + visible(cells.name) + " with " + std::to_string(count) +
                         " lines, expected one for each cell of " + to_string(out.shape),
                     "cells are missing: it was cut, or lines were left out", cells.lines.front());
    std::vector<double> values(count);
    for (std::size_t k = 0; k < count; ++k) values[place[k]] = cells.values[k];
    out.numbers = Numbers(std::move(values));
    return out;
}

}  // namespace

bool is_csv_trace(std::string_view text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '"') % 2 != 0) return false;
    CsvLines lines({}, text.substr(0, end));
    return lines.next() && columns_of(lines).has_value();
}

FileTensors read_csv_tensors(const Source& source) {
    CsvLines lines(source.name, source.text);
    if (!lines.next()) lines.refuse("is empty");
    const auto columns = columns_of(lines);
    if (!columns) lines.refuse("is not the first line of a CSV trace");
    FileTensors out;
    for (std::size_t k = 0; k < lines.count; ++k)  // R and pandas number the lines in a first column
        if ((*columns)[k] == Column::other && !(k == 0 && is_nothing(lines.cell[0])))
            out.besides.push_back("the column " + visible(lines.cell[k]));
    std::vector<CsvCells> stages;
    std::map<std::pair<Index, std::string>, std::size_t, std::less<>> by_name;
    bool tokens = false;
    std::size_t last = 0;
    std::array<std::string, column_count> cell;
    const auto at = [&](Column c) -> std::string& { return cell[idx(c)]; };
    while (lines.next()) {
        if (lines.count == 1 && lines.cell[0].empty()) continue;
        if (lines.count != columns->size())
            lines.refuse("has " + std::to_string(lines.count) + " cells, expected " +
                         std::to_string(columns->size()));
        for (std::size_t k = 0; k < lines.count; ++k) at((*columns)[k]).swap(lines.cell[k]);
        std::optional<Index> document;
        if (!is_nothing(at(Column::document))) document = read_place(lines, at(Column::document));
        const std::string& name = at(Column::stage);
        if (stages.empty() || stages[last].name != name || stages[last].document != document) {
            last = by_name.try_emplace({document.value_or(-1), name}, stages.size()).first->second;
            if (last == stages.size()) {
                stages.emplace_back().name = name;
                stages.back().document = document;
            }
        }
        read_line(lines, cell, stages[last]);
        tokens = tokens || !at(Column::row_token).empty() || !at(Column::column_token).empty();
        for (std::size_t k = 0; k < lines.count; ++k) at((*columns)[k]).swap(lines.cell[k]);
    }
    for (CsvCells& s : stages) out.tensors.push_back(finished(lines, std::move(s)));
    if (tokens) out.besides.emplace_back("tokens");
    return out;
}

}  // namespace attn
