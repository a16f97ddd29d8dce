#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace attn {

/// The JSON Schema (2020-12) of the trace that `-f json` writes (plan_json.hpp).
std::string trace_schema();

/// ,\n "NAME": {"enum": [...]}: a definition behind others.
std::string schema_enum(std::string_view name, const std::vector<std::string_view>& names);

}  // namespace attn
