#pragma once
#include <string>

namespace attn {

/// The JSON Schema (2020-12) of the input document: the tables of keys, weights, variants and choices. That
/// of the trace is in lib/render/plans/trace_schema.hpp.
std::string input_schema();

}  // namespace attn
