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
    "item_places": {"anyOf": [{"$ref": "#/$defs/places"}, {"$ref": "#/$defs/numbers2"}]},
    "per_head": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/flat_numbers"},
      {"$ref": "#/$defs/file"}]},
    "flat_numbers": {"type": "object", "properties": {"shape": {"$ref": "#/$defs/shape"},
      "data": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/file"}]}, "comment": true},
      "required": ["shape", "data"], "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "drawn": {"anyOf": [{"type": "object", "properties": {"init": {"$ref": "#/$defs/drawn_numbers"},
      "seed": {"$ref": "#/$defs/seed"}, "dtype": {"$ref": "#/$defs/drawn_dtype"},
      "shape": {"$ref": "#/$defs/shape"}, "comment": true}, "required": ["init", "shape"], "patternProperties": {"^[$_]": true},
      "additionalProperties": false}, {"type": "object",
      "properties": {"init": {"const": {table}}, "seed": {"$ref": "#/$defs/seed"},
      "dtype": {"$ref": "#/$defs/drawn_dtype"},
      "num_embeddings": {"$ref": "#/$defs/size"}, "dim": {"$ref": "#/$defs/size"},
      "ids": {"$ref": "#/$defs/counts"}, "comment": true}, "required": ["init", "num_embeddings",
      "dim", "ids"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]},
    "object_tensor": {"anyOf": [{"$ref": "#/$defs/flat_numbers"}, {"$ref": "#/$defs/drawn"},
      {"$ref": "#/$defs/file"}]},
    "number": {"type": "number"},
    "switch": {"enum": [true, false, 0, 1]},
    "addend": {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]},
    "addends": {"anyOf": [{"$ref": "#/$defs/addends1"}, {"$ref": "#/$defs/addends2"},
      {"$ref": "#/$defs/addends3"}, {"$ref": "#/$defs/addends4"}, {"type": "object",
      "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/addends1"},
      "comment": true}, "required": ["shape", "data"], "patternProperties": {"^[$_]": true},
      "additionalProperties": false}, {"$ref": "#/$defs/file"}]},
    "switches": {"anyOf": [{"$ref": "#/$defs/switches1"}, {"$ref": "#/$defs/switches2"},
      {"$ref": "#/$defs/switches3"}, {"$ref": "#/$defs/switches4"}, {"type": "object",
      "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/switches1"},
      "comment": true}, "required": ["shape", "data"], "patternProperties": {"^[$_]": true},
      "additionalProperties": false}, {"$ref": "#/$defs/file"}]},
    "drawn_weights": {"type": "object", "properties": {"init": {"$ref": "#/$defs/weights_init"},
      "seed": {"$ref": "#/$defs/seed"}, "dtype": {"$ref": "#/$defs/drawn_dtype"},
      "d_out": {"$ref": "#/$defs/size"}, "bias": {"type": "boolean"}, "add_bias_kv": {"type": "boolean"},
      "out_proj": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/size"}]}, "comment": true},
      "required": ["init"],
      "anyOf": [{"properties": {"init": {"const": {multihead}}}},
      {"required": ["d_out"]}], "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "file": {"type": "object", "properties": {"file": {"type": "string", "minLength": 1},
      "name": {"type": "string"}, "comment": true}, "required": ["file"],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false},
    "seed": {"type": "integer", "minimum": -9223372036854775808, "maximum": 18446744073709551615},
    "integers": {"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/int64"}},
      {"$ref": "#/$defs/file"}]},
    "counts": {"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/count"}},
      {"$ref": "#/$defs/file"}]},
    "blocks": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 2, "maxItems": 2,
      "items": {"$ref": "#/$defs/count"}}},
    "token_blocks": {"anyOf": [{"$ref": "#/$defs/blocks"}, {"type": "array", "minItems": 1,
      "items": {"anyOf": [{"$ref": "#/$defs/blocks"}, {"type": "array", "maxItems": 0}]}},
      {"$ref": "#/$defs/file"}]},
    "packed_order": {"enum": ["qkv", "qvk", "kqv", "kvq", "vqk", "vkq"]},
    "weights_of_file": {"type": "object", "properties": {"file": {"type": "string", "minLength": 1},
      "prefix": {"type": "string"}, "weight_layout": {"$ref": "#/$defs/weight_layout"},
      "packed": {"$ref": "#/$defs/packed_layout"}, "order": {"$ref": "#/$defs/packed_order"},
      "packed_blocks": {"$ref": "#/$defs/size"}, "head_rows": {"enum": ["halves", "interleaved"]}, "names": {"$ref": "#/$defs/weight_aliases"}, "comment": true},
      "required": ["file"], "patternProperties": {"^[$_]": true}, "additionalProperties": false})json";

