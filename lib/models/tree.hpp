#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/value.hpp"

namespace attn {

/// Values in the making, for a document that is written.
Value tree_text(std::string_view text);
Value tree_number(double number);
Value tree_integer(std::int64_t number);
Value tree_boolean(bool yes);
Value tree_object();
Value tree_list(std::vector<Value> items);
Value tree_numbers(const std::vector<double>& numbers);

/// Adds a member to an object.
Value& add_member(Value& object, std::string_view name, Value value);

/// A number of a configuration as it was written there, a list of them as float64 reads them.
Value copy_of(const Value& value);

/// The JSON of a value, an indent of two for each level; lists of scalars and objects without objects stand
/// on one line. Numbers are the shortest text that reads back to the same float64.
std::string tree_json(const Value& value);

}  // namespace attn
