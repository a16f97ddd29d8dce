#include "lib/explain/sheet.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "lib/error.hpp"
#include "lib/input/value.hpp"
#include "lib/text.hpp"

namespace attn::explain {
namespace {

constexpr std::string_view schema = "attn-calc/explain/1";

std::string_view trimmed(std::string_view text) {
    const auto is_margin = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '*' || c == '`'; };
    while (!text.empty() && is_margin(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_margin(text.back())) text.remove_suffix(1);
    return text;
}

/// A box that nobody has written into.
bool is_box(std::string_view text) { return text.find_first_not_of("[]_ ") == std::string_view::npos; }

struct Named {
    Stage stage;
    std::vector<Index> numbers;
};

/// "weights[0,0]"
std::optional<Named> named(std::string_view text) {
    const std::size_t open = text.find('[');
    if (open == std::string_view::npos || text.back() != ']') return std::nullopt;
    std::string name;
    for (const char c : text.substr(0, open))
        if (c != '\\') name += c;  // Markdown may escape the _
    const auto stage = stage_named(name);
    if (!stage) return std::nullopt;
    Named out{*stage, {}};
    const char* end = text.data() + text.size();
    for (const char* at = text.data() + open; at + 1 < end;) {
        Index n = 0;
        const auto [stop, error] = std::from_chars(at + 1, end, n);
        if (error != std::errc{} || n < 0 || stop == end || *stop != (stop + 1 == end ? ']' : ','))
            return std::nullopt;
        out.numbers.push_back(n);
        at = stop;
    }
    return out;
}

/// The numbers in front of row and column: batch, head, token, as far as the stage has them.
std::size_t leading(Stage stage) {
    const StageShape family = info_of(stage).shape;
    return 1 + (has_heads(family) ? 1U : 0U) + (family == StageShape::states ? 1U : 0U);
}

Cell cell_of(const Named& n, Index row, Index column) {
    Cell c{n.stage, n.numbers[0], 0, row, column, 0};
    if (has_heads(info_of(n.stage).shape)) c.head = n.numbers[1];
    if (n.stage == Stage::states) c.token = n.numbers[2];
    return c;
}

/// "weights[0,0,1,2]": all numbers.
std::optional<Cell> cell_at(std::string_view place) {
    const std::optional<Named> n = named(place);
    if (!n) return std::nullopt;
    const std::size_t front = leading(n->stage),
                      rest = n->numbers.size() - std::min(front, n->numbers.size());
    const bool per_key = info_of(n->stage).shape == StageShape::per_key;
    if (rest != 2 && !(per_key && rest == 1)) return std::nullopt;
    return cell_of(*n, rest == 2 ? n->numbers[front] : 0, n->numbers.back());
}

class Json {
  public:
    explicit Json(Sheet& out) : out_(out) {}

    void read(const Value& root) {
        const Value* is = root.find("schema");
        if (!is || is->text != schema)
            fail("", "is no worksheet: \"schema\" is not \"" + std::string(schema) + "\"",
                 "attn-calc explain FILE -f json --blank weights writes one");
        const Value* blank = root.find("blank");
        if (!blank) blank = root.find("solved");
        if (blank)
            for (const Value& name : blank->items) stages_.push_back(name.text);
        const Value* steps = root.find("steps");
        if (!steps || steps->kind != Value::Kind::array) fail("/steps", "is not there: expected an array");
        for (std::size_t k = 0; k < steps->items.size(); ++k)
            step(steps->items[k], child("/steps", static_cast<std::int64_t>(k)));
    }

  private:
    void step(const Value& step, const std::string& pointer) {
        const Value* stage = step.find("stage");
        const Value* lines = step.find("lines");
        if (!stage || !lines) return;
        if (!stages_.empty() && std::find(stages_.begin(), stages_.end(), stage->text) == stages_.end())
            return;
        for (std::size_t k = 0; k < lines->items.size(); ++k)
            line(lines->items[k], child(child(pointer, "lines"), static_cast<std::int64_t>(k)));
    }

    void line(const Value& line, const std::string& pointer) {
        const Value* place = line.find("place");
        const Value* result = line.find("result");
        if (!line.find("stage_number") || !place || !result) return;
        const std::string at = child(pointer, "result");
        if (result->kind == Value::Kind::null ||
            (result->kind == Value::Kind::string && is_box(result->text))) {
            ++out_.left_blank;
            return;
        }
        const bool is_text = result->kind == Value::Kind::string || result->kind == Value::Kind::integer ||
                             result->kind == Value::Kind::real;
        std::optional<SheetCell> cell = is_text ? written_number(result->text) : std::nullopt;
        if (!cell) fail(at, "is " + result->describe() + ", expected the number that belongs there");
        const std::optional<Cell> where = cell_at(place->text);
        if (!where) fail(child(pointer, "place"), "names no number of a stage: " + json_string(place->text));
        cell->cell = *where;
        out_.cells.push_back(*cell);
    }