/// LISTS1 to LISTS4: lists of `of`, of such lists, ...
std::string nested_lists(const std::string& lists, std::string of) {
    std::string out;
    for (const char* depth : {"1", "2", "3", "4"}) {
        out += ",\n    " + json_string(lists + depth) +
               R"json(: {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/)json" + of + "\"}}";
        of = lists + depth;
    }
    return out;
}

/// A tensor as nested arrays, or as an object.
std::string tensor(std::string_view name, std::size_t least, std::size_t most) {
    std::string out = ",\n    " + json_string(name) + ": {\"anyOf\": [";
    for (std::size_t axes = least; axes <= most; ++axes)
        out += "{\"$ref\": \"#/$defs/numbers" + std::to_string(axes) + "\"}, ";
    return out + "{\"$ref\": \"#/$defs/object_tensor\"}]}";
}

/// One of the kinds of a mask.
std::string masks() {
    std::string members, one;
    for (const std::string_view kind : choice_names<MaskKind>()) {
        const std::string name = json_string(kind);
        members += name + ": {\"$ref\": \"#/$defs/" +
                   (kind == choice_name(MaskKind::add) ? "addends" : "switches") + "\"}, ";
        one += (one.empty() ? "" : ", ") + ("{\"required\": [" + name) + "]}";
    }
    return ",\n    \"mask\": {\"type\": \"object\", \"properties\": {" + members +
           "\"comment\": true},\n      \"oneOf\": [" + one + R"json(],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false})json";
}

/// The weights by name, behind the definitions that they need: one for each count of axes.
std::string named_weights() {
    std::string forms, names, aliases;
    for (const WeightName& n : all_weight_names()) {
        const auto [least, most] = weight_axes(n);
        const std::string form = "weight" + std::to_string(least) + std::to_string(most);
        if (forms.find(form) == std::string::npos) forms += tensor(form, least, most);
        aliases += ", " + json_string(n.name);
        names += "\n      " + json_string(n.name) + R"json(: {"$ref": "#/$defs/)json" + form + "\"},";
    }
    return forms + R"json(,
    "named_weights": {"type": "object", "properties": {)json" +
           names + R"json(
      "weight_layout": {"$ref": "#/$defs/weight_layout"}, "prefix": {"const": ""},
      "packed": {"$ref": "#/$defs/packed_layout"}, "order": {"$ref": "#/$defs/packed_order"},
      "packed_blocks": {"$ref": "#/$defs/size"}, "head_rows": {"enum": ["halves", "interleaved"]}, "comment": true},
      "patternProperties": {"^[$_]": true, "^[qk]_layernorm[.]norms[.][0-9]+[.]weight$": {"$ref": "#/$defs/weight11"}},
      "additionalProperties": false},
    "weight_aliases": {"type": "object", "propertyNames": {"anyOf": [{"pattern": "^[$_]"}, {"enum": ["comment")json" +
           aliases + R"json(]}]},
      "additionalProperties": {"type": "string"}})json";
}

}  // namespace

std::string input_schema() {
    std::string out(schema_head);
    for (const KeySchema& k : all_keys())
        out += ",\n    " + json_string(k.name) + ": " + std::string(k.schema);
    out += schema_middle;
    out += replaced(
        replaced(schema_definitions, "{multihead}", json_string(choice_name(WeightsInit::Kind::multihead))),
        "{table}", json_string(drawn_tensor_names.back()));
    out += nested_lists("numbers", "number") + nested_lists("switches", "switch") +
           nested_lists("addends", "addend");
    for (const TensorSchema& t : tensor_schemas()) out += tensor(t.name, t.least, t.most);
    out += masks() + named_weights();
    std::vector<std::string_view> variants;
    for (const Variant& v : all_variants()) variants.push_back(v.name);
    out += schema_enum("variant", variants);
    for (const auto& [name, names] : choice_definitions()) out += schema_enum(name, names);
    return out + "\n  }\n}\n";
}

}  // namespace attn
