#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace attn {

/// What a word means that some program writes for a number that is not finite: NaN, nan, Infinity, inf, Inf,
/// -inf, +Inf, ... in any case. Nothing: it is another word.
std::optional<double> nonfinite_word(std::string_view word);

/// A number as programs print it: a decimal one (also "1." and "+0.5", spaces around it allowed), or a
/// nonfinite_word(). Rounded once to the nearest double, infinite above the largest one.
std::optional<double> number_of_text(std::string_view text);

/// A JSON text with every nonfinite_word() that stands where a value may stand, bare or as a string, written
/// as our own word for it, in quotes. Nothing: the text has none that would change.
std::optional<std::string> with_our_words(std::string_view json);

}  // namespace attn
