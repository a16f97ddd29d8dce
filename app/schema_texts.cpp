#include "app/schema_texts.hpp"

#include "lib/input/choices.hpp"
#include "lib/input/key_table.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/plan/plan.hpp"
#include "lib/render/plans/trace_schema.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view schema_head = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:attn-calc:input:1",
  "title": "An input document of attn-calc",
  "type": "object",
  "properties": {
    "comment": true)json";

constexpr std::string_view schema_middle = R"json(
  },
  "patternProperties": {"^[$_]": true},
  "additionalProperties": false,
  "oneOf": [{"required": ["embeddings"], "not": {"anyOf": [{"required": ["queries"]},
    {"required": ["keys"]}, {"required": ["values"]}]}}, {"required": ["queries", "keys", "values"],
    "not": {"required": ["embeddings"]}}],
  "$defs": {
)json";

/// What the keys refer to, but for choices and weights, which have tables.
constexpr std::string_view schema_definitions =
    R"json(    "int64": {"type": "integer", "minimum": -9223372036854775808, "maximum": 9223372036854775807},
    "count": {"type": "integer", "minimum": 0, "maximum": 9223372036854775807},
    "size": {"type": "integer", "minimum": 1, "maximum": 9223372036854775807},
    "shape": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"$ref": "#/$defs/size"}},
    "labels": {"type": "array", "items": {"type": "string"}},
    "places": {"anyOf": [{"type": "array", "minItems": 1, "items": {"type": "number"}},
      {"$ref": "#/$defs/file"}]},
    "per_head": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/flat_numbers"},
      {"$ref": "#/$defs/file"}]},
    "numbers1": {"type": "array", "minItems": 1, "items": {"type": "number"}},
    "numbers2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers1"}},
    "numbers3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers2"}},
    "numbers4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers3"}},
    "flat_numbers": {"type": "object", "properties": {"shape": {"$ref": "#/$defs/shape"},
      "data": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/file"}]}, "comment": true},
      "required": ["shape", "data"], "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "drawn": {"anyOf": [{"type": "object", "properties": {"init": {"enum": ["torch.rand", "torch.randn"]},
      "seed": {"$ref": "#/$defs/seed"}, "shape": {"$ref": "#/$defs/shape"}, "comment": true},
      "required": ["init", "seed", "shape"], "patternProperties": {"^[$_]": true},
      "additionalProperties": false}, {"type": "object",
      "properties": {"init": {"const": "torch.nn.Embedding"}, "seed": {"$ref": "#/$defs/seed"},
      "num_embeddings": {"$ref": "#/$defs/size"}, "dim": {"$ref": "#/$defs/size"},
      "ids": {"$ref": "#/$defs/counts"}, "comment": true}, "required": ["init", "seed", "num_embeddings",
      "dim", "ids"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]},
    "object_tensor": {"anyOf": [{"$ref": "#/$defs/flat_numbers"}, {"$ref": "#/$defs/drawn"},
      {"$ref": "#/$defs/file"}]},
    "vector": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/object_tensor"}]},
    "matrix": {"anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/object_tensor"}]},
    "blocks": {"anyOf": [{"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/object_tensor"}]},
    "one_key": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/numbers2"},
      {"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/object_tensor"}]},
    "embeddings": {"anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"},
      {"$ref": "#/$defs/object_tensor"}]},
    "projected": {"anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"},
      {"$ref": "#/$defs/numbers4"}, {"$ref": "#/$defs/object_tensor"}]},
    "per_token": {"anyOf": [{"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/numbers4"},
      {"$ref": "#/$defs/object_tensor"}]},
    "addend": {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]},
    "addends1": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addend"}},
    "addends2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addends1"}},
    "addends3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addends2"}},
    "addends4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addends3"}},
    "addends": {"anyOf": [{"$ref": "#/$defs/addends1"}, {"$ref": "#/$defs/addends2"},
      {"$ref": "#/$defs/addends3"}, {"$ref": "#/$defs/addends4"}, {"type": "object",
      "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/addends1"},
      "comment": true}, "required": ["shape", "data"], "patternProperties": {"^[$_]": true},
      "additionalProperties": false}, {"$ref": "#/$defs/file"}]},
    "switches1": {"type": "array", "minItems": 1, "items": {"enum": [true, false, 0, 1]}},
    "switches2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/switches1"}},
    "switches3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/switches2"}},
    "switches4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/switches3"}},
    "switches": {"anyOf": [{"$ref": "#/$defs/switches1"}, {"$ref": "#/$defs/switches2"},
      {"$ref": "#/$defs/switches3"}, {"$ref": "#/$defs/switches4"}, {"type": "object",
      "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/switches1"},
      "comment": true}, "required": ["shape", "data"], "patternProperties": {"^[$_]": true},
      "additionalProperties": false}, {"$ref": "#/$defs/file"}]},
    "mask": {"type": "object", "properties": {"keep": {"$ref": "#/$defs/switches"},
      "drop": {"$ref": "#/$defs/switches"}, "add": {"$ref": "#/$defs/addends"}, "comment": true},
      "oneOf": [{"required": ["keep"]}, {"required": ["drop"]}, {"required": ["add"]}],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "drawn_weights": {"type": "object", "properties": {"init": {"$ref": "#/$defs/weights_init"},
      "seed": {"$ref": "#/$defs/seed"}, "d_out": {"$ref": "#/$defs/size"}, "bias": {"type": "boolean"},
      "out_proj": {"type": "boolean"}, "comment": true}, "required": ["init", "seed"],
      "anyOf": [{"properties": {"init": {"const": "torch.nn.MultiheadAttention"}}},
      {"required": ["d_out"]}], "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "file": {"type": "object", "properties": {"file": {"type": "string", "minLength": 1},
      "name": {"type": "string"}, "comment": true}, "required": ["file"],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "seed": {"type": "integer", "minimum": -9223372036854775808, "maximum": 18446744073709551615},
    "integers": {"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/int64"}},
      {"$ref": "#/$defs/file"}]},
    "counts": {"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/count"}},
      {"$ref": "#/$defs/file"}]},
    "weights_of_file": {"type": "object", "properties": {"file": {"type": "string", "minLength": 1},
      "prefix": {"type": "string"}, "weight_layout": {"$ref": "#/$defs/weight_layout"}, "comment": true},
      "required": ["file"], "patternProperties": {"^[$_]": true}, "additionalProperties": false})json";

