#include "lib/render/plans/trace_schema.hpp"

#include "lib/input/choices.hpp"
#include "lib/plan/plan.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// What the writers of traces make, but for plans, choices, variants and stages, which have tables.
constexpr std::string_view trace_head = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:attn-calc:trace:1",
  "title": "A trace of attn-calc: what run -f json writes",
  "type": "object",
  "properties": {
    "schema": {"const": {format}},
    "tool": {"type": "object", "properties": {"name": {"const": "attn-calc"},
      "version": {"type": "string"}}, "required": ["name", "version"], "additionalProperties": false},
    "source": {"$ref": "#/$defs/source"},
    "id": {"type": "string"},
    "variant": {"$ref": "#/$defs/variant"},
    "plan": {
      "type": "object",
      "properties": {{plan}
      },
      "required": {always},
      "additionalProperties": false
    },
    "tokens": {"type": "object", "properties": {"query": {"$ref": "#/$defs/labels"},
      "key": {"$ref": "#/$defs/labels"}}, "required": ["query", "key"], "additionalProperties": false},
    "selection": {"type": "object", "properties": {"batch": {"$ref": "#/$defs/indices"},
      "head": {"$ref": "#/$defs/indices"}, "query": {"$ref": "#/$defs/indices"},
      "key": {"$ref": "#/$defs/indices"}}, "minProperties": 1, "additionalProperties": false},
    "order": {"type": "array", "items": {"$ref": "#/$defs/stage_name"}, "minItems": 1, "uniqueItems": true},
    "stages": {"type": "object", "propertyNames": {"$ref": "#/$defs/stage_name"}, "minProperties": 1,
      "additionalProperties": {"$ref": "#/$defs/stage"}},
    "warnings": {"type": "array", "items": {"type": "string"}}
  },
  "required": ["schema", "tool", "variant", "plan", "tokens", "order", "stages", "warnings"],
  "additionalProperties": false,
  "$defs": {
    "source": {"type": "object", "properties": {"file": {"type": "string"}, "document": {"type": "integer",
      "minimum": 0}, "layer": {"type": "integer", "minimum": 0}}, "required": ["file"],
      "additionalProperties": false},
    "size": {"type": "integer", "minimum": 1},
    "labels": {"type": "array", "items": {"type": "string"}},
    "places": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "array",
      "items": {"type": "number"}}]}},
    "indices": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "integer",
      "minimum": 0}},
    "stage": {"type": "object", "properties": {"formula": {"type": "string", "minLength": 1},
      "axes": {"type": "array", "maxItems": 5, "items": {"$ref": "#/$defs/axis"}}, "shape": {"type": "array", "maxItems": 5, "items": {"type": "integer", "minimum": 0}},
      "dtype": {"$ref": "#/$defs/dtype"}, "data": {"anyOf": [{"$ref": "#/$defs/number"},
      {"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"},
      {"$ref": "#/$defs/numbers4"}, {"$ref": "#/$defs/numbers5"}]}}, "required": ["formula", "axes",
      "shape", "dtype", "data"], "additionalProperties": false},
    "stage_name": {"anyOf": [{"$ref": "#/$defs/forward_stage"}, {"type": "string", "pattern": "^d_."}]},
    "number": {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN", null]}]},
    "numbers1": {"type": "array", "items": {"$ref": "#/$defs/number"}},
    "numbers2": {"type": "array", "items": {"$ref": "#/$defs/numbers1"}},
    "numbers3": {"type": "array", "items": {"$ref": "#/$defs/numbers2"}},
    "numbers4": {"type": "array", "items": {"$ref": "#/$defs/numbers3"}},
    "numbers5": {"type": "array", "items": {"$ref": "#/$defs/numbers4"}})json";

}  // namespace

std::string schema_enum(std::string_view name, const std::vector<std::string_view>& names) {
    std::string out = ",\n    " + json_string(name) + ": {\"enum\": [";
    for (std::size_t k = 0; k < names.size(); ++k) out += (k > 0 ? ", " : "") + json_string(names[k]);
    return out + "]}";
}

std::string trace_schema() {
    std::string members;
    std::vector<std::string> always;
    for (const PlanMember& m : all_plan_members()) {
        members += (members.empty() ? "" : ",") + ("\n        " + json_string(m.name)) + ": " +
                   std::string(m.schema);
        if (m.always) always.emplace_back(m.name);
    }
    std::string out =
        replaced(replaced(replaced(trace_head, "{format}", json_string(trace_format)), "{plan}", members),
                 "{always}", json_strings(always));
    std::vector<std::string_view> variants, stages, axes;
    for (const Variant& v : all_variants()) variants.push_back(v.name);
    for (const StageInfo& s : all_stages()) stages.push_back(s.name);
    for (const Axis a : all_axes) axes.push_back(name_of(a));
    out +=
        schema_enum("variant", variants) + schema_enum("forward_stage", stages) + schema_enum("axis", axes);
    for (const auto& [name, names] : choice_definitions()) out += schema_enum(name, names);
    return out + "\n  }\n}\n";
}

}  // namespace attn
