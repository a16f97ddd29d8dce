// The rotary embedding of a document, and how its angles are scaled.
#include <array>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "lib/input/choices.hpp"
#include "lib/input/read_options.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

constexpr TensorRule turn_rule{
    2, 3, Elements::finite,
    "a table [token, dims/2] or [batch, token, dims/2], or one of the whole width: dims for dims/2"};

using Type = RopeScalingType;
using ScalingTypes = unsigned;
constexpr ScalingTypes only(std::initializer_list<Type> types) {
    ScalingTypes out = 0;
    for (const Type t : types) out |= 1U << static_cast<unsigned>(t);
    return out;
}
constexpr ScalingTypes all_types = ~0U;

/// THE TABLE of numbers of a scaling: its name in config.json, the least that it has to be above, and the
/// types that it means something to.
struct ScalingNumber {
    std::string_view name;
    std::optional<double> RopeScaling::*member;
    double above;
    ScalingTypes types;
};
constexpr double none_below = -1e300;
constexpr std::array scaling_numbers{
    ScalingNumber{
        "factor", &RopeScaling::factor, 0,
        only({Type::linear, Type::dynamic, Type::llama3, Type::yarn, Type::longrope, Type::proportional})},
    ScalingNumber{"attention_factor", &RopeScaling::attention_factor, 0, only({Type::yarn, Type::longrope})},
    ScalingNumber{"max_position_embeddings", &RopeScaling::max_position_embeddings, 0, all_types},
    ScalingNumber{"original_max_position_embeddings", &RopeScaling::original_max_position_embeddings, 0,
                  all_types},
    ScalingNumber{"beta_fast", &RopeScaling::beta_fast, 0, only({Type::yarn})},
    ScalingNumber{"beta_slow", &RopeScaling::beta_slow, 0, only({Type::yarn})},
    ScalingNumber{"mscale", &RopeScaling::mscale, none_below, only({Type::yarn})},
    ScalingNumber{"mscale_all_dim", &RopeScaling::mscale_all_dim, none_below, only({Type::yarn})},
    ScalingNumber{"low_freq_factor", &RopeScaling::low_freq_factor, 0, only({Type::llama3})},
    ScalingNumber{"high_freq_factor", &RopeScaling::high_freq_factor, 0, only({Type::llama3})},
    ScalingNumber{"partial_rotary_factor", &RopeScaling::partial_rotary_factor, 0,
                  only({Type::proportional})},
};
/// Those with one number for each pair.
constexpr std::array<std::pair<std::string_view, std::optional<std::vector<double>> RopeScaling::*>, 2>
    scaling_lists{{{"short_factor", &RopeScaling::short_factor}, {"long_factor", &RopeScaling::long_factor}}};

RopeScaling read_scaling(const Value& value, const std::string& pointer) {
    static const auto names = [] {
        std::vector<std::string_view> out{"type", "rope_type", "truncate"};
        for (const ScalingNumber& n : scaling_numbers) out.push_back(n.name);
        for (const auto& list : scaling_lists) out.push_back(list.first);
        return out;
    }();
    need_object(value, pointer, "{\"type\": \"linear\", \"factor\": 8}");
    check_members(value, pointer, names);
    const auto at = [&](std::string_view name) { return child(pointer, name); };
    RopeScaling s;
    const auto type_of = [&](const Value& v, std::string_view name) {
        for (const auto& [word, meant] : rope_scaling_words)
            if (v.kind == Value::Kind::string && v.text == word) return meant;
        return static_cast<Type>(read_choice(v, at(name), choice_names<Type>()));
    };
    const Value *type = value.find("type"), *rope_type = value.find("rope_type");
    if (!type && !rope_type) need(value, pointer, "type", "\"linear\", \"llama3\", \"yarn\", ...");
    s.type = type ? type_of(*type, "type") : type_of(*rope_type, "rope_type");
    if (type && rope_type && type_of(*rope_type, "rope_type") != s.type)
        fail(at("rope_type"), "is \"" + rope_type->text + "\", but \"type\" is \"" + type->text + "\"");
    const auto for_types = [&](std::string_view name, ScalingTypes types) {
        if ((types & only({s.type})) == 0)
            fail_at_key(at(name), "\"" + std::string(name) + "\" in " + pointer +
                                      " means nothing to a scaling of type \"" +
                                      std::string(choice_name(s.type)) + "\"");
    };
    for (const ScalingNumber& n : scaling_numbers) {
        const Value* v = value.find(n.name);
        if (!v) continue;
        for_types(n.name, n.types);
        const double number = read_number(*v, at(n.name), n.name);
        if (!(number > n.above)) fail(at(n.name), "is not above 0");
        s.*n.member = number;
    }
    for (const auto& [name, member] : scaling_lists) {
        const Value* v = value.find(name);
        if (!v) continue;
        for_types(name, only({Type::longrope}));
        s.*member = read_numbers(*v, at(name), "factors, one per pair of columns");
        for (std::size_t k = 0; k < (s.*member)->size(); ++k)
            if (!((*(s.*member))[k] > 0)) fail(child(at(name), static_cast<Index>(k)), "is not above 0");
    }
    if (const Value* v = value.find("truncate")) {
        for_types("truncate", only({Type::yarn}));
        s.truncate = read_boolean(*v, at("truncate"), "whether the ends of the ramp are whole pairs");
    }
    return s;
}

