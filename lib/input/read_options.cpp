#include "lib/input/read_options.hpp"

#include <array>
#include <cmath>
#include <span>

#include "lib/input/choices.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {

void need_object(const Value& value, const std::string& pointer, std::string_view form) {
    if (value.kind != Value::Kind::object)
        fail(pointer, "is " + value.describe() + ", expected " + std::string(form));
}

std::vector<double> read_per_head(const Value& value, const std::string& pointer, std::string_view what) {
    const TensorSource t = read_tensor(value, pointer, {1, 1, Elements::finite, what});
    t.check_all();
    if (t.kind != TensorSource::Kind::literal) fail(pointer, "is drawn, expected " + std::string(what));
    std::vector<double> out(static_cast<std::size_t>(t.numbers.size()));
    (t.as_float64 ? t.as_float64() : t.numbers).copy(std::span<double>(out));
    return out;
}

// A geometric sequence for a power of two; for other numbers of heads, as the authors' code has it, every
// second slope of twice the next lower power of two follows.
std::vector<double> paper_slopes(Index heads) {
    const auto of_power = [](Index n) {
        std::vector<double> s;
        for (Index k = 1; k <= n; ++k)
            s.push_back(std::exp2(-8.0 * static_cast<double>(k) / static_cast<double>(n)));
        return s;
    };
    Index power = 1;
    while (2 * power <= heads) power *= 2;
    std::vector<double> out = of_power(power);
    const std::vector<double> more = of_power(2 * power);
    for (std::size_t k = 0; static_cast<Index>(out.size()) < heads; k += 2) out.push_back(more[k]);
    return out;
}

namespace {

double read_eps(const Value& value, const std::string& pointer, double otherwise) {
    const Value* v = value.find("eps");
    if (!v) return otherwise;
    const double eps =
        read_number(*v, child(pointer, "eps"), "a small number that is added to the mean square");
    if (!(eps >= 0)) fail(child(pointer, "eps"), "is below 0");
    return eps;
}

NormType read_rms_or_layer(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 2> types{choice_name(NormType::rms),
                                                           choice_name(NormType::layer)};
    const Value& type = need(value, pointer, "type", "\"rms\" or \"layer\"");
    return static_cast<NormType>(read_choice(type, child(pointer, "type"), types));
}

/// The one word that a member may be.
bool read_word(const Value& value, const std::string& pointer, std::string_view name, std::string_view word) {
    const Value* v = value.find(name);
    if (!v) return false;
    read_choice(*v, child(pointer, name), std::array{word});
    return true;
}

}  // namespace

QkNorm read_qk_norm(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 5> names{"type", "eps", "over", "plus_one", "after"};
    need_object(value, pointer, "{\"type\": \"rms\"}");
    check_members(value, pointer, names);
    QkNorm n;
    n.type = static_cast<NormType>(read_choice(need(value, pointer, "type", "\"rms\", \"layer\" or \"l2\""),
                                               child(pointer, "type"), choice_names<NormType>()));
    n.eps = read_eps(value, pointer, n.eps);
    if (const Value* v = value.find("over"))
        n.over_width = read_choice(*v, child(pointer, "over"), norm_over_names) == 1;
    if (const Value* v = value.find("plus_one"))
        n.plus_one = read_boolean(*v, child(pointer, "plus_one"), "plus_one");
    n.after_rope = read_word(value, pointer, "after", "rope");
    if (n.after_rope && n.over_width)
        fail(child(pointer, "after"), "is \"rope\", but \"over\" is \"width\": heads are rotated one by one");
    return n;
}

ValueNorm read_value_norm(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 2> names{"type", "eps"};
    need_object(value, pointer, "{\"type\": \"rms\"}");
    check_members(value, pointer, names);
    need(value, pointer, "type", "\"rms\"");
    read_word(value, pointer, "type", "rms");
    ValueNorm n;
    n.eps = read_eps(value, pointer, n.eps);
    return n;
}

ConcatNorm read_concat_norm(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 2> names{"type", "eps"};
    need_object(value, pointer, "{\"type\": \"rms\"}");
    check_members(value, pointer, names);
    ConcatNorm n;
    n.type = read_rms_or_layer(value, pointer);
    n.eps = read_eps(value, pointer, n.eps);
    return n;
}

EmbeddingsNorm read_embeddings_norm(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 6> names{"type", "eps",    "plus_one",
                                                           "keys", "weight", "bias"};
    need_object(value, pointer, "{\"type\": \"rms\"}");
    check_members(value, pointer, names);
    EmbeddingsNorm n;
    n.type = read_rms_or_layer(value, pointer);
    n.eps = read_eps(value, pointer, n.eps);
    const auto flag = [&](const char* name) {
        const Value* v = value.find(name);
        return v && read_boolean(*v, child(pointer, name), name);
    };
    n.plus_one = flag("plus_one");
    n.keys = flag("keys");
    const auto vector = [&](const char* name, std::optional<TensorSource>& to) {
        if (const Value* v = value.find(name))
            to = read_tensor(*v, child(pointer, name),
                             {1, 1, Elements::finite, "a vector, one number per column"});
    };
    vector("weight", n.weight);
    vector("bias", n.bias);
    if (n.bias && n.type != NormType::layer)
        fail(child(pointer, "bias"), "is the bias of a norm, but \"type\" is no layer norm");
    if (n.plus_one && !n.weight)
        fail(child(pointer, "plus_one"), "is true, but there is no \"weight\" that is stored less one");
    return n;
}

