#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>

#include "lib/input/file_tensors.hpp"

namespace attn {
namespace {

constexpr std::string_view csv_header = "stage,batch,head,row,column,row_token,column_token,value";
constexpr std::size_t cells = 8, axes = 4;

/// The cells of one line after another (RFC 4180: quoted cells may hold line ends).
class Lines {
  public:
    explicit Lines(const Source& source) : source_(source), left_(source.text) {
        if (left_.starts_with("\xEF\xBB\xBF")) left_.remove_prefix(3);
    }

    std::array<std::string, cells> cell;

    bool next() {
        if (left_.empty()) return false;
        line_ = next_line_;
        std::size_t k = 0;
        for (;; ++k) {
            if (k == cells) refuse("has more than 8 cells");
            const bool more = read(cell[k]);
            if (!more) break;
        }
        if (k + 1 != cells) refuse("has " + std::to_string(k + 1) + " cells, expected 8");
        return true;
    }

    [[noreturn]] void refuse(const std::string& message) const {
        Error error(Exit::input, {}, message, "the columns of a CSV trace are " + std::string(csv_header));
        error.place.file = source_.name;
        error.place.line = line_;
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

    const Source& source_;
    std::string_view left_;
    std::int64_t line_ = 1, next_line_ = 1;
};

struct Column {
    std::string name;
    std::array<std::vector<Index>, axes> places;  ///< empty: the axis is not there
    std::vector<double> values;
};

Index read_place(const Lines& lines, const std::string& text) {
    Index v = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, v);
    if (error != std::errc{} || stop != end || v < 0)
        lines.refuse("has \"" + text + "\" where a number of an axis stands");
    return v;
}

void read_value(const Lines& lines, Column& out) {
    const std::string& text = lines.cell[cells - 1];
    char* end = nullptr;
    const bool odd = text.empty() || text.find_first_not_of("+-.0123456789eEInfityNa") != std::string::npos;
    const double v = odd ? 0 : std::strtod(text.c_str(), &end);
    if (odd || *end != '\0') lines.refuse("has \"" + text + "\" where a value stands");
    out.values.push_back(v);
}

void read_line(const Lines& lines, Column& out) {
    for (std::size_t a = 0; a < axes; ++a) {
        const std::string& text = lines.cell[1 + a];
        const bool had = !out.places[a].empty();
        if (!out.values.empty() && had == text.empty())
            lines.refuse("has " + std::string(had ? "no number" : "a number") +
                         " where the first line of this stage has " + (had ? "one" : "none"));
        if (!text.empty()) out.places[a].push_back(read_place(lines, text));
    }
    read_value(lines, out);
}

/// Puts the numbers in order, where they stand in another one.
FileTensor finished(const Source& source, Column&& column) {
    const std::size_t count = column.values.size();
    FileTensor out;
    out.name = column.name;
    std::vector<std::size_t> place(count, 0);
    for (const std::vector<Index>& numbers : column.places) {
        if (numbers.empty()) continue;
        std::vector<Index> all = numbers;
        std::sort(all.begin(), all.end());
        all.erase(std::unique(all.begin(), all.end()), all.end());
        out.shape.push_back(static_cast<Index>(all.size()));
        for (std::size_t k = 0; k < count; ++k)
            place[k] =
                place[k] * all.size() +
                static_cast<std::size_t>(std::lower_bound(all.begin(), all.end(), numbers[k]) - all.begin());
    }
    std::vector<bool> seen(count);
    bool full = element_count(out.shape) == static_cast<Index>(count);
    for (std::size_t k = 0; k < count && full; ++k) {
        full = !seen[place[k]];
        seen[place[k]] = true;
    }
    if (!full) {
        Error error(Exit::input, {},
                    "stage " + column.name + " has " + std::to_string(count) +
                        " lines, expected one for each cell of " + to_string(out.shape));
        error.place.file = source.name;
        throw error;
    }
    std::vector<double> values(count);
    for (std::size_t k = 0; k < count; ++k) values[place[k]] = column.values[k];
    out.numbers = Numbers(std::move(values));
    return out;
}

}  // namespace

FileTensors read_csv_tensors(const Source& source) {
    Lines lines(source);
    std::string found;
    if (lines.next())
        for (const std::string& c : lines.cell) found += (&c == lines.cell.data() ? "" : ",") + c;
    if (found != csv_header) lines.refuse("is not the first line of a CSV trace");
    std::vector<Column> columns;
    std::map<std::string, std::size_t, std::less<>> by_name;
    bool tokens = false;
    std::size_t last = 0;
    while (lines.next()) {
        if (columns.empty() || columns[last].name != lines.cell[0]) {
            last = by_name.try_emplace(lines.cell[0], columns.size()).first->second;
            if (last == columns.size()) columns.emplace_back().name = lines.cell[0];
        }
        read_line(lines, columns[last]);
        tokens = tokens || !lines.cell[5].empty() || !lines.cell[6].empty();
    }
    FileTensors out;
    for (Column& c : columns) out.tensors.push_back(finished(source, std::move(c)));
    if (tokens) out.besides.emplace_back("tokens");
    return out;
}

}  // namespace attn
