#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/shape.hpp"

namespace attn {

/// Names and JSON texts of the members of an object, in order.
using JsonMembers = std::vector<std::pair<std::string, std::string>>;

/// {"a": 1, "b": 2}, or one member a line, indented by `indent` spaces, where that is above 0.
std::string json_object(const JsonMembers& members, int indent = 0);
std::string json_strings(const std::vector<std::string>& strings);
std::string json_indices(const std::vector<Index>& numbers);
/// The shortest number that reads back to the same float64; one that is not finite as a string.
std::string json_number(double value);
/// The same of a number of `type`: as short as float32 allows, in full where it is not of that type.
std::string json_number(double value, DType type);

}  // namespace attn