Clip read_clip(const Value& value, const std::string& pointer) {
    Clip c;
    std::string at = pointer;
    const Value* number = &value;
    if (value.kind == Value::Kind::object) {
        static constexpr std::array<std::string_view, 2> names{"max", "after"};
        check_members(value, pointer, names);
        number = &need(value, pointer, "max", "the bound c of -c ... c");
        at = child(pointer, "max");
        c.after_norm = read_word(value, pointer, "after", "norm");
    }
    c.max = read_number(*number, at, "the bound c of -c ... c");
    if (!(c.max > 0)) fail(at, "is not above 0: numbers are clamped to -c ... c");
    return c;
}

QueryScale read_query_scale(const Value& value, const std::string& pointer) {
    QueryScale s;
    const auto at = [&](const char* name) { return child(pointer, name); };
    if (value.kind == Value::Kind::object &&
        (value.find("beta") || value.find("every") || value.find("shift"))) {
        static constexpr std::array<std::string_view, 3> names{"beta", "every", "shift"};
        check_members(value, pointer, names);
        s.beta = read_number(need(value, pointer, "beta", "the factor of the logarithm"), at("beta"),
                             "the factor of the logarithm");
        s.every = read_number(need(value, pointer, "every", "positions of one step"), at("every"),
                              "positions of one step");
        if (!(s.every > 0)) fail(at("every"), "is not above 0");
        if (const Value* v = value.find("shift")) {
            s.shift = read_integer(*v, at("shift"), 0, "what is added to positions, 0 or 1");
            if (s.shift > 1) fail(at("shift"), "is above 1, expected 0 or 1");
        }
        return s;
    }
    constexpr std::string_view form = "factors [query], [head, query] or [batch, head, query]";
    const TensorSource t = read_tensor(value, pointer, {1, 3, Elements::finite, form});
    t.check_all();
    if (t.kind != TensorSource::Kind::literal) fail(pointer, "is drawn, expected " + std::string(form));
    s.shape = t.shape;
    s.numbers.resize(static_cast<std::size_t>(t.numbers.size()));
    (t.as_float64 ? t.as_float64() : t.numbers).copy(std::span<double>(s.numbers));
    return s;
}

std::optional<Alibi> read_alibi(const Value& value, const std::string& pointer) {
    if (value.kind == Value::Kind::boolean) return value.boolean ? std::optional(Alibi{}) : std::nullopt;
    if (value.kind != Value::Kind::row && value.kind != Value::Kind::array)
        fail(pointer, "is " + value.describe() +
                          ", expected true (the paper's slopes) or a list of slopes, one per head");
    return Alibi{read_per_head(value, pointer, "slopes, one per head")};
}

Conv read_conv(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 1> names{"activation"};
    need_object(value, pointer, "{\"activation\": \"silu\"}; {} has the defaults");
    check_members(value, pointer, names);
    Conv c;
    if (const Value* v = value.find("activation"))
        c.silu = read_choice(*v, child(pointer, "activation"), conv_activation_names) == 1;
    return c;
}

std::optional<Gate> read_gate(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 5> names{"activation", "norm", "over", "eps", "from"};
    static constexpr std::array<std::string_view, 1> norms{"rms"}, sources{"queries"};
    need_object(value, pointer, "{\"activation\": \"sigmoid\"}; {} has the defaults");
    check_members(value, pointer, names);
    Gate g;
    if (const Value* v = value.find("activation"))
        g.activation = static_cast<GateActivation>(
            read_choice(*v, child(pointer, "activation"), choice_names<GateActivation>()));
    if (const Value* v = value.find("norm")) {
        read_choice(*v, child(pointer, "norm"), norms);
        g.norm = true;
    }
    for (const char* of_norm : {"over", "eps"})
        if (value.find(of_norm) && !g.norm)
            fail(child(pointer, of_norm), "is of the gate's norm, but there is no \"norm\"",
                 "\"norm\": \"rms\" normalises the context before the gate");
    if (const Value* v = value.find("over"))
        g.over_width = read_choice(*v, child(pointer, "over"), norm_over_names) == 1;
    g.eps = read_eps(value, pointer, g.eps);
    if (const Value* v = value.find("from")) {
        read_choice(*v, child(pointer, "from"), sources);
        g.from_queries = true;
    }
    return g;
}

}  // namespace attn
