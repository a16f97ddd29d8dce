#include "lib/input/scan.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <optional>

#include "lib/text.hpp"

namespace attn {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string cut(std::string_view s) { return harmless(clip(std::string(s.substr(0, 200)), 40)); }

}  // namespace

void Scanner::fault(std::string message, std::string hint) const {
    throw SyntaxFault{at, std::move(message), std::move(hint)};
}

void Scanner::unexpected(std::string_view expected) const {
    if (at >= text_.size())
        fault("the " + std::string(unit_ == "file" ? "text" : unit_) +
              " ends too early: unexpected end of the " + std::string(unit_) + ", expected " +
              std::string(expected));
    const auto byte = static_cast<unsigned char>(text_[at]);
    std::string found;
    if (byte < 0x20 || byte == 0x7F) {
        char hex[16];
        std::snprintf(hex, sizeof hex, "byte 0x%02X", byte);
        found = hex;
    } else if (byte < 0x80) {
        found = std::string("'") + text_[at] + "'";
    } else {
        const CodePoint c = decode_utf8(text_, at);
        char code[24];
        std::snprintf(code, sizeof code, c.valid ? "U+%04X" : "byte 0x%02X, which is not UTF-8",
                      c.valid ? static_cast<unsigned>(c.value) : byte);
        found = code;
    }
    fault("unexpected " + found + ", expected " + std::string(expected), remedy(expected));
}

std::string Scanner::remedy(std::string_view expected) const {
    const std::string_view rest = text_.substr(at);
    const auto begins = [&](std::initializer_list<std::string_view> words) {
        return std::any_of(words.begin(), words.end(),
                           [&](std::string_view w) { return rest.starts_with(w); });
    };
    const std::size_t before = at == 0 ? std::string_view::npos : text_.find_last_not_of(" \t\r\n", at - 1);
    const char last = at == 0 ? '\0' : text_[at - 1];
    if (last == '\\') return {};
    if (begins({"}", "]"}) && before != std::string_view::npos && text_[before] == ',')
        return "JSON has no comma after the last element: remove it";
    if (begins({"//", "/*", "#"})) return R"(JSON has no comments: a document may have "comment": "...")";
    if (begins({"'"})) return "JSON writes texts and names in double quotes: \"...\"";
    if (begins({"."}) || last == '.') return "JSON writes 0.5, not .5, and 1.0, not 1.";
    if (begins({"+"})) return "JSON writes numbers without a plus";
    if (begins({"NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"}))
        return R"(in an additive mask these are texts: "-Infinity", "Infinity", "NaN")";
    if (begins({"True", "False", "None"})) return "JSON writes true, false, null";
    if (begins({"("})) return "JSON writes lists in brackets: [1, 2]";
    const auto first = static_cast<unsigned char>(rest.empty() ? '\0' : rest.front());
    if (expected.starts_with("the name of a member") && std::isalpha(first))
        return "JSON writes names in double quotes: \"...\"";
    return {};
}

void Scanner::skip_space() {
    while (at < text_.size() &&
           (text_[at] == ' ' || text_[at] == '\t' || text_[at] == '\n' || text_[at] == '\r'))
        ++at;
}

void Scanner::word(std::string_view literal) {
    if (!text_.substr(at).starts_with(literal)) unexpected("a value");
    at += literal.size();
}

void Scanner::number() {
    const std::size_t begin = at;
    if (peek() == '-') ++at;
    if (!is_digit(peek())) unexpected("a digit");
    if (peek() == '0') {
        ++at;
        if (is_digit(peek())) fault("a number begins with 0", "JSON writes 7, not 007");
    }
    while (is_digit(peek())) ++at;
    if (peek() == '.') {
        ++at;
        if (!is_digit(peek())) unexpected("a digit after the point");
        while (is_digit(peek())) ++at;
    }
    if (peek() == 'e' || peek() == 'E') {
        ++at;
        if (peek() == '+' || peek() == '-') ++at;
        if (!is_digit(peek())) unexpected("a digit of the exponent");
        while (is_digit(peek())) ++at;
    }
    const std::string text(text_.substr(begin, at - begin));
    if (std::isfinite(std::strtod(text.c_str(), nullptr))) return;
    at = begin;
    fault("number " + cut(text) + " is out of the range of float64 (too large, above 1.8e308)");
}

char32_t Scanner::escape() {
    const auto four = [&] {
        char32_t v = 0;
        for (int k = 0; k < 4; ++k, ++at) {
            const char c = peek();
            if (is_digit(c)) {
                v = v * 16 + static_cast<char32_t>(c - '0');
            } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
                v = v * 16 + static_cast<char32_t>((c | 0x20) - 'a' + 10);
            } else {
                unexpected("four hexadecimal digits after \\u");
            }
        }
        return v;
    };
    switch (peek()) {
        case '"':
        case '\\':
        case '/':
            return static_cast<char32_t>(text_[at++]);
        case 'b':
            ++at;
            return '\b';
        case 'f':
            ++at;
            return '\f';
        case 'n':
            ++at;
            return '\n';
        case 'r':
            ++at;
            return '\r';
        case 't':
            ++at;
            return '\t';
        case 'u':
            break;
        default:
            unexpected("an escape: one of \" \\ / b f n r t u");
    }
    const std::size_t begin = at++;
    const char32_t v = four();
    if (v < 0xD800 || v > 0xDFFF) return v;
    if (v < 0xDC00 && text_.substr(at, 2) == "\\u") {
        at += 2;
        const char32_t low = four();
        if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
    }
    at = begin;
    fault("an escape is one half of a surrogate pair");
}

