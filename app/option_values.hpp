#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/options.hpp"

namespace attn {

/// The values of options. `flag` is named in the message; each throws Error (exit 2) for a value that does
/// not fit.

/// The position of `text` among `names`.
std::size_t choice_value(std::string_view flag, std::string_view text,
                         std::span<const std::string_view> names);

/// A whole number from `least` to `most`.
int integer_value(std::string_view flag, std::string_view text, int least, int most);

/// A number of at least 0.
double number_value(std::string_view flag, std::string_view text);

/// Bytes: "1500000", "512k", "1.5G" (powers of 1000), "512KiB", "2GiB" (powers of 1024).
Index size_value(std::string_view flag, std::string_view text);

/// A format by its name, one that `command` writes.
Format format_value(std::string_view text, Command command);

/// "x.json", "x.txt:csv", "-"; any name where a command has no formats to choose from.
Target target_value(std::string_view text, Command command);

/// Appends "a,b" to the names of stages.
void append_stages(std::string_view text, std::vector<std::string>& stages,
                   std::string_view flag = "--stages");

/// "a,b,c": what stands between commas, as it is.
std::vector<std::string> list_value(std::string_view text);

}  // namespace attn
