#include "app/schema_texts.hpp"

namespace attn {
namespace {

// The keys of lib/input/read_problem.cpp and the names of lib/input/weight_names.cpp, as a schema.
constexpr std::string_view input_text = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:attn-calc:input:1",
  "title": "An input document of attn-calc",
  "type": "object",
  "properties": {
    "comment": true,
    "variant": {"enum": ["simplified", "self_attention", "causal_attention", "multi_head", "stacked_heads",
                         "cross_attention", "scaled_dot_product", "grouped_query", "multi_query", "sliding_window",
                         "gated", "additive", "multiplicative", "latent", "linear", "delta"]},
    "tokens": {"$ref": "#/$defs/labels"},
    "key_tokens": {"$ref": "#/$defs/labels"},
    "embeddings": {"$ref": "#/$defs/embeddings"},
    "key_embeddings": {"$ref": "#/$defs/embeddings"},
    "value_embeddings": {"$ref": "#/$defs/embeddings"},
    "queries": {"$ref": "#/$defs/projected"},
    "keys": {"$ref": "#/$defs/projected"},
    "values": {"$ref": "#/$defs/projected"},
    "past_keys": {"$ref": "#/$defs/projected"},
    "past_values": {"$ref": "#/$defs/projected"},
    "past_latent": {"$ref": "#/$defs/embeddings"},
    "past_rope_keys": {"$ref": "#/$defs/projected"},
    "past_state": {"$ref": "#/$defs/projected"},
    "decay": {"$ref": "#/$defs/per_token"},
    "beta": {"$ref": "#/$defs/per_token"},
    "feature_map": {"enum": ["elu1", "relu", "identity"]},
    "normalizer": {"type": "boolean"},
    "weights": {
      "anyOf": [
        {"$ref": "#/$defs/drawn_weights"},
        {"type": "object", "properties": {"prefix": {"type": "string", "minLength": 1}}, "required": ["prefix"]},
        {"$ref": "#/$defs/named_weights"},
        {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/named_weights"}}
      ]
    },
    "num_heads": {"type": "integer", "minimum": 1},
    "num_kv_heads": {"type": "integer", "minimum": 1},
    "kv_head_order": {"enum": ["interleave", "tile"]},
    "scale": {"anyOf": [{"type": "number"}, {"const": "none"}]},
    "softcap": {"type": "number", "exclusiveMinimum": 0},
    "rope": {
      "type": "object",
      "properties": {"base": {"type": "number", "exclusiveMinimum": 0}, "pairs": {"enum": ["half", "interleaved"]},
                     "dims": {"type": "integer", "minimum": 2}, "positions": {"$ref": "#/$defs/places"},
                     "query_positions": {"$ref": "#/$defs/places"}, "key_positions": {"$ref": "#/$defs/places"},
                     "cos": {"$ref": "#/$defs/embeddings"}, "sin": {"$ref": "#/$defs/embeddings"}, "comment": true},
      "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "alibi": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/per_head"}]},
    "position_bias": {"anyOf": [{"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/object_tensor"}]},
    "qk_norm": {
      "type": "object",
      "properties": {"type": {"enum": ["rms", "layer", "l2"]}, "eps": {"type": "number", "minimum": 0},
                     "over": {"enum": ["head", "width"]}, "plus_one": {"type": "boolean"}, "comment": true},
      "required": ["type"], "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "sinks": {"$ref": "#/$defs/per_head"},
    "gate": {
      "type": "object",
      "properties": {"activation": {"enum": ["sigmoid", "silu"]}, "norm": {"const": "rms"}, "from": {"const": "queries"},
                     "comment": true},
      "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "add_zero_attn": {"type": "boolean"},
    "causal": {
      "anyOf": [
        {"type": "boolean"},
        {"enum": ["top_left", "bottom_right"]},
        {"type": "object",
         "properties": {"offset": {"anyOf": [{"$ref": "#/$defs/int64"},
                                             {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/int64"}}]},
                        "comment": true},
         "required": ["offset"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}
      ]
    },
    "window": {
      "type": "object",
      "properties": {"left": {"$ref": "#/$defs/count"}, "right": {"$ref": "#/$defs/count"}, "comment": true},
      "anyOf": [{"required": ["left"]}, {"required": ["right"]}],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "key_lengths": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/count"}},
    "mask": {"anyOf": [{"$ref": "#/$defs/mask"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/mask"}}]},
    "mask_at": {"enum": ["scaled_scores", "scores", "weights"]},
    "normalize": {"enum": ["softmax", "sum", "sigmoid"]},
    "empty_rows": {"enum": ["zero", "nan", "uniform"]},
    "dropout": {
      "anyOf": [
        {"type": "object",
         "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1}, "seed": {"$ref": "#/$defs/int64"},
                        "generator": {"enum": ["torch", "torch-mkl"]}, "comment": true},
         "required": ["p", "seed"], "patternProperties": {"^[$_]": true}, "additionalProperties": false},
        {"type": "object",
         "properties": {"p": {"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "keep": {"$ref": "#/$defs/switches"},
                        "comment": true},
         "required": ["p", "keep"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}
      ]
    },
    "dtype": {"enum": ["float32", "float64"]}
  },
  "patternProperties": {"^[$_]": true},
  "additionalProperties": false,
  "oneOf": [
    {"required": ["embeddings"],
     "not": {"anyOf": [{"required": ["queries"]}, {"required": ["keys"]}, {"required": ["values"]}]}},
    {"required": ["queries", "keys", "values"], "not": {"required": ["embeddings"]}}
  ],
  "$defs": {
    "int64": {"type": "integer", "minimum": -9223372036854775808, "maximum": 9223372036854775807},
    "count": {"type": "integer", "minimum": 0, "maximum": 9223372036854775807},
    "size": {"type": "integer", "minimum": 1, "maximum": 9223372036854775807},
    "shape": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"$ref": "#/$defs/size"}},
    "labels": {"type": "array", "items": {"type": "string"}},
    "places": {"type": "array", "minItems": 1, "items": {"type": "number"}},
    "per_head": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/flat_numbers"}]},
    "numbers1": {"type": "array", "minItems": 1, "items": {"type": "number"}},
    "numbers2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers1"}},
    "numbers3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers2"}},
    "numbers4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers3"}},
    "flat_numbers": {
      "type": "object",
      "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/numbers1"}, "comment": true},
      "required": ["shape", "data"], "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "drawn": {
      "anyOf": [
        {"type": "object",
         "properties": {"init": {"enum": ["torch.rand", "torch.randn"]}, "seed": {"$ref": "#/$defs/int64"},
                        "shape": {"$ref": "#/$defs/shape"}, "comment": true},
         "required": ["init", "seed", "shape"], "patternProperties": {"^[$_]": true}, "additionalProperties": false},
        {"type": "object",
         "properties": {"init": {"const": "torch.nn.Embedding"}, "seed": {"$ref": "#/$defs/int64"},
                        "num_embeddings": {"$ref": "#/$defs/size"}, "dim": {"$ref": "#/$defs/size"},
                        "ids": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/count"}}, "comment": true},
         "required": ["init", "seed", "num_embeddings", "dim", "ids"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}
      ]
    },
    "object_tensor": {"anyOf": [{"$ref": "#/$defs/flat_numbers"}, {"$ref": "#/$defs/drawn"}]},
    "vector": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/object_tensor"}]},
    "matrix": {"anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/object_tensor"}]},
    "blocks": {"anyOf": [{"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/object_tensor"}]},
    "one_key": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"},
                          {"$ref": "#/$defs/object_tensor"}]},
    "embeddings": {
      "anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/object_tensor"}]
    },
    "projected": {
      "anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/numbers4"},
                {"$ref": "#/$defs/object_tensor"}]
    },
    "per_token": {
      "anyOf": [{"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/numbers4"}, {"$ref": "#/$defs/object_tensor"}]
    },
    "addend": {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]},
    "addends1": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addend"}},
    "addends2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addends1"}},
    "addends3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addends2"}},
    "addends4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/addends3"}},
    "addends": {
      "anyOf": [
        {"$ref": "#/$defs/addends1"}, {"$ref": "#/$defs/addends2"}, {"$ref": "#/$defs/addends3"},
        {"$ref": "#/$defs/addends4"},
        {"type": "object",
         "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/addends1"}, "comment": true},
         "required": ["shape", "data"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}
      ]
    },
    "switches1": {"type": "array", "minItems": 1, "items": {"enum": [true, false, 0, 1]}},
    "switches2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/switches1"}},
    "switches3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/switches2"}},
    "switches4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/switches3"}},
    "switches": {
      "anyOf": [
        {"$ref": "#/$defs/switches1"}, {"$ref": "#/$defs/switches2"}, {"$ref": "#/$defs/switches3"},
        {"$ref": "#/$defs/switches4"},
        {"type": "object",
         "properties": {"shape": {"$ref": "#/$defs/shape"}, "data": {"$ref": "#/$defs/switches1"}, "comment": true},
         "required": ["shape", "data"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}
      ]
    },
    "mask": {
      "type": "object",
      "properties": {"keep": {"$ref": "#/$defs/switches"}, "drop": {"$ref": "#/$defs/switches"},
                     "add": {"$ref": "#/$defs/addends"}, "comment": true},
      "oneOf": [{"required": ["keep"]}, {"required": ["drop"]}, {"required": ["add"]}],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "drawn_weights": {
      "type": "object",
      "properties": {"init": {"enum": ["torch.nn.Linear", "torch.rand", "torch.nn.MultiheadAttention"]},
                     "seed": {"$ref": "#/$defs/int64"}, "d_out": {"$ref": "#/$defs/size"}, "bias": {"type": "boolean"},
                     "out_proj": {"type": "boolean"}, "comment": true},
      "required": ["init", "seed"],
      "anyOf": [{"properties": {"init": {"const": "torch.nn.MultiheadAttention"}}}, {"required": ["d_out"]}],
      "patternProperties": {"^[$_]": true}, "additionalProperties": false
    },
    "named_weights": {
      "type": "object",
      "properties": {
        "W_query": {"$ref": "#/$defs/matrix"}, "W_key": {"$ref": "#/$defs/matrix"},
        "W_value": {"$ref": "#/$defs/matrix"}, "W_out": {"$ref": "#/$defs/matrix"},
        "b_query": {"$ref": "#/$defs/vector"}, "b_key": {"$ref": "#/$defs/vector"},
        "b_value": {"$ref": "#/$defs/vector"}, "b_out": {"$ref": "#/$defs/vector"},
        "W_query.weight": {"$ref": "#/$defs/matrix"}, "W_key.weight": {"$ref": "#/$defs/matrix"},
        "W_value.weight": {"$ref": "#/$defs/matrix"}, "W_out.weight": {"$ref": "#/$defs/matrix"},
        "W_query.bias": {"$ref": "#/$defs/vector"}, "W_key.bias": {"$ref": "#/$defs/vector"},
        "W_value.bias": {"$ref": "#/$defs/vector"}, "W_out.bias": {"$ref": "#/$defs/vector"},
        "q_proj.weight": {"$ref": "#/$defs/matrix"}, "k_proj.weight": {"$ref": "#/$defs/matrix"},
        "v_proj.weight": {"$ref": "#/$defs/matrix"}, "o_proj.weight": {"$ref": "#/$defs/matrix"},
        "q_proj.bias": {"$ref": "#/$defs/vector"}, "k_proj.bias": {"$ref": "#/$defs/vector"},
        "v_proj.bias": {"$ref": "#/$defs/vector"}, "o_proj.bias": {"$ref": "#/$defs/vector"},
        "query.weight": {"$ref": "#/$defs/matrix"}, "key.weight": {"$ref": "#/$defs/matrix"},
        "value.weight": {"$ref": "#/$defs/matrix"},
        "query.bias": {"$ref": "#/$defs/vector"}, "key.bias": {"$ref": "#/$defs/vector"},
        "value.bias": {"$ref": "#/$defs/vector"},
        "out_proj.weight": {"$ref": "#/$defs/matrix"},
        "out_proj.bias": {"$ref": "#/$defs/vector"},
        "q.weight": {"$ref": "#/$defs/matrix"}, "k.weight": {"$ref": "#/$defs/matrix"},
        "v.weight": {"$ref": "#/$defs/matrix"}, "o.weight": {"$ref": "#/$defs/matrix"},
        "q.bias": {"$ref": "#/$defs/vector"}, "k.bias": {"$ref": "#/$defs/vector"},
        "v.bias": {"$ref": "#/$defs/vector"}, "o.bias": {"$ref": "#/$defs/vector"},
        "in_proj_weight": {"$ref": "#/$defs/matrix"},
        "in_proj_bias": {"$ref": "#/$defs/vector"},
        "q_proj_weight": {"$ref": "#/$defs/matrix"}, "k_proj_weight": {"$ref": "#/$defs/matrix"},
        "v_proj_weight": {"$ref": "#/$defs/matrix"},
        "W_Q": {"$ref": "#/$defs/blocks"}, "W_K": {"$ref": "#/$defs/blocks"}, "W_V": {"$ref": "#/$defs/blocks"},
        "W_O": {"$ref": "#/$defs/blocks"},
        "b_Q": {"$ref": "#/$defs/matrix"}, "b_K": {"$ref": "#/$defs/matrix"}, "b_V": {"$ref": "#/$defs/matrix"},
        "b_O": {"$ref": "#/$defs/vector"},
        "c_attn.weight": {"$ref": "#/$defs/matrix"}, "c_attn.bias": {"$ref": "#/$defs/vector"},
        "c_proj.weight": {"$ref": "#/$defs/matrix"}, "c_proj.bias": {"$ref": "#/$defs/vector"},
        "W_gate": {"$ref": "#/$defs/matrix"}, "b_gate": {"$ref": "#/$defs/vector"},
        "W_gate.weight": {"$ref": "#/$defs/matrix"}, "W_gate.bias": {"$ref": "#/$defs/vector"},
        "W_score": {"$ref": "#/$defs/matrix"}, "W_score.weight": {"$ref": "#/$defs/matrix"},
        "W_DQ": {"$ref": "#/$defs/matrix"}, "W_DQ.weight": {"$ref": "#/$defs/matrix"},
        "W_UQ": {"$ref": "#/$defs/matrix"}, "W_UQ.weight": {"$ref": "#/$defs/matrix"},
        "W_DKV": {"$ref": "#/$defs/matrix"}, "W_DKV.weight": {"$ref": "#/$defs/matrix"},
        "W_KR": {"$ref": "#/$defs/matrix"}, "W_KR.weight": {"$ref": "#/$defs/matrix"},
        "W_UK": {"$ref": "#/$defs/matrix"}, "W_UK.weight": {"$ref": "#/$defs/matrix"},
        "W_UV": {"$ref": "#/$defs/matrix"}, "W_UV.weight": {"$ref": "#/$defs/matrix"},
        "W_decay": {"$ref": "#/$defs/matrix"}, "W_decay.weight": {"$ref": "#/$defs/matrix"},
        "W_alpha": {"$ref": "#/$defs/matrix"}, "W_alpha.weight": {"$ref": "#/$defs/matrix"},
        "W_beta": {"$ref": "#/$defs/matrix"}, "W_beta.weight": {"$ref": "#/$defs/matrix"},
        "v": {"$ref": "#/$defs/vector"}, "A_log": {"$ref": "#/$defs/vector"}, "dt_bias": {"$ref": "#/$defs/vector"},
        "bias_k": {"$ref": "#/$defs/one_key"}, "bias_v": {"$ref": "#/$defs/one_key"},
        "q_norm.weight": {"$ref": "#/$defs/vector"}, "k_norm.weight": {"$ref": "#/$defs/vector"},
        "q_norm.scale": {"$ref": "#/$defs/vector"}, "k_norm.scale": {"$ref": "#/$defs/vector"},
        "norm.weight": {"$ref": "#/$defs/vector"}, "norm.scale": {"$ref": "#/$defs/vector"},
        "weight_layout": {"enum": ["in_out", "out_in"]}, "prefix": {"const": ""}, "comment": true
      },
      "patternProperties": {"^[$_]": true}, "additionalProperties": false
    }
  }
}
)json";

