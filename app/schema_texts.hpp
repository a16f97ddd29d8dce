#pragma once
#include <string_view>

namespace attn {

/// JSON Schemas (2020-12) of the input document and of the trace that `-f json` writes.
std::string_view input_schema();
std::string_view trace_schema();

}  // namespace attn
