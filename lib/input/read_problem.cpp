#include <algorithm>
#include <array>
#include <cmath>

#include "lib/input/choices.hpp"
#include "lib/input/key_table.hpp"
#include "lib/input/problem.hpp"
#include "lib/input/read_options.hpp"
#include "lib/input/read_tensor.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr TensorRule embedding_rule{2, 3, Elements::finite, "a matrix [token, d_in] or [batch, token, d_in]"};
constexpr TensorRule projected_rule{2, 4, Elements::finite,
                                    "[token, dim], [head, token, dim] or [batch, head, token, dim]"};
constexpr TensorRule per_token_rule{
    3, 4, Elements::finite, "[batch, head, token] or [batch, head, token, dim]; a head axis of 1 serves all"};

std::vector<std::string> read_tokens(const Value& value, const std::string& pointer) {
    std::vector<std::string> out;
    const auto wrong = [&](std::size_t k, const std::string& what) {
        fail(child(pointer, static_cast<Index>(k)),
             "is " + what + ", expected a string: the label of one token");
    };
    if (value.kind == Value::Kind::row) {
        // Tokens that are called Infinity or NaN arrive as words of numbers.
        const Scalars& row = value.row;
        if (!row.from.empty())
            fail(pointer, "is read from " + clip(visible(row.from), 80) +
                              ", which holds numbers, expected strings: the labels of the tokens");
        if (row.shape.size() > 1) wrong(0, "an array");
        const std::size_t boolean = row.first_of(Scalar::boolean),
                          number = std::min(row.first_of(Scalar::integer), row.first_of(Scalar::real));
        for (std::size_t k = 0; k < row.length(); ++k) {
            const double v = row.numbers[static_cast<Index>(k)];
            if (k == boolean) wrong(k, v != 0 ? "true" : "false");
            if (k == number) wrong(k, "a number");
            out.emplace_back(std::isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
        }
    } else if (value.kind == Value::Kind::array) {
        for (std::size_t k = 0; k < value.items.size(); ++k) {
            if (value.items[k].kind != Value::Kind::string) wrong(k, value.items[k].describe());
            out.push_back(value.items[k].text);
        }
    } else {
        fail(pointer, "is " + value.describe() + ", expected a list of tokens: strings");
    }
    return out;
}

Causal read_causal(const Value& value, const std::string& pointer) {
    using Kind = Causal::Kind;
    if (value.kind == Value::Kind::boolean) return {value.boolean ? Kind::cache : Kind::none, {}, false};
    if (value.kind == Value::Kind::string) {
        return {read_choice(value, pointer, causal_corner_names) == 0 ? Kind::top_left : Kind::bottom_right,
                {},
                false};
    }
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() +
                          ", expected true, false, \"top_left\", \"bottom_right\" or {\"offset\": n}");
    static constexpr std::array<std::string_view, 1> names{"offset"};
    check_members(value, pointer, names);
    const Value& offset = need(value, pointer, "offset", "key j is visible to query i when j <= i + offset");
    const std::string here = child(pointer, "offset");
    if (offset.kind == Value::Kind::row || offset.kind == Value::Kind::array)
        return {Kind::offset, read_integers(offset, here, INT64_MIN, "offsets, one per batch item"), true};
    return {Kind::offset, {read_integer(offset, here, INT64_MIN, "an offset")}, false};
}

Window read_window(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 2> names{"left", "right"};
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() + ", expected {\"left\": n, \"right\": n}",
             "the token itself is not counted; a side that is left out is unlimited");
    check_members(value, pointer, names);
    Window w;
    if (const Value* v = value.find("left"))
        w.left = read_integer(*v, child(pointer, "left"), 0, "a number of tokens");
    if (const Value* v = value.find("right"))
        w.right = read_integer(*v, child(pointer, "right"), 0, "a number of tokens");
    if (!w.left && !w.right) fail(pointer, "has neither \"left\" nor \"right\"");
    return w;
}

