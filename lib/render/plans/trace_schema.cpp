#include "lib/render/plans/trace_schema.hpp"

#include "lib/input/choices.hpp"
#include "lib/plan/plan.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// What plan_json.cpp and the writers of traces make, but for choices, variants and stages, which have
/// tables.
constexpr std::string_view trace_head = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:attn-calc:trace:1",
  "title": "A trace of attn-calc: what run -f json writes",
  "type": "object",
  "properties": {
    "schema": {"const": "attn-calc/trace/1"},
    "tool": {"type": "object", "properties": {"name": {"const": "attn-calc"},
      "version": {"type": "string"}}, "required": ["name", "version"], "additionalProperties": false},
    "variant": {"$ref": "#/$defs/variant"},
    "plan": {
      "type": "object",
      "properties": {
        "inferred": {"type": "string", "minLength": 1},
        "dtype": {"$ref": "#/$defs/dtype"},
        "sizes": {"type": "object", "properties": {"batch": {"$ref": "#/$defs/size"},
          "head": {"$ref": "#/$defs/size"}, "query": {"$ref": "#/$defs/size"},
          "key": {"$ref": "#/$defs/size"}, "dim": {"$ref": "#/$defs/size"},
          "value_dim": {"$ref": "#/$defs/size"}}, "required": ["batch", "head", "query", "key", "dim",
          "value_dim"], "additionalProperties": false},
        "kv_heads": {"type": "object", "properties": {"count": {"$ref": "#/$defs/size"},
          "order": {"$ref": "#/$defs/kv_head_order"}}, "required": ["count", "order"],
          "additionalProperties": false},
        "cached_keys": {"$ref": "#/$defs/size"},
        "appended_keys": {"$ref": "#/$defs/size"},
        "qk_norm": {"type": "object", "properties": {"type": {"$ref": "#/$defs/norm_type"},
          "eps": {"type": "number"}, "over": {"$ref": "#/$defs/norm_over"}}, "required": ["type", "eps",
          "over"], "additionalProperties": false},
        "rope": {"type": "object", "properties": {"dims": {"$ref": "#/$defs/size"},
          "pairs": {"$ref": "#/$defs/rope_pairs"}, "base": {"type": "number"},
          "query_positions": {"type": "array", "items": {"type": "number"}},
          "key_positions": {"type": "array", "items": {"type": "number"}}}, "required": ["dims", "pairs"],
          "additionalProperties": false},
        "state": {"type": "object", "properties": {"rule": {"$ref": "#/$defs/state_rule"},
          "causal": {"type": "boolean"}, "offset": {"type": "array", "minItems": 1,
          "items": {"type": "integer"}}, "feature_map": {"$ref": "#/$defs/feature_map"},
          "normalizer": {"type": "boolean"}, "begins": {"$ref": "#/$defs/state_begin"}},
          "required": ["rule", "causal", "normalizer", "begins"], "additionalProperties": false},
        "softcap": {"type": "number", "exclusiveMinimum": 0},
        "alibi": {"type": "array", "items": {"type": "number"}},
        "sinks": {"type": "array", "items": {"type": "number"}},
        "gate": {"type": "object", "properties": {"activation": {"$ref": "#/$defs/gate_activation"},
          "norm": {"enum": ["rms", false]}, "from": {"$ref": "#/$defs/gate_source"}},
          "required": ["activation", "norm", "from"], "additionalProperties": false},
        "scale": {"anyOf": [{"type": "number"}, {"const": "none"}]},
        "mask": {"type": "object", "properties": {"at": {"$ref": "#/$defs/mask_at"},
          "rules": {"type": "array", "items": {"type": "string"}}, "offset": {"type": "array",
          "minItems": 1, "items": {"type": "integer"}}}, "required": ["at", "rules"],
          "additionalProperties": false},
        "normalize": {"$ref": "#/$defs/normalize"},
        "empty_rows": {"$ref": "#/$defs/empty_rows"},
        "dropout": {"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1},
          "generator": {"$ref": "#/$defs/dropout_kind"}, "seed": {"type": "integer"}}, "required": ["p",
          "generator"], "additionalProperties": false},
        "weights": {"type": "object", "properties": {"init": {"$ref": "#/$defs/weights_init"},
          "seed": {"type": "integer"}, "from": {"type": "string", "minLength": 1},
          "read": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"},
          "role": {"type": "string"}, "layout": {"type": "string"}, "shape": {"type": "array",
          "items": {"$ref": "#/$defs/size"}}}, "required": ["name", "role", "layout", "shape"],
          "additionalProperties": false}}}, "required": ["read"], "additionalProperties": false}
      },
      "required": ["dtype", "sizes", "scale", "normalize", "empty_rows"],
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
    "size": {"type": "integer", "minimum": 1},
    "labels": {"type": "array", "items": {"type": "string"}},
    "indices": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "integer",
      "minimum": 0}},
    "stage": {"type": "object", "properties": {"formula": {"type": "string", "minLength": 1},
      "axes": {"type": "array", "maxItems": 5, "items": {"enum": ["batch", "head", "query", "key",
      "dim"]}}, "shape": {"type": "array", "maxItems": 5, "items": {"type": "integer", "minimum": 0}},
      "dtype": {"$ref": "#/$defs/dtype"}, "data": {"anyOf": [{"$ref": "#/$defs/number"},
      {"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"},
      {"$ref": "#/$defs/numbers4"}, {"$ref": "#/$defs/numbers5"}]}}, "required": ["formula", "axes",
      "shape", "dtype", "data"], "additionalProperties": false},
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
    std::string out(trace_head);
    std::vector<std::string_view> variants, stages;
    for (const Variant& v : all_variants()) variants.push_back(v.name);
    for (const StageInfo& s : all_stages()) stages.push_back(s.name);
    out += schema_enum("variant", variants) + schema_enum("stage_name", stages);
    for (const auto& [name, names] : choice_definitions()) out += schema_enum(name, names);
    return out + "\n  }\n}\n";
}

}  // namespace attn