/// A definition of lib/input/weight_names.cpp: how many axes its tensors have.
std::string_view axes_form(const WeightName& name) {
    const auto [least, most] = weight_axes(name);
    return most > least ? "one_key" : least == 1 ? "vector" : least == 2 ? "matrix" : "blocks";
}

std::string named_weights() {
    std::string out = R"json(,
    "named_weights": {"type": "object", "properties": {)json";
    for (const WeightName& n : all_weight_names())
        out += "\n      " + json_string(n.name) + R"json(: {"$ref": "#/$defs/)json" +
               std::string(axes_form(n)) + "\"},";
    return out + R"json(
      "weight_layout": {"$ref": "#/$defs/weight_layout"}, "prefix": {"const": ""}, "comment": true},
      "patternProperties": {"^[$_]": true}, "additionalProperties": false})json";
}

}  // namespace

std::string input_schema() {
    std::string out(schema_head);
    for (const KeySchema& k : all_keys())
        out += ",\n    " + json_string(k.name) + ": " + std::string(k.schema);
    out += schema_middle;
    out += schema_definitions;
    out += named_weights();
    std::vector<std::string_view> variants;
    for (const Variant& v : all_variants()) variants.push_back(v.name);
    out += schema_enum("variant", variants);
    for (const auto& [name, names] : choice_definitions()) out += schema_enum(name, names);
    return out + "\n  }\n}\n";
}

}  // namespace attn