void read_mask(const Value& value, const std::string& pointer, std::vector<MaskInput>& out) {
    static constexpr auto kinds = choice_names<MaskKind>();
    constexpr auto three = "expected {\"keep\": ...}, {\"drop\": ...} or {\"add\": ...}";
    constexpr auto meaning =
        "keep: true is visible; drop: true is hidden (as PyTorch's attn_mask of booleans in "
        "nn.MultiheadAttention); "
        "add: numbers that are added to the scores";
    if (value.kind != Value::Kind::object)
        fail(pointer,
             "is a bare " +
                 std::string(value.kind == Value::Kind::array || value.kind == Value::Kind::row
                                 ? "matrix"
                                 : "value: " + value.describe()) +
                 ", " + three,
             meaning);
    if (value.find("shape") || value.find("data"))
        fail(pointer, std::string("is a bare tensor, ") + three, meaning);
    check_members(value, pointer, kinds);
    std::size_t given = 0;
    for (std::size_t k = 0; k < kinds.size(); ++k) given += value.find(kinds[k]) != nullptr;
    if (given != 1)
        fail(pointer,
             std::string(given == 0 ? "has none of the three, " : "has more than one of the three, ") + three,
             meaning);
    for (std::size_t k = 0; k < kinds.size(); ++k) {
        const Value* v = value.find(kinds[k]);
        if (!v) continue;
        const TensorRule rule{1, 4, k == 2 ? Elements::additive : Elements::yes_no,
                              "1 to 4 axes, aligned from the right with [batch, head, query, key]"};
        out.push_back({static_cast<MaskKind>(k), read_tensor(*v, child(pointer, kinds[k]), rule)});
    }
}

void read_masks(const Value& value, const std::string& pointer, Problem& p) {
    const bool list =
        value.kind == Value::Kind::array && !value.items.empty() &&
        (value.items.front().kind == Value::Kind::object || value.items.front().kind == Value::Kind::null);
    if (!list) return read_mask(value, pointer, p.masks);
    for (std::size_t k = 0; k < value.items.size(); ++k)
        read_mask(value.items[k], child(pointer, static_cast<Index>(k)), p.masks);
}

DropoutInput read_dropout(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 4> names{"p", "seed", "generator", "keep"};
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() +
                          ", expected {\"p\": 0.5, \"seed\": 123} or {\"p\": 0.5, \"keep\": ...}");
    check_members(value, pointer, names);
    DropoutInput d;
    const std::string at_p = child(pointer, "p");
    d.p =
        read_number(need(value, pointer, "p", "the probability to drop a weight"), at_p, "the probability p");
    if (!(d.p >= 0 && d.p <= 1))
        fail(at_p, "is outside [0, 1]: dropout takes the probability p of dropping a weight");
    if (const Value* keep = value.find("keep")) {
        for (const auto* other : {"seed", "generator"})
            if (value.find(other))
                fail_at_key(child(pointer, other), "\"" + std::string(other) +
                                                       "\" stands beside \"keep\" in " + pointer +
                                                       ": the mask is either given or drawn");
        d.kind = DropoutKind::given;
        d.keep = read_tensor(
            *keep, child(pointer, "keep"),
            {1, 4, Elements::yes_no, "1 to 4 axes, aligned from the right with [batch, head, query, key]"});
        return d;
    }
    const Value* seed = value.find("seed");
    d.shared = !seed;
    if (seed) d.seed = read_seed(*seed, child(pointer, "seed"));
    if (const Value* v = value.find("generator"))
        d.kind = static_cast<DropoutKind>(
            read_choice(*v, child(pointer, "generator"),
                        std::span<const std::string_view>(choice_names<DropoutKind>()).first(2)));
    return d;
}

template <class E>
E read_enum(const Value& v, const std::string& at) {
    static constexpr auto names = choice_names<E>();
    return Choices<E>::table[read_choice(v, at, names)].value;
}

struct Key {
    std::string_view name, schema;
    void (*read)(const Value&, const std::string& pointer, Problem&);
};

