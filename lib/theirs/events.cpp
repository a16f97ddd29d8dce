#include "lib/theirs/events.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <set>

#include "lib/input/read_tensor.hpp"
#include "lib/input/scan.hpp"

namespace attn {
namespace {

constexpr TensorRule a_block{1, 2, Elements::additive, "rows of numbers"};

/// Rows of a stage by their place (batch, head, key of a state, row), until the whole shape is known.
class Assembly {
  public:
    using Spot = std::array<Index, 4>;

    /// \return false: a row that is there already, or one of another length
    bool add(const Spot& spot, std::vector<double> row) {
        if (!rows_.empty() && row.size() != rows_.begin()->second.size()) return false;
        return rows_.emplace(spot, std::move(row)).second;
    }

    /// \return false: rows are missing
    bool finish(GivenArray& out) {
        std::array<std::set<Index>, 4> places;
        for (const auto& [spot, row] : rows_)
            for (std::size_t axis = 0; axis < 4; ++axis) places[axis].insert(spot[axis]);
        std::size_t product = 1;
        for (const auto& p : places) product *= p.size();
        if (product != rows_.size()) return false;
        const bool states = places[2].size() > 1;
        for (std::size_t axis = 0; axis < 4; ++axis)
            if (axis != 2 || states) out.shape.push_back(static_cast<Index>(places[axis].size()));
        out.shape.push_back(static_cast<Index>(rows_.begin()->second.size()));
        for (const auto& [spot, row] : rows_) out.values.insert(out.values.end(), row.begin(), row.end());
        return true;
    }

  private:
    std::map<Spot, std::vector<double>> rows_;
};

Index integer_of(const Value& event, std::string_view name) {
    const Value* value = event.find(name);
    return value && value->kind == Value::Kind::integer ? value->integer : 0;
}

/// What has come of one document of an NDJSON trace.
struct Begun {
    Dump dump;
    std::optional<Element> type;
    std::vector<std::pair<std::string, Assembly>> stages;

    Assembly& stage(const std::string& name) {
        for (auto& [other, assembly] : stages)
            if (other == name) return assembly;
        return stages.emplace_back(name, Assembly{}).second;
    }
};

void begin(const Value& event, Begun& begun) {
    const Value* plan = event.find("plan");
    const Value* type = plan && plan->kind == Value::Kind::object ? plan->find("dtype") : nullptr;
    if (type && type->kind == Value::Kind::string) begun.type = type_named(type->text);
    const Value* selection = event.find("selection");
    if (!selection || selection->kind != Value::Kind::object) return;
    for (const Member& m : selection->members) {
        std::string text;
        for (Index k = 0; k < m.value.row.numbers.size(); ++k)
            text += (text.empty() ? "" : ",") + std::to_string(static_cast<Index>(m.value.row.numbers[k]));
        if (!text.empty()) begun.dump.selection.emplace_back(m.name, text);
    }
}

void add_rows(const Value& event, Begun& begun) {
    const std::string& name = read_string(need(event, {}, "name", "the name of a stage"), "/name", "a name");
    const TensorSource block = read_tensor(need(event, {}, "data", "the numbers"), "/data", a_block);
    std::vector<double> values;
    copy_as(begun.type, block.numbers, values);
    Index first = 0;
    if (const Value* rows = event.find("rows"))
        first = read_integers(*rows, "/rows", 0, "[first, end]").front();
    const Index count = block.shape.size() == 2 ? block.shape[0] : 1;
    const auto columns = static_cast<std::ptrdiff_t>(block.shape.back());
    for (Index k = 0; k < count; ++k) {
        const Assembly::Spot spot{integer_of(event, "batch"), integer_of(event, "head"),
                                  integer_of(event, "key"), first + k};
        const auto from = values.begin() + k * columns;
        if (!begun.stage(name).add(spot, {from, from + columns}))
            fail("/data",
                 "holds row " + std::to_string(first + k) + " of " + name + " again, or with another length");
    }
}

[[noreturn]] void refuse(const Source& source, std::size_t line, std::string message, std::string hint = {}) {
    Error error(Exit::input, {}, std::move(message), std::move(hint));
    error.place.file = source.name;
    error.place.line = static_cast<std::int64_t>(line);
    error.place.column = 1;
    throw error;
}

void finish(const Source& source, std::vector<std::pair<std::string, Assembly>>& stages, Dump& dump) {
    for (auto& [name, assembly] : stages) {
        GivenArray& array = dump.arrays.emplace_back();
        array.name = name;
        if (!assembly.finish(array)) {
            Error error(Exit::input, {},
                        "lacks rows of " + name + ": it was cut, or only a part was written");
            error.place.file = source.name;
            throw error;
        }
        dump.order.push_back(name);
    }
}

/// The cells of a line; quoted ones keep their commas.
std::vector<std::string> cells_of(std::string_view line, std::string_view separators) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (const char c : line) {
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && separators.find(c) != std::string_view::npos)
            cells.emplace_back();
        else
            cells.back() += c;
    }
    return cells;
}

