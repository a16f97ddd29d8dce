#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/shape.hpp"

namespace attn {

/// How infinities and NaN are written among numbers: "Infinity" as a JSON string, null, or the bare word
/// (Infinity, -Infinity, NaN). In CSV: inf, -inf, NaN, the only words that R, Octave, readr, Polars, pandas
/// and gnuplot all read, or an empty cell.
enum class NonFinite { string, null, bare, csv, empty };

/// What a cell of CSV holds where JSON has `policy`.
constexpr NonFinite in_csv(NonFinite policy) {
    return policy == NonFinite::null ? NonFinite::empty : NonFinite::csv;
}

/// Appends the shortest JSON number that reads back to the same value of its own type; negative zero is -0.0.
void append_number(std::string& out, float value, NonFinite policy);
void append_number(std::string& out, double value, NonFinite policy);
/// A number of `type` that is held as a double: as short as float32 allows, in full where it is not one.
void append_shortest(std::string& out, double value, DType type, NonFinite policy);
/// What write_number() needs at its place, the longest text included.
constexpr std::size_t room_for_number = 48;
/// The same at a place with room_for_number characters; returns the end of the text.
char* write_number(char* to, float value, NonFinite policy);
char* write_number(char* to, double value, NonFinite policy);
/// Several, with `between` between any two of them.
void append_numbers(std::string& out, std::span<const float> values, std::string_view between,
                    NonFinite policy);
void append_numbers(std::string& out, std::span<const double> values, std::string_view between,
                    NonFinite policy);

/// Numbers as large as this, or as small as has_exponent() says, are written with an exponent.
constexpr double exponents_from = 1e6;
/// Whether a number says more with an exponent: it is large, or all its `precision` digits would be 0.
bool has_exponent(double value, int precision);

/// Appends `value`, correctly rounded (half to even on its exact value), with `precision` digits after the
/// point, plain or as 1.2345e+06. Non-finite values are inf, -inf, nan.
void append_fixed(std::string& out, double value, int precision, bool exponent);
/// Several; `ends` is told the size of `out` after each.
void append_fixed(std::string& out, std::span<const double> values, int precision, bool exponent,
                  std::vector<std::size_t>& ends);

}  // namespace attn
