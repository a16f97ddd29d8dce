#pragma once
#include <vector>

#include "lib/theirs/dump.hpp"

namespace attn {

/// A floating type by its name.
std::optional<Element> type_named(std::string_view name);

/// The numbers as doubles; those that are decimals of a float32 as that float32.
void copy_as(std::optional<Element> type, const Numbers& numbers, std::vector<double>& out);

/// Counts the digits that an array's numbers were written with: `digits`, `half_unit` of the array.
void mark_digits(GivenArray& array, const std::vector<Digits>& digits);

/// A trace as events (NDJSON): the stages put together, document by document. \throws Error (exit 3)
std::vector<Dump> read_events(const TextFile& file);

/// CSV: a trace with the header of attn-calc, or rows of numbers (commas, semicolons, tabs or spaces between
/// them; lines that begin with # left out), which is one array. \throws Error (exit 3) with its line
Dump read_rows(const Source& source);

}  // namespace attn
