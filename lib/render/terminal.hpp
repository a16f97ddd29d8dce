#pragma once
#include <string>
#include <string_view>

namespace attn {

/// Sequences of ECMA-48, select graphic rendition.
namespace ansi {
constexpr std::string_view bold = "\x1b[1m", dim = "\x1b[2m", red = "\x1b[1;31m", reset = "\x1b[0m";
}

/// The text with spaces before (pad_left) or after it (pad_right), up to `columns` terminal columns.
std::string pad_left(std::string_view utf8, int columns);
std::string pad_right(std::string_view utf8, int columns);

/// A cell of CSV (RFC 4180): harmless(), in quotes where it needs them. A cell that a spreadsheet could take
/// for a formula (it begins with = + - @, a tab or a carriage return, full-width forms and leading spaces
/// included) gets a ' in front.
std::string csv_cell(std::string_view utf8);

}  // namespace attn