bool number_of(std::string_view text, double& out) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return !text.empty() && error != std::errc::invalid_argument && stop == text.data() + text.size();
}

struct Line {
    std::size_t number;
    std::string_view text;
};

std::vector<Line> lines_of(std::string_view text) {
    std::vector<Line> lines;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
        while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
        if (!line.empty() && line.front() != '#') lines.push_back({number, line});
    }
    return lines;
}

Dump read_long(const Source& source, const std::vector<Line>& lines) {
    std::vector<std::pair<std::string, Assembly>> stages;
    std::map<std::string, std::map<Assembly::Spot, std::map<Index, double>>> cells;
    std::vector<std::string> order;
    for (std::size_t k = 1; k < lines.size(); ++k) {
        const std::vector<std::string> row = cells_of(lines[k].text, ",");
        if (row.size() != 8)
            refuse(source, lines[k].number, "has " + std::to_string(row.size()) + " cells, expected 8");
        std::array<Index, 4> places{};  // batch, head, row, column
        for (std::size_t c = 0; c < 4; ++c) {
            const std::string& text = row[c + 1];
            const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), places[c]);
            if (!text.empty() && (error != std::errc{} || stop != text.data() + text.size()))
                refuse(source, lines[k].number, "\"" + text + "\" is no whole number");
        }
        double value = 0;
        if (!number_of(row[7], value)) refuse(source, lines[k].number, "\"" + row[7] + "\" is no number");
        if (!cells.contains(row[0])) order.push_back(row[0]);
        cells[row[0]][{places[0], places[1], 0, places[2]}].emplace(places[3], value);
    }
    Dump dump;
    for (const std::string& name : order) {
        Assembly& assembly = stages.emplace_back(name, Assembly{}).second;
        for (const auto& [spot, row] : cells[name]) {
            std::vector<double> values;
            for (const auto& [column, value] : row) values.push_back(value);
            if (!assembly.add(spot, std::move(values)))
                refuse(source, lines.front().number, "lacks cells of " + name);
        }
    }
    finish(source, stages, dump);
    for (GivenArray& array : dump.arrays) array.as_ours = true;
    return dump;
}

}  // namespace

std::vector<Dump> read_events(const TextFile& file) {
    std::map<Index, Begun> begun;
    for (const Document& document : file.documents) {
        try {
            const Value& event = document.root;
            const Value* kind = event.find("event");
            if (!kind || kind->kind != Value::Kind::string) fail("", "is no event of a trace");
            Begun& part = begun[integer_of(event, "document")];
            if (event.find("document")) part.dump.number = integer_of(event, "document");
            if (kind->text == "begin") begin(event, part);
            if (kind->text == "stage") add_rows(event, part);
        } catch (Error& error) {
            error.place.file = file.source.name;
            locate(error, file.source, document);
            throw;
        }
    }
    std::vector<Dump> dumps;
    for (auto& [number, part] : begun) {
        finish(file.source, part.stages, part.dump);
        for (GivenArray& array : part.dump.arrays) array.type = part.type;
        dumps.push_back(std::move(part.dump));
    }
    return dumps;
}

Dump read_rows(const Source& source) {
    const std::vector<Line> lines = lines_of(source.text);
    if (lines.empty()) refuse(source, 1, "is empty");
    if (lines.front().text.starts_with("stage,batch,head,row,column,")) return read_long(source, lines);
    Dump dump;
    GivenArray& array = dump.arrays.emplace_back();
    std::vector<Digits> digits;
    std::size_t columns = 0;
    for (const Line& line : lines) {
        std::string text(line.text);
        if (text.find_first_of(",;\t") == std::string::npos)  // columns are aligned with any number of spaces
            text.erase(
                std::unique(text.begin(), text.end(), [](char a, char b) { return a == ' ' && b == ' '; }),
                text.end());
        const bool spaces = text.find_first_of(",;\t") == std::string::npos;
        const std::vector<std::string> cells = cells_of(text, spaces ? " " : ",;\t");
        if (columns != 0 && cells.size() != columns)
            refuse(source, line.number,
                   "has " + std::to_string(cells.size()) + " numbers, but the line before has " +
                       std::to_string(columns));
        columns = cells.size();
        for (const std::string& cell : cells) {
            double value = 0;
            if (!number_of(cell, value))
                refuse(source, line.number, "\"" + cell.substr(0, 40) + "\" is no number",
                       "expected JSON, a trace as CSV, or rows of numbers");
            array.values.push_back(value);
            digits.push_back(digits_of(cell));
        }
    }
    array.shape = {static_cast<Index>(lines.size()), static_cast<Index>(columns)};
    mark_digits(array, digits);
    return dump;
}

}  // namespace attn
