#pragma once
#include <string>

#include "lib/input/problem.hpp"

namespace attn {

// Options that are objects of their own. \throws Error (exit 3) with a pointer.
Rope read_rope(const Value& value, const std::string& pointer);
QkNorm read_qk_norm(const Value& value, const std::string& pointer);
/// Empty where it is false.
std::optional<Alibi> read_alibi(const Value& value, const std::string& pointer);
std::optional<Gate> read_gate(const Value& value, const std::string& pointer);
/// Numbers, one per head.
std::vector<double> read_per_head(const Value& value, const std::string& pointer, std::string_view what);

}  // namespace attn
