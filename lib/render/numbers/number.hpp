#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attn {

/// How infinities and NaN are written among numbers: "Infinity" as a JSON string, null, or the bare word
/// (Infinity, -Infinity, NaN), which is also what CSV has.
enum class NonFinite { string, null, bare };

/// Appends the shortest JSON number that reads back to the same value of its own type; negative zero is -0.0.
void append_number(std::string& out, float value, NonFinite policy);
void append_number(std::string& out, double value, NonFinite policy);
/// Several, with `between` between any two of them.
void append_numbers(std::string& out, std::span<const float> values, std::string_view between,
                    NonFinite policy);
void append_numbers(std::string& out, std::span<const double> values, std::string_view between,
                    NonFinite policy);

/// Appends `value`, correctly rounded (half to even on its exact value), with `precision` digits after the
/// point, plain or as 1.2345e+06. Non-finite values are inf, -inf, nan.
void append_fixed(std::string& out, double value, int precision, bool exponent);
/// Several; `ends` is told the size of `out` after each.
void append_fixed(std::string& out, std::span<const double> values, int precision, bool exponent,
                  std::vector<std::size_t>& ends);

}  // namespace attn
