#include "lib/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "lib/option_words.hpp"

namespace attn {
namespace {

constexpr char32_t replacement = 0xFFFD;
constexpr char32_t joiner = 0x200D;
constexpr char32_t emoji_style = 0xFE0F;
constexpr std::string_view ellipsis = "…";
constexpr int longest_character = 32;  // code points; the longest emoji in use have 10

bool within(char32_t value, char32_t first, char32_t last) { return first <= value && value <= last; }

bool is_control(char32_t c) { return c < 0x20 || within(c, 0x7F, 0x9F); }

/// Characters that reorder or break the line that they stand in.
bool is_line_mark(char32_t c) {
    return within(c, 0x202A, 0x202E) || within(c, 0x2066, 0x2069) || c == 0x200E || c == 0x200F ||
           c == 0x061C || c == 0x2028 || c == 0x2029;
}

/// Format characters without a picture: two texts that differ only in them look the same.
bool is_invisible(char32_t c) {
    return c == 0xAD || c == 0x180E || c == 0x200B || within(c, 0x2060, 0x2065) ||
           within(c, 0x206A, 0x206F) || c == 0xFEFF || within(c, 0xFFF9, 0xFFFB) ||
           within(c, 0xE0000, 0xE007F);
}

/// Characters that have an emoji form (a superset that is exact enough for widths).
bool is_emoji(char32_t c) {
    return c == 0xA9 || c == 0xAE || within(c, 0x203C, 0x2BFF) || c == 0x3030 || c == 0x303D || c == 0x3297 ||
           c == 0x3299 || within(c, 0x1F000, 0x1FAFF);
}

bool is_keycap(char32_t c) { return c == '#' || c == '*' || within(c, '0', '9'); }
bool is_skin_tone(char32_t c) { return within(c, 0x1F3FB, 0x1F3FF); }
bool is_flag_letter(char32_t c) { return within(c, 0x1F1E6, 0x1F1FF); }

/// One user-perceived character.
struct Character {
    std::size_t size = 0;  ///< bytes
    int width = 0;         ///< columns
    bool whole = true;     ///< false: cut after `longest_character` code points
};

Character next_character(std::string_view utf8, std::size_t at) {
    const CodePoint first = decode_utf8(utf8, at);
    Character character{first.size, code_point_width(first.value), true};
    if (is_control(first.value)) return character;
    char32_t previous = first.value;
    for (int count = 1; at + character.size < utf8.size(); ++count) {
        const CodePoint next = decode_utf8(utf8, at + character.size);
        const char32_t c = next.value;
        const bool emoji = is_emoji(first.value);
        const bool mark = code_point_width(c) == 0 && !is_control(c);
        const bool joined = previous == joiner && emoji && is_emoji(c);
        const bool toned = is_skin_tone(c) && emoji && !is_flag_letter(first.value);
        const bool flag = count == 1 && is_flag_letter(first.value) && is_flag_letter(c);
        if (!mark && !joined && !toned && !flag) break;
        if (count == longest_character) {
            character.whole = false;
            break;
        }
        if (flag || joined || toned || (c == emoji_style && (emoji || is_keycap(first.value))))
            character.width = 2;
        character.size += next.size;
        previous = c;
    }
    return character;
}

void append_hex(std::string& out, std::string_view prefix, std::uint32_t value, int digits) {
    out += prefix;
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        out += "0123456789abcdef"[(value >> shift) & 15U];
}

/// Appends \n, \r, \t where `c` is one of them.
bool append_short_escape(std::string& out, char32_t c) {
    if (c != '\n' && c != '\r' && c != '\t') return false;
    out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    return true;
}

}  // namespace

CodePoint decode_utf8(std::string_view utf8, std::size_t at) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(utf8[at + k]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {lead, 1, true};
    const std::size_t size = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (size == 0) return {replacement, 1, false};
    // The second byte's range keeps out overlong forms (E0, F0), surrogates (ED) and values above U+10FFFF
    // (F4).
    unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    char32_t value = lead & (0xFFU >> (size + 1));
    for (std::size_t k = 1; k < size; ++k) {
        if (at + k >= utf8.size() || byte(k) < low || byte(k) > high) return {replacement, k, false};
        value = value << 6 | (byte(k) & 0x3FU);
        low = 0x80;
        high = 0xBF;
    }
    return {value, size, true};
}

void append_utf8(std::string& out, char32_t value) {
    const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (value < 0x80) return put(value);
    if (value < 0x800) {
        put(0xC0 | value >> 6);
    } else {
        if (value < 0x10000) {
            put(0xE0 | value >> 12);
        } else {
            put(0xF0 | value >> 18);
            put(0x80 | (value >> 12 & 0x3F));
        }
        put(0x80 | (value >> 6 & 0x3F));
    }
    put(0x80 | (value & 0x3F));
}

int display_width(std::string_view utf8) {
    int columns = 0;
    for (std::size_t at = 0; at < utf8.size();) {
        const Character character = next_character(utf8, at);
        columns += character.width;
        at += character.size;
    }
    return columns;
}

std::string clip(std::string_view utf8, int columns) {
    if (columns <= 0) return {};
    std::size_t kept = 0;  // bytes that leave a column for the ellipsis
    int width = 0;
    for (std::size_t at = 0; at < utf8.size();) {
        const Character character = next_character(utf8, at);
        width += character.width;
        if (width > columns || !character.whole) return std::string(utf8.substr(0, kept)).append(ellipsis);
        at += character.size;
        if (width < columns) kept = at;
    }
    return std::string(utf8);
}

std::string harmless(std::string_view utf8) {
    std::string out;
    out.reserve(utf8.size());
    for (std::size_t at = 0; at < utf8.size();) {
        const CodePoint point = decode_utf8(utf8, at);
        const char32_t c = point.value;
        const std::string_view bytes = utf8.substr(at, point.size);
        at += point.size;
        if (!point.valid) {
            for (const char byte : bytes) append_hex(out, "\\x", static_cast<unsigned char>(byte), 2);
        } else if (append_short_escape(out, c)) {
        } else if (c < 0x20 || c == 0x7F) {
            append_hex(out, "\\x", c, 2);
        } else if (is_control(c) || is_line_mark(c) || is_invisible(c)) {
            append_hex(out, c > 0xFFFF ? "\\U" : "\\u", c, c > 0xFFFF ? 8 : 4);
        } else {
            out += bytes;
        }
    }
    return out;
}

std::string visible(std::string_view utf8) {
    const std::string text = harmless(utf8);
    const std::size_t first = std::min(text.find_first_not_of(' '), text.size());
    const std::size_t last = first == text.size() ? first : text.find_last_not_of(' ') + 1;
    std::string out;
    for (std::size_t k = 0; k < first; ++k) out += "␣";
    out.append(text, first, last - first);
    for (std::size_t k = last; k < text.size(); ++k) out += "␣";
    return out;
}

std::string shown(std::string_view name) { return "\"" + clip(visible(name), 80) + "\""; }

std::string small_number_note() {
    return std::string(small_number) + " is not 0 but rounds to it: " + option::precision +
           " shows more digits";
}

std::string replaced(std::string_view text, std::string_view mark, std::string_view by) {
    std::string out;
    for (std::size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark)) {
        out.append(text.substr(0, at)).append(by);
        text.remove_prefix(at + mark.size());
    }
    return out.append(text);
}

std::string significant(double value, int digits) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%.*g", std::min(digits, 17), value);
    return text.data();
}

std::string fixed(double value, int digits) {
    std::array<char, 400> text{};  // 309 digits before the point
    std::snprintf(text.data(), text.size(), "%.*f", std::min(digits, 40), value);
    return text.data();
}

std::string json_string(std::string_view utf8) {
    std::string out = "\"";
    out.reserve(utf8.size() + 2);
    for (std::size_t at = 0; at < utf8.size();) {
        const CodePoint point = decode_utf8(utf8, at);
        const char32_t c = point.value;
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (append_short_escape(out, c)) {
        } else if (is_control(c) || is_line_mark(c)) {
            append_hex(out, "\\u", c, 4);
        } else if (!point.valid) {
            append_utf8(out, replacement);
        } else {
            out += utf8.substr(at, point.size);
        }
        at += point.size;
    }
    out += '"';
    return out;
}

}  // namespace attn