/// THE TABLE of keys of a document. (One row more turns clang-format to another indent of all of them.)
// clang-format off
constexpr std::array keys_table{
    Key{"variant", R"({"$ref": "#/$defs/variant"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.variant = read_string(v, at, "the name of a variant");
        }},
    Key{"id", R"({"type": "string"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.id = read_string(v, at, "a name of the document");
        }},
    Key{"tokens", R"({"$ref": "#/$defs/labels"})",
        [](const Value& v, const std::string& at, Problem& p) { p.tokens = read_tokens(v, at); }},
    Key{"key_tokens", R"({"$ref": "#/$defs/labels"})",
        [](const Value& v, const std::string& at, Problem& p) { p.key_tokens = read_tokens(v, at); }},
    Key{"embeddings", R"({"$ref": "#/$defs/embeddings"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.embeddings = read_tensor(v, at, embedding_rule);
        }},
    Key{"key_embeddings", R"({"$ref": "#/$defs/embeddings"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.key_embeddings = read_tensor(v, at, embedding_rule);
        }},
    Key{"value_embeddings", R"({"$ref": "#/$defs/embeddings"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.value_embeddings = read_tensor(v, at, embedding_rule);
        }},
    Key{"queries", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.queries = read_tensor(v, at, projected_rule);
        }},
    Key{"keys", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.keys = read_tensor(v, at, projected_rule);
        }},
    Key{"values", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.values = read_tensor(v, at, projected_rule);
        }},
    Key{"weights",
        R"({"anyOf": [{"$ref": "#/$defs/drawn_weights"}, {"$ref": "#/$defs/weights_of_file"}, {"type": "object", "properties": {"prefix": {"type": "string", "minLength": 1}}, "required": ["prefix"]}, {"type": "object", "properties": {"names": {"$ref": "#/$defs/weight_aliases"}}, "required": ["names"]}, {"$ref": "#/$defs/named_weights"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/named_weights"}}]})",
        [](const Value& v, const std::string& at, Problem& p) { read_weights(v, at, p); }},
    Key{"num_heads", R"({"type": "integer", "minimum": 1})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.num_heads = read_integer(v, at, 1, "a number of heads");
        }},
    Key{"num_kv_heads", R"({"type": "integer", "minimum": 1})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.num_kv_heads = read_integer(v, at, 1, "a number of heads of keys and values");
        }},
    Key{"num_value_heads", R"({"type": "integer", "minimum": 1})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.num_value_heads = read_integer(v, at, 1, "a number of heads of values");
        }},
    Key{"kv_head_order", R"({"$ref": "#/$defs/kv_head_order"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.kv_head_order = read_enum<KvHeadOrder>(v, at);
        }},
    Key{"scale", R"({"anyOf": [{"type": "number"}, {"const": "none"}]})",
        [](const Value& v, const std::string& at, Problem& p) {
            if (v.kind == Value::Kind::string && v.text == "none") {
                p.scale_none = true;
            } else if (v.kind == Value::Kind::string) {
                fail(at, "is \"" + v.text + "\", expected a number or \"none\"");
            } else {
                p.scale = read_number(v, at, "a factor of the scores, or \"none\"");
            }
        }},
    Key{"softcap", R"({"type": "number", "exclusiveMinimum": 0})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.softcap = read_number(v, at, "the bound c of c * tanh(x / c)");
            if (!(*p.softcap > 0)) fail(at, "is not above 0: scores become c * tanh(x / c)");
        }},
    Key{"past_keys", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.past_keys = read_tensor(v, at, projected_rule);
        }},
    Key{"past_values", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.past_values = read_tensor(v, at, projected_rule);
        }},
    Key{"past_latent", R"({"$ref": "#/$defs/embeddings"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.past_latent =
                read_tensor(v, at, {2, 3, Elements::finite, "[token, latent] or [batch, token, latent]"});
        }},
    Key{"past_rope_keys", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.past_rope_keys =
                read_tensor(v, at,
                            {2, 4, Elements::finite,
                             "[token, rope dim], [batch, token, rope dim] or [batch, 1, token, rope dim]"});
        }},
    Key{"past_state", R"({"$ref": "#/$defs/projected"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.past_state = read_tensor(v, at,
                                       {2, 4, Elements::finite,
                                        "a state [batch, head, dim of keys, dim of values] (axes of 1 at the "
                                        "front may be left out)"});
        }},
    Key{"decay", R"({"$ref": "#/$defs/per_token"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.decay = read_tensor(v, at, per_token_rule);
        }},
    Key{"beta", R"({"$ref": "#/$defs/per_token"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.beta = read_tensor(v, at, per_token_rule);
        }},
    Key{"feature_map", R"({"$ref": "#/$defs/feature_map"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.feature_map = read_enum<FeatureMap>(v, at);
        }},
    Key{"conv",
        R"({"type": "object", "properties": {"activation": {"$ref": "#/$defs/conv_activation"}, "comment": true}, "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.conv = read_conv(v, at); }},
    Key{"past_conv", R"({"$ref": "#/$defs/embeddings"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.past_conv = read_tensor(v, at, {2, 3, Elements::finite, "[batch, width, taps - 1]"});
        }},
    Key{"map_values", R"({"type": "boolean"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.map_values = read_boolean(v, at, "true or false");
        }},
    Key{"beta_factor", R"({"type": "number"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.beta_factor = read_number(v, at, "a factor of beta");
        }},
    Key{"normalizer", R"({"type": "boolean"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.normalizer = read_boolean(v, at, "true or false");
        }},
    Key{"rope",
        R"({"type": "object", "properties": {"base": {"type": "number", "exclusiveMinimum": 0}, "pairs": {"$ref": "#/$defs/rope_pairs"}, "dims": {"type": "integer", "minimum": 2}, "reverse": {"type": "boolean"}, "positions": {"$ref": "#/$defs/item_places"}, "query_positions": {"$ref": "#/$defs/item_places"}, "key_positions": {"$ref": "#/$defs/item_places"}, "scaling": {"type": "object", "properties": {"type": {"$ref": "#/$defs/rope_scaling"}, "rope_type": {"$ref": "#/$defs/rope_scaling"}, "factor": {"type": "number", "exclusiveMinimum": 0}, "attention_factor": {"type": "number", "exclusiveMinimum": 0}, "max_position_embeddings": {"type": "number", "exclusiveMinimum": 0}, "original_max_position_embeddings": {"type": "number", "exclusiveMinimum": 0}, "beta_fast": {"type": "number", "exclusiveMinimum": 0}, "beta_slow": {"type": "number", "exclusiveMinimum": 0}, "truncate": {"type": "boolean"}, "mscale": {"type": "number"}, "mscale_all_dim": {"type": "number"}, "low_freq_factor": {"type": "number", "exclusiveMinimum": 0}, "high_freq_factor": {"type": "number", "exclusiveMinimum": 0}, "partial_rotary_factor": {"type": "number", "exclusiveMinimum": 0}, "short_factor": {"$ref": "#/$defs/places"}, "long_factor": {"$ref": "#/$defs/places"}, "comment": true}, "anyOf": [{"required": ["type"]}, {"required": ["rope_type"]}], "patternProperties": {"^[$_]": true}, "additionalProperties": false}, "cos": {"$ref": "#/$defs/embeddings"}, "sin": {"$ref": "#/$defs/embeddings"}, "comment": true}, "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.rope = read_rope(v, at); }},
    Key{"alibi", R"({"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/per_head"}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.alibi = read_alibi(v, at); }},
    Key{"position_bias",
        R"({"anyOf": [{"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/numbers4"}, {"$ref": "#/$defs/object_tensor"}, {"type": "object", "properties": {"buckets": {"anyOf": [{"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/object_tensor"}]}, "max_distance": {"$ref": "#/$defs/size"}, "bidirectional": {"type": "boolean"}, "comment": true}, "required": ["buckets"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.position_bias = read_position_bias(v, at);
        }},
    Key{"embeddings_norm",
        R"({"type": "object", "properties": {"type": {"enum": ["rms", "layer"]}, "eps": {"type": "number", "minimum": 0}, "plus_one": {"type": "boolean"}, "keys": {"type": "boolean"}, "weight": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/object_tensor"}]}, "bias": {"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/object_tensor"}]}, "comment": true}, "required": ["type"], "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.embeddings_norm = read_embeddings_norm(v, at);
        }},
    Key{"qk_norm",
        R"({"type": "object", "properties": {"type": {"$ref": "#/$defs/norm_type"}, "eps": {"type": "number", "minimum": 0}, "over": {"$ref": "#/$defs/norm_over"}, "plus_one": {"type": "boolean"}, "after": {"const": "rope"}, "comment": true}, "required": ["type"], "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.qk_norm = read_qk_norm(v, at); }},
    Key{"value_norm",
        R"({"type": "object", "properties": {"type": {"const": "rms"}, "eps": {"type": "number", "minimum": 0}, "comment": true}, "required": ["type"], "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.value_norm = read_value_norm(v, at); }},
    Key{"clip_qkv",
        R"({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "object", "properties": {"max": {"type": "number", "exclusiveMinimum": 0}, "after": {"const": "norm"}, "comment": true}, "required": ["max"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.clip_qkv = read_clip(v, at); }},
    Key{"query_scale",
        R"({"anyOf": [{"$ref": "#/$defs/numbers1"}, {"$ref": "#/$defs/numbers2"}, {"$ref": "#/$defs/numbers3"}, {"$ref": "#/$defs/flat_numbers"}, {"$ref": "#/$defs/file"}, {"type": "object", "properties": {"beta": {"type": "number"}, "every": {"type": "number", "exclusiveMinimum": 0}, "shift": {"type": "integer", "minimum": 0, "maximum": 1}, "comment": true}, "required": ["beta", "every"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.query_scale = read_query_scale(v, at); }},
    Key{"sinks", R"({"$ref": "#/$defs/per_head"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.sinks = read_per_head(v, at, "one number per head");
        }},
    Key{"gate",
        R"({"type": "object", "properties": {"activation": {"$ref": "#/$defs/gate_activation"}, "norm": {"const": "rms"}, "over": {"$ref": "#/$defs/norm_over"}, "eps": {"type": "number", "minimum": 0}, "from": {"const": "queries"}, "comment": true}, "dependentRequired": {"over": ["norm"], "eps": ["norm"]}, "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.gate = read_gate(v, at); }},
    Key{"concat_norm",
        R"({"type": "object", "properties": {"type": {"enum": ["rms", "layer"]}, "eps": {"type": "number", "minimum": 0}, "comment": true}, "required": ["type"], "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.concat_norm = read_concat_norm(v, at); }},
    Key{"lambda", R"({"type": "number"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.lambda = read_number(v, at, "a factor of the second half's weights");
        }},
    Key{"lambda_init", R"({"type": "number"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.lambda_init = read_number(v, at, "what lambda begins with");
        }},
    Key{"pairing", R"({"$ref": "#/$defs/pairing"})",
        [](const Value& v, const std::string& at, Problem& p) { p.pairing = read_enum<Pairing>(v, at); }},
    Key{"add_zero_attn", R"({"type": "boolean"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.add_zero_attn = read_boolean(v, at, "true or false");
        }},
    Key{"causal",
        R"({"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/causal_corner"}, {"type": "object", "properties": {"offset": {"anyOf": [{"$ref": "#/$defs/int64"}, {"$ref": "#/$defs/integers"}]}, "comment": true}, "required": ["offset"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.causal = read_causal(v, at); }},
    Key{"window",
        R"({"type": "object", "properties": {"left": {"$ref": "#/$defs/count"}, "right": {"$ref": "#/$defs/count"}, "comment": true}, "anyOf": [{"required": ["left"]}, {"required": ["right"]}], "patternProperties": {"^[$_]": true}, "additionalProperties": false})",
        [](const Value& v, const std::string& at, Problem& p) { p.window = read_window(v, at); }},
    Key{"chunk", R"({"$ref": "#/$defs/size"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.chunk = read_integer(v, at, 1, "a number of tokens");
        }},
    Key{"prefix_keys", R"({"anyOf": [{"$ref": "#/$defs/count"}, {"$ref": "#/$defs/counts"}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.prefix_keys = read_prefix_keys(v, at); }},
    Key{"token_blocks", R"({"$ref": "#/$defs/token_blocks"})",
        [](const Value& v, const std::string& at, Problem& p) { p.token_blocks = read_token_blocks(v, at); }},
    Key{"key_lengths", R"({"$ref": "#/$defs/counts"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.key_lengths = read_integers(v, at, 0, "numbers of keys, one per batch item");
        }},
    Key{"mask",
        R"({"anyOf": [{"$ref": "#/$defs/mask"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/mask"}}]})",
        read_masks},
    Key{"mask_at", R"({"$ref": "#/$defs/mask_at"})",
        [](const Value& v, const std::string& at, Problem& p) { p.mask_at = read_enum<MaskAt>(v, at); }},
    Key{"normalize", R"({"$ref": "#/$defs/normalize"})",
        [](const Value& v, const std::string& at, Problem& p) { p.normalize = read_enum<Normalize>(v, at); }},
    Key{"empty_rows", R"({"$ref": "#/$defs/empty_rows"})",
        [](const Value& v, const std::string& at, Problem& p) {
            p.empty_rows = read_enum<EmptyRows>(v, at);
        }},
    Key{"dropout",
        R"({"anyOf": [{"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1}, "seed": {"$ref": "#/$defs/seed"}, "generator": {"$ref": "#/$defs/generator"}, "comment": true}, "required": ["p"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}, {"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1}, "keep": {"$ref": "#/$defs/switches"}, "comment": true}, "required": ["p", "keep"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.dropout = read_dropout(v, at); }},
    Key{"gradient",
        R"({"anyOf": [{"const": "ones"}, {"type": "object", "properties": {"output": {"$ref": "#/$defs/embeddings"}, "context": {"$ref": "#/$defs/projected"}, "state": {"$ref": "#/$defs/projected"}, "comment": true}, "anyOf": [{"required": ["output"]}, {"required": ["context"]}, {"required": ["state"]}], "patternProperties": {"^[$_]": true}, "additionalProperties": false}, {"type": "object", "properties": {"loss": {"const": "sum"}, "comment": true}, "required": ["loss"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}, {"type": "object", "properties": {"loss": {"const": "mean_squared_error"}, "target": {"$ref": "#/$defs/embeddings"}, "comment": true}, "required": ["loss", "target"], "patternProperties": {"^[$_]": true}, "additionalProperties": false}]})",
        [](const Value& v, const std::string& at, Problem& p) { p.gradient = read_gradient(v, at); }},
    Key{"dtype", R"({"$ref": "#/$defs/dtype"})",
        [](const Value& v, const std::string& at, Problem& p) { p.dtype = read_enum<DType>(v, at); }},
    Key{"manual_seed", R"({"$ref": "#/$defs/seed"})",
        [](const Value& v, const std::string& at, Problem& p) { p.manual_seed = read_seed(v, at); }},
    Key{"draws", R"({"type": "array", "minItems": 1, "items": {"type": "string"}})",
        [](const Value& v, const std::string& at, Problem& p) { p.draws = read_draws(v, at); }},
};
// clang-format on

}  // namespace

std::vector<TensorSchema> tensor_schemas() {
    const auto schema = [](std::string_view name, const TensorRule& rule) {
        return TensorSchema{name, rule.min_rank, rule.max_rank};
    };
    return {schema("embeddings", embedding_rule), schema("projected", projected_rule),
            schema("per_token", per_token_rule)};
}

std::vector<KeySchema> all_keys() {
    std::vector<KeySchema> out;
    for (const Key& k : keys_table) out.push_back({k.name, k.schema});
    return out;
}

Problem read_problem(const Value& root) {
    static const auto known = [] {
        std::vector<std::string_view> v;
        for (const Key& k : keys_table) v.push_back(k.name);
        return v;
    }();
    check_members(root, "", known);
    Problem problem;
    for (const auto& [name, value] : root.members) {
        const std::string at = child("", name);
        for (const Key& k : keys_table)
            if (k.name == name) k.read(value, at, problem);
    }
    order_draws(root, problem);
    return problem;
}

}  // namespace attn