/// The tables of cosines and sines, where there are any.
void read_tables(const Value& value, const std::string& pointer, Rope& r) {
    const auto at = [&](std::string_view name) { return child(pointer, name); };
    const Value *cos = value.find("cos"), *sin = value.find("sin");
    if (!cos && !sin) return;
    if (!cos || !sin)
        fail(at(cos ? "cos" : "sin"),
             std::string("stands without its \"") + (cos ? "sin" : "cos") + "\": both are needed");
    for (const auto* other : {"base", "positions", "query_positions", "key_positions", "scaling"})
        if (value.find(other))
            fail_at_key(at(other), "\"" + std::string(other) + "\" stands beside \"cos\" and \"sin\" in " +
                                       pointer + ": the tables hold the angles");
    r.cos = read_tensor(*cos, at("cos"), turn_rule);
    r.sin = read_tensor(*sin, at("sin"), turn_rule);
    if (r.cos->shape != r.sin->shape)
        fail(at("sin"), "is " + to_string(r.sin->shape) + ", but cos is " + to_string(r.cos->shape));
}

}  // namespace

Rope read_rope(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 10> names{
        "base",          "pairs",   "dims", "positions", "query_positions",
        "key_positions", "scaling", "cos",  "sin",       "reverse"};
    need_object(value, pointer, "{\"base\": 10000, \"pairs\": \"half\"}; {} has the defaults");
    check_members(value, pointer, names);
    const auto at = [&](std::string_view name) { return child(pointer, name); };
    Rope r;
    if (const Value* v = value.find("base")) {
        r.base = read_number(*v, at("base"), "the base of the angles");
        if (!(r.base > 0)) fail(at("base"), "is not above 0: pair n turns by position * base^(-2n/dims)");
    }
    if (const Value* v = value.find("pairs"))
        r.interleaved = read_choice(*v, at("pairs"), rope_pair_names) == 1;
    if (const Value* v = value.find("reverse"))
        r.reverse = read_boolean(*v, at("reverse"), "whether pairs turn by minus the angle");
    if (const Value* v = value.find("dims")) {
        r.dims = read_integer(*v, at("dims"), 2, "a number of columns that turn");
        if (*r.dims % 2 != 0)
            fail(at("dims"), "is " + std::to_string(*r.dims) + ", which is odd: columns turn in pairs");
    }
    const auto places = [&](std::string_view name) -> std::optional<Places> {
        const Value* v = value.find(name);
        if (!v) return std::nullopt;
        return read_places(*v, at(name), "positions, one per token");
    };
    r.positions = places("positions");
    r.query_positions = places("query_positions");
    r.key_positions = places("key_positions");
    if (r.positions && (r.query_positions || r.key_positions))
        fail_at_key(at("positions"),
                    "\"positions\" stands beside \"query_positions\" or \"key_positions\" in " + pointer +
                        ": they serve queries and keys");
    if (const Value* v = value.find("scaling")) r.scaling = read_scaling(*v, at("scaling"));
    read_tables(value, pointer, r);
    return r;
}

}  // namespace attn