void Scanner::string(std::string* unescaped) {
    if (peek() != '"') unexpected("a string");
    const std::size_t begin = at++;
    while (true) {
        if (at >= text_.size()) {
            at = begin;
            fault("a string that begins here has no end");
        }
        const char c = text_[at];
        if (c == '"') break;
        if (c == '\\') {
            ++at;
            const char32_t v = escape();
            if (unescaped) append_utf8(*unescaped, v);
            continue;
        }
        if (static_cast<unsigned char>(c) < 0x20)
            unexpected("no raw control character in a string: write it as an escape");
        const CodePoint p = decode_utf8(text_, at);
        if (!p.valid) unexpected("UTF-8 text");
        if (unescaped) unescaped->append(text_.substr(at, p.size));
        at += p.size;
    }
    ++at;
}

void Scanner::value() {
    switch (peek()) {
        case '"':
            return string();
        case 't':
            return word("true");
        case 'f':
            return word("false");
        case 'n':
            return word("null");
        case '[':
        case '{':
            break;
        default:
            if (peek() == '-' || is_digit(peek())) return number();
            unexpected("a value");
    }
    const bool object = text_[at] == '{';
    const char end = object ? '}' : ']';
    if (++depth_ > deepest_level) fault("nested too deep: at most 64 levels of arrays and objects are read");
    ++at;
    skip_space();
    if (peek() == end) {
        ++at;
        --depth_;
        return;
    }
    while (true) {
        skip_space();
        if (object) {
            if (peek() != '"') unexpected("the name of a member, a string");
            string();
            skip_space();
            if (peek() != ':') unexpected("':' after the name of a member");
            ++at;
            skip_space();
        }
        value();
        skip_space();
        if (peek() == end) break;
        if (peek() != ',') unexpected(object ? "',' or '}'" : "',' or ']'");
        ++at;
    }
    ++at;
    --depth_;
}

/// One reference token down; false where it leads nowhere.
bool Scanner::step(Found& found, const std::string& token) {
    at = found.value_begin;
    const char open = peek();
    if (open != '{' && open != '[') return false;
    ++at;
    std::optional<Found> last;
    for (std::size_t index = 0;; ++index) {
        skip_space();
        if (peek() == '}' || peek() == ']') break;
        if (peek() == ',') {
            ++at;
            skip_space();
        }
        Found next{};
        std::string name;
        next.name_begin = at;
        if (open == '{') {
            string(&name);
            next.name_end = at;
            skip_space();
            ++at;
            skip_space();
        }
        next.value_begin = at;
        value();
        next.value_end = at;
        if (open == '[') next.name_end = at;
        if (open == '{' ? name == token : std::to_string(index) == token) {
            last = next;
            break;
        }
    }
    if (!last) return false;
    found = *last;
    return true;
}

Scanner::Found Scanner::follow(const std::vector<std::string>& tokens) {
    Found found{at, at + 1, at, at + 1};
    for (const std::string& t : tokens)
        if (!step(found, t)) break;
    return found;
}

void fill_place(Place& place, std::string_view text, std::size_t begin, std::size_t width) {
    begin = std::min(begin, text.size());
    const std::size_t newline = begin == 0 ? std::string_view::npos : text.rfind('\n', begin - 1);
    const std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
    const std::size_t line_end = std::min(text.find('\n', begin), text.size());
    place.line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(line_begin), '\n');
    const auto is_start = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    const std::string_view before = text.substr(line_begin, begin - line_begin);
    place.column = 1 + std::count_if(before.begin(), before.end(), is_start);
    if (place.line == 1 && before.starts_with("\xEF\xBB\xBF")) --place.column;

    // At most 40 columns before the caret and 76 in all; pieces are cut between characters and made harmless.
    constexpr std::size_t most_before = 120;
    std::size_t from = line_begin;
    if (before.size() > most_before) {
        from = begin - most_before;
        while (from < begin && !is_start(text[from])) ++from;
    }
    std::string head = harmless(text.substr(from, begin - from));
    std::replace(head.begin(), head.end(), '\t', ' ');
    while (display_width(head) > 40) {
        std::size_t k = 1;
        while (k < head.size() && !is_start(head[k])) ++k;
        head.erase(0, k);
        from = line_begin + 1;  // something was cut
    }
    if (from != line_begin) head = "…" + head;
    std::size_t tail_end = std::min(line_end, begin + 400);
    while (tail_end < line_end && !is_start(text[tail_end])) --tail_end;
    std::string_view tail = text.substr(begin, tail_end - begin);
    if (tail.ends_with('\r')) tail.remove_suffix(1);
    place.caret = display_width(head);
    const int room = 76 - place.caret;
    place.excerpt = head + clip(harmless(tail), room);
    const std::string marked = harmless(text.substr(begin, std::min({width, tail.size(), std::size_t{200}})));
    place.caret_width = std::clamp(display_width(marked), 1, std::min(40, room));
}

void fill_place(Place& place, const Source& source, std::size_t begin, std::size_t width) {
    fill_place(place, source.text, begin, width);
    if (place.line == 1 && source.columns_before > 0) {
        place.column += source.columns_before;
        if (!place.excerpt.starts_with("…")) {
            place.excerpt = "…" + place.excerpt;
            ++place.caret;
        }
    }
    place.line += source.lines_before;
}

}  // namespace attn