    Sheet& out_;
    std::vector<std::string> stages_;
};

std::vector<std::string> cells_of(std::string_view line) {
    std::vector<std::string> out;
    std::string cell;
    line.remove_prefix(1);
    for (std::size_t k = 0; k < line.size(); ++k) {
        if (line[k] == '\\' && k + 1 < line.size()) {
            cell += line[++k];
        } else if (line[k] == '|') {
            out.emplace_back(trimmed(cell));
            cell.clear();
        } else {
            cell += line[k];
        }
    }
    if (const std::string_view rest = trimmed(cell); !rest.empty()) out.emplace_back(rest);
    return out;
}

std::optional<Index> leading_number(std::string_view text) {
    Index n = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || n < 0) return std::nullopt;
    return n;
}

[[noreturn]] void fail_in_line(const std::string& name, std::int64_t line, std::string message) {
    Error error(Exit::input, {}, std::move(message));
    error.place.file = name;
    error.place.line = line;
    error.place.column = 1;
    throw error;
}

void read_tables(const std::string& name, std::string_view text, Sheet& out) {
    std::optional<Named> table;
    std::vector<std::optional<Index>> columns;
    std::int64_t number = 0;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t end = std::min(text.find('\n', from), text.size());
        const std::string_view line = trimmed(text.substr(from, end - from));
        from = end + 1;
        ++number;
        if (!line.starts_with('|')) {
            table.reset();
            continue;
        }
        const std::vector<std::string> cells = cells_of(line);
        if (cells.empty()) continue;
        if (!table || named(cells[0])) {
            table = named(cells[0]);
            if (table && table->numbers.size() != leading(table->stage)) table.reset();
            columns.clear();
            for (const std::string& c : cells) columns.push_back(leading_number(c));
            continue;
        }
        if (cells[0].starts_with('-') || cells[0].starts_with(':')) continue;  // the rule below the heading
        const std::optional<Index> row = leading_number(cells[0]);
        if (!row) fail_in_line(name, number, "the row begins with no number: " + json_string(cells[0]));
        for (std::size_t k = 1; k < columns.size(); ++k) {
            if (!columns[k]) continue;
            if (k >= cells.size() || is_box(cells[k])) {
                ++out.left_blank;
                continue;
            }
            std::optional<SheetCell> cell = written_number(cells[k]);
            if (!cell) fail_in_line(name, number, json_string(cells[k]) + " is no number");
            cell->cell = cell_of(*table, *row, *columns[k]);
            out.cells.push_back(*cell);
        }
    }
}

}  // namespace

std::optional<SheetCell> written_number(std::string_view text) {
    std::string plain;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint c = decode_utf8(text, at);
        if (c.value == 0x2212)
            plain += '-';  // the sign that a keyboard does not have
        else
            plain += text.substr(at, c.size);
        at += c.size;
    }
    SheetCell out;
    if (plain == "-inf" || plain == "-Infinity" || plain == "-∞") {
        out.value = -HUGE_VAL;
        return out;
    }
    if (plain == "nan" || plain == "NaN") {
        out.value = std::numeric_limits<double>::quiet_NaN();
        return out;
    }
    const std::string_view digits = plain.starts_with('+') ? std::string_view(plain).substr(1) : plain;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, out.value);
    if (error != std::errc{} || stop != end || !std::isfinite(out.value)) return std::nullopt;
    const std::size_t e = std::min(digits.find_first_of("eE"), digits.size());
    const std::size_t point = digits.substr(0, e).find('.');
    int exponent = 0;
    if (e < digits.size()) {
        const char* from = digits.data() + e + 1;
        std::from_chars(*from == '+' ? from + 1 : from, end, exponent);
    }
    out.digits = (point == std::string_view::npos ? 0 : static_cast<int>(e - point) - 1) - exponent;
    out.tolerance = 0.5 * std::pow(10.0, -out.digits);
    return out;
}

bool is_sheet(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return false;
    if (text[first] == '{') return text.find(schema) != std::string_view::npos;
    for (std::size_t at = text.find('|'); at != std::string_view::npos; at = text.find("\n|", at + 1)) {
        const std::size_t from = text[at] == '\n' ? at + 1 : at;
        const std::vector<std::string> cells = cells_of(text.substr(from, text.find('\n', from) - from));
        if (!cells.empty() && named(cells[0])) return true;
    }
    return false;
}

Sheet read_sheet(const std::string& name, std::string_view text) {
    Sheet out;
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos && text[first] == '{') {
        const Source source{name, std::string(text)};
        for (const Document& document : parse_documents(source)) {
            try {
                Json(out).read(document.root);
            } catch (Error& error) {
                locate(error, source, document);
                throw;
            }
        }
    } else {
        read_tables(name, text, out);
    }
    if (out.cells.empty() && out.left_blank == 0)
        fail_in_line(name, 1, "holds no worksheet: no table whose first heading is as weights[0,0]");
    return out;
}

}  // namespace attn::explain