constexpr std::string_view trace_text = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:attn-calc:trace:1",
  "title": "A trace of attn-calc: what run -f json writes",
  "type": "object",
  "properties": {
    "schema": {"const": "attn-calc/trace/1"},
    "tool": {
      "type": "object",
      "properties": {"name": {"const": "attn-calc"}, "version": {"type": "string"}},
      "required": ["name", "version"], "additionalProperties": false
    },
    "variant": {"enum": ["simplified", "self_attention", "causal_attention", "multi_head", "stacked_heads",
                         "cross_attention", "scaled_dot_product", "grouped_query", "multi_query", "sliding_window",
                         "gated", "additive", "multiplicative", "latent", "linear", "delta"]},
    "plan": {
      "type": "object",
      "properties": {
        "inferred": {"type": "string", "minLength": 1},
        "dtype": {"enum": ["float32", "float64"]},
        "sizes": {
          "type": "object",
          "properties": {"batch": {"$ref": "#/$defs/size"}, "head": {"$ref": "#/$defs/size"},
                         "query": {"$ref": "#/$defs/size"}, "key": {"$ref": "#/$defs/size"},
                         "dim": {"$ref": "#/$defs/size"}, "value_dim": {"$ref": "#/$defs/size"}},
          "required": ["batch", "head", "query", "key", "dim", "value_dim"], "additionalProperties": false
        },
        "kv_heads": {
          "type": "object",
          "properties": {"count": {"$ref": "#/$defs/size"}, "order": {"enum": ["interleave", "tile"]}},
          "required": ["count", "order"], "additionalProperties": false
        },
        "cached_keys": {"$ref": "#/$defs/size"},
        "appended_keys": {"$ref": "#/$defs/size"},
        "qk_norm": {
          "type": "object",
          "properties": {"type": {"enum": ["rms", "layer", "l2"]}, "eps": {"type": "number"}, "over": {"enum": ["head", "width"]}},
          "required": ["type", "eps", "over"], "additionalProperties": false
        },
        "rope": {
          "type": "object",
          "properties": {"dims": {"$ref": "#/$defs/size"}, "pairs": {"enum": ["half", "interleaved"]}, "base": {"type": "number"},
                         "query_positions": {"type": "array", "items": {"type": "number"}},
                         "key_positions": {"type": "array", "items": {"type": "number"}}},
          "required": ["dims", "pairs"], "additionalProperties": false
        },
        "state": {
          "type": "object",
          "properties": {"rule": {"enum": ["sum", "delta"]}, "causal": {"type": "boolean"},
                         "offset": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
                         "feature_map": {"enum": ["elu1", "relu", "identity"]}, "normalizer": {"type": "boolean"},
                         "begins": {"enum": ["zeros", "past_state"]}},
          "required": ["rule", "causal", "normalizer", "begins"], "additionalProperties": false
        },
        "softcap": {"type": "number", "exclusiveMinimum": 0},
        "alibi": {"type": "array", "items": {"type": "number"}},
        "sinks": {"type": "array", "items": {"type": "number"}},
        "gate": {
          "type": "object",
          "properties": {"activation": {"enum": ["sigmoid", "silu"]}, "norm": {"enum": ["rms", false]},
                         "from": {"enum": ["queries", "weights"]}},
          "required": ["activation", "norm", "from"], "additionalProperties": false
        },
        "scale": {"anyOf": [{"type": "number"}, {"const": "none"}]},
        "mask": {
          "type": "object",
          "properties": {
            "at": {"enum": ["scaled_scores", "scores", "weights"]},
            "rules": {"type": "array", "items": {"type": "string"}},
            "offset": {"type": "array", "minItems": 1, "items": {"type": "integer"}}
          },
          "required": ["at", "rules"], "additionalProperties": false
        },
        "normalize": {"enum": ["softmax", "sum", "sigmoid"]},
        "empty_rows": {"enum": ["zero", "nan", "uniform"]},
        "dropout": {
          "type": "object",
          "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1},
                         "generator": {"enum": ["torch", "torch-mkl", "given"]}, "seed": {"type": "integer"}},
          "required": ["p", "generator"], "additionalProperties": false
        },
        "weights": {
          "type": "object",
          "properties": {
            "init": {"enum": ["torch.nn.Linear", "torch.rand", "torch.nn.MultiheadAttention"]},
            "seed": {"type": "integer"},
            "read": {
              "type": "array",
              "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "role": {"type": "string"}, "layout": {"type": "string"},
                               "shape": {"type": "array", "items": {"$ref": "#/$defs/size"}}},
                "required": ["name", "role", "layout", "shape"], "additionalProperties": false
              }
            }
          },
          "required": ["read"], "additionalProperties": false
        }
      },
      "required": ["dtype", "sizes", "scale", "normalize", "empty_rows"], "additionalProperties": false
    },
    "tokens": {
      "type": "object",
      "properties": {"query": {"$ref": "#/$defs/labels"}, "key": {"$ref": "#/$defs/labels"}},
      "required": ["query", "key"], "additionalProperties": false
    },
    "selection": {
      "type": "object",
      "properties": {"batch": {"$ref": "#/$defs/indices"}, "head": {"$ref": "#/$defs/indices"},
                     "query": {"$ref": "#/$defs/indices"}, "key": {"$ref": "#/$defs/indices"}},
      "minProperties": 1, "additionalProperties": false
    },
    "order": {"type": "array", "items": {"$ref": "#/$defs/stage_name"}, "minItems": 1, "uniqueItems": true},
    "stages": {
      "type": "object",
      "propertyNames": {"$ref": "#/$defs/stage_name"},
      "minProperties": 1,
      "additionalProperties": {"$ref": "#/$defs/stage"}
    },
    "warnings": {"type": "array", "items": {"type": "string"}}
  },
  "required": ["schema", "tool", "variant", "plan", "tokens", "order", "stages", "warnings"],
  "additionalProperties": false,
  "$defs": {
    "size": {"type": "integer", "minimum": 1},
    "labels": {"type": "array", "items": {"type": "string"}},
    "indices": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "integer", "minimum": 0}},
    "stage_name": {"enum": ["queries", "keys", "values", "latent", "normed_queries", "normed_keys", "rope_keys",
                            "rotated_queries", "rotated_keys", "mapped_queries", "mapped_keys", "decay", "beta", "all_keys", "all_values", "scores", "scaled_scores", "capped_scores",
                            "biased_scores", "masked_scores", "weights", "masked_weights", "renormalized_weights",
                            "dropped_weights", "context", "state", "states", "normed_context", "gated_context", "concat",
                            "head_outputs", "output"]},
    "stage": {
      "type": "object",
      "properties": {
        "formula": {"type": "string", "minLength": 1},
        "axes": {"type": "array", "maxItems": 5,
                 "items": {"enum": ["batch", "head", "query", "key", "dim"]}},
        "shape": {"type": "array", "maxItems": 5, "items": {"type": "integer", "minimum": 1}},
        "dtype": {"enum": ["float32", "float64"]},
        "data": {"anyOf": [{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/numbers2"},
                           {"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/numbers4"}, {"$ref": "#/$defs/numbers5"}]}
      },
      "required": ["formula", "axes", "shape", "dtype", "data"], "additionalProperties": false
    },
    "number": {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN", null]}]},
    "numbers1": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/number"}},
    "numbers2": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers1"}},
    "numbers3": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers2"}},
    "numbers4": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers3"}},
    "numbers5": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers4"}}
  }
}
)json";

}  // namespace

std::string_view input_schema() { return input_text; }
std::string_view trace_schema() { return trace_text; }

}  // namespace attn
