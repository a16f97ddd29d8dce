#pragma once
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace attn {

/// One code point of a text, or the longest piece that no UTF-8 text can hold there ("maximal subpart",
/// Unicode 15 section 3.9): `valid` is false, `value` U+FFFD, `size` 1 to 3 bytes.
struct CodePoint {
    char32_t value = 0;
    std::size_t size = 0;
    bool valid = false;
};

/// Decodes at byte `at` < utf8.size(). Overlong forms, surrogates and values above U+10FFFF are invalid.
CodePoint decode_utf8(std::string_view utf8, std::size_t at);

/// Appends the UTF-8 of a code point (not a surrogate, at most U+10FFFF).
void append_utf8(std::string& out, char32_t value);

/// Terminal columns of one code point: 0 for control, non-spacing and format characters, 2 for East Asian
/// wide and full-width ones and most emoji, else 1 (Unicode 15: UAX 11, general categories Mn, Me, Cf).
int code_point_width(char32_t value);

/// Terminal columns of a text: each user-perceived character counts once (emoji joined by U+200D, skin tones,
/// flags, emoji style by U+FE0F). Text for a terminal goes through harmless() or visible() first.
int display_width(std::string_view utf8);

/// The text itself if it fits into `columns`, else as many whole characters as fit and a final "…".
/// Reads only as far as it shows, and shows at most 32 code points for one column (marks piled on a letter).
std::string clip(std::string_view utf8, int columns);

/// What could act on a terminal or hide in a text becomes visible: \n \r \t, \x1b (C0, DEL, and the bytes of
/// invalid UTF-8), \u202e (C1, bidirectional marks, line separators, invisible format characters; \U000e0041
/// above U+FFFF). Joiners (U+200C, U+200D) stay, scripts and emoji need them. A backslash stays as it is.
std::string harmless(std::string_view utf8);

/// harmless(), and a space at either end of the text shows as "␣": for names and tokens.
std::string visible(std::string_view utf8);

/// A name that comes from a file, for messages: visible(), in quotes, cut after 80 columns.
std::string shown(std::string_view name);

/// The text with `by` wherever `mark` stands in it.
std::string replaced(std::string_view text, std::string_view mark, std::string_view by);

/// A number of things in words: "1 head", "2 heads".
template <std::integral Count>
std::string how_many(Count n, std::string_view one, std::string_view many) {
    return std::to_string(n).append(" ").append(n == 1 ? one : many);
}

/// A number with so many significant digits, as printf's %g; NaN, inf, -inf.
std::string significant(double value, int digits);
/// A number with so many digits after the point, as printf's %f.
std::string fixed(double value, int digits);

/// How a table shows a number that is not 0 and whose digits would all be; its reader takes it for 0, give or
/// take half a unit of the last digit.
constexpr std::string_view small_number = "~0", small_negative_number = "-~0";
std::string small_number_note();

/// A JSON string with its quotes: escaped is what RFC 8259 demands, and U+007F-9F, bidirectional marks and
/// line separators. Invalid UTF-8 becomes U+FFFD.
std::string json_string(std::string_view utf8);

}  // namespace attn
