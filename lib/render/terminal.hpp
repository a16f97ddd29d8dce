#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace attn {

/// Sequences of ECMA-48, select graphic rendition.
namespace ansi {
constexpr std::string_view bold = "\x1b[1m", dim = "\x1b[2m", red = "\x1b[1;31m", reset = "\x1b[0m";
}

/// How many colours a terminal shows.
enum class Colours { none, sixteen, many, full };

/// Those of a terminal that wants any, by what it says of itself: $COLORTERM (truecolor, 24bit: full), $TERM
/// (xterm-256color: many; xterm-direct: full).
Colours colours_of(std::string_view term, std::string_view colorterm);

/// Whether its ground is dark, by $COLORFGBG ("15;0": the last one is the ground's number); most are.
bool has_dark_ground(std::string_view colorfgbg);

/// The number of the nearest of the 240 colours of xterm that no theme changes (16 to 255).
int xterm_colour(int red, int green, int blue);

/// The text with spaces before (pad_left) or after it (pad_right), up to `columns` terminal columns.
std::string pad_left(std::string_view utf8, int columns);
std::string pad_right(std::string_view utf8, int columns);

/// The words of a text in lines of at most `columns` terminal columns, the first one of at most `first`. A
/// longer word stands alone; one that does not fit into a shorter first line leaves that empty.
std::vector<std::string> lines_of_words(std::string_view text, int columns, int first);

/// These lines, each ended, behind `first` spaces or, from the second on, behind `next`.
std::string wrapped(std::string_view text, int columns, int first, int next);

}  // namespace attn
