#include "lib/input/read_options.hpp"

#include <array>
#include <cmath>

#include "lib/input/choices.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

void need_object(const Value& value, const std::string& pointer, std::string_view form) {
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() + ", expected " + std::string(form));
}

constexpr TensorRule turn_rule{2, 3, Elements::finite, "a table [token, dims/2] or [batch, token, dims/2]"};

}  // namespace

std::vector<double> read_per_head(const Value& value, const std::string& pointer, std::string_view what) {
    const TensorSource t = read_tensor(value, pointer, {1, 1, Elements::finite, what});
    if (t.kind != TensorSource::Kind::literal) fail(pointer, "is drawn, expected " + std::string(what));
    std::vector<double> out(static_cast<std::size_t>(t.numbers.size()));
    (t.as_float64 ? t.as_float64() : t.numbers).copy(std::span<double>(out));
    return out;
}

Rope read_rope(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 8> names{
        "base", "pairs", "dims", "positions", "query_positions", "key_positions", "cos", "sin"};
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
    if (const Value* v = value.find("dims")) {
        r.dims = read_integer(*v, at("dims"), 2, "a number of columns that turn");
        if (*r.dims % 2 != 0)
            fail(at("dims"), "is " + std::to_string(*r.dims) + ", which is odd: columns turn in pairs");
    }
    const auto places = [&](std::string_view name) -> std::optional<std::vector<double>> {
        const Value* v = value.find(name);
        if (!v) return std::nullopt;
        return read_numbers(*v, at(name), "positions, one per token");
    };
    r.positions = places("positions");
    r.query_positions = places("query_positions");
    r.key_positions = places("key_positions");
    if (r.positions && (r.query_positions || r.key_positions))
        fail_at_key(at("positions"),
                    "\"positions\" stands beside \"query_positions\" or \"key_positions\" in " + pointer +
                        ": they serve queries and keys");
    const Value *cos = value.find("cos"), *sin = value.find("sin");
    if (!cos && !sin) return r;
    if (!cos || !sin)
        fail(at(cos ? "cos" : "sin"),
             std::string("stands without its \"") + (cos ? "sin" : "cos") + "\": both are needed");
    for (const auto* other : {"base", "dims", "positions", "query_positions", "key_positions"})
        if (value.find(other))
            fail_at_key(at(other), "\"" + std::string(other) + "\" stands beside \"cos\" and \"sin\" in " +
                                       pointer + ": the tables hold the angles");
    r.cos = read_tensor(*cos, at("cos"), turn_rule);
    r.sin = read_tensor(*sin, at("sin"), turn_rule);
    if (r.cos->shape != r.sin->shape)
        fail(at("sin"), "is " + to_string(r.sin->shape) + ", but cos is " + to_string(r.cos->shape));
    return r;
}

QkNorm read_qk_norm(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 4> names{"type", "eps", "over", "plus_one"};
    need_object(value, pointer, "{\"type\": \"rms\"}");
    check_members(value, pointer, names);
    QkNorm n;
    n.type = static_cast<NormType>(read_choice(need(value, pointer, "type", "\"rms\", \"layer\" or \"l2\""),
                                               child(pointer, "type"), choice_names<NormType>()));
    if (const Value* v = value.find("eps")) {
        n.eps = read_number(*v, child(pointer, "eps"), "a small number that is added to the mean square");
        if (!(n.eps >= 0)) fail(child(pointer, "eps"), "is below 0");
    }
    if (const Value* v = value.find("over"))
        n.over_width = read_choice(*v, child(pointer, "over"), norm_over_names) == 1;
    if (const Value* v = value.find("plus_one"))
        n.plus_one = read_boolean(*v, child(pointer, "plus_one"), "plus_one");
    return n;
}

std::optional<Alibi> read_alibi(const Value& value, const std::string& pointer) {
    if (value.kind == Value::Kind::boolean) return value.boolean ? std::optional(Alibi{}) : std::nullopt;
    if (value.kind != Value::Kind::row && value.kind != Value::Kind::array)
        fail(pointer, "is " + value.describe() +
                          ", expected true (the paper's slopes) or a list of slopes, one per head");
    return Alibi{read_per_head(value, pointer, "slopes, one per head")};
}

std::optional<Gate> read_gate(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 3> names{"activation", "norm", "from"};
    static constexpr std::array<std::string_view, 1> norms{"rms"}, sources{"queries"};
    need_object(value, pointer, "{\"activation\": \"sigmoid\"}; {} has the defaults");
    check_members(value, pointer, names);
    Gate g;
    if (const Value* v = value.find("activation"))
        g.silu = read_choice(*v, child(pointer, "activation"), gate_activation_names) == 1;
    if (const Value* v = value.find("norm")) {
        read_choice(*v, child(pointer, "norm"), norms);
        g.norm = true;
    }
    if (const Value* v = value.find("from")) {
        read_choice(*v, child(pointer, "from"), sources);
        g.from_queries = true;
    }
    return g;
}

}  // namespace attn
