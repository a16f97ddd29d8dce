// Rules of what comes before the scores, and of a state.
#include "lib/render/pictures/page_ruler.hpp"

namespace attn::page_rules {

void Ruler::projection(const PlannedStage& s) {
    const bool is_query = s.stage == Stage::queries;
    const WeightRole role = is_query                 ? WeightRole::query
                            : s.stage == Stage::keys ? WeightRole::key
                                                     : WeightRole::value;
    const std::size_t tensor = is_query                 ? *plan.query_input
                               : s.stage == Stage::keys ? *plan.key_input
                                                        : *plan.value_input;
    const bool twice = plan.gate && plan.gate->from_queries;
    const Index dim = is_query                 ? plan.query_dim * (twice ? 2 : 1)
                      : s.stage == Stage::keys ? plan.key_dim
                                               : plan.value_dim;
    const Text column = "h*" + digits(dim) + "+j";
    if (!plan.projects(role)) {
        if (plan.projected_given)
            return out.result(input(tensor, "h",
                                    is_query                 ? plan.query_heads()
                                    : s.stage == Stage::keys ? plan.key_heads()
                                                             : plan.value_heads(),
                                    "i", "j"));
        return out.result(embedded(tensor, "i", column));
    }
    if (plan.variant->is_latent() && (!is_query || plan.projects(WeightRole::query_latent)))
        return out.result(projected(role, column, cell(s.reads.front(), "0", "i", "k")));
    clamped(s, projected(role, column, embedded(tensor, "i", "k")));
}

void Ruler::clamped(const PlannedStage& s, const Text& e) {
    const std::optional<double> limit = plan.limit_of(s.stage);
    if (!limit) return out.result(e);
    out.let("unclamped", "unclamped", e);
    out.when("unclamped > " + digits(*limit), digits(*limit), "clamped");
    out.when("unclamped < " + digits(-*limit), digits(-*limit), "clamped");
    out.result("unclamped");
}

/// The number that a norm divides by, and the mean before it where there is one; `x` is number k of n.
void Ruler::root_of(NormType type, double eps, Index n, const Text& x) {
    const bool centred = type == NormType::layer;
    const Text all = "sum(k, 0, " + digits(n) + ", ";
    if (centred) out.let("mean", "mean", all + x + ") / " + digits(n));
    const Text squares = all + "sq(" + x + (centred ? " - mean" : "") + "))";
    if (type == NormType::l2)
        out.let("size", "sum of squares", squares);
    else
        out.let("size", centred ? "variance" : "mean of squares", squares + " / " + digits(n));
    out.let("root", "root", "sqrt(size + " + digits(eps) + ")");
}

void Ruler::norm(const PlannedStage& s) {
    const PlannedNorm& norm = plan.norm_of(s.stage);
    const Index dim = s.shape.back(), heads = has_heads(s.family) ? s.shape[1] : 1;
    const auto x = [&](const Text& head, const Text& column) {
        if (!is_embeddings(s.stage)) return cell(s.reads.front(), head, "i", column);
        return input(s.stage == Stage::normed_embeddings ? *plan.query_input : *plan.key_input, "0", 1, "i",
                     column);
    };
    root_of(norm.type, norm.eps, norm.over_width ? heads * dim : dim,
            norm.over_width ? x("k//" + digits(dim), "k%" + digits(dim)) : x("h", "k"));
    Text e = x("h", "j");
    e = (norm.type == NormType::layer ? "(" + e + " - mean)" : e) + " / root";
    const Text at = norm.by_head ? "h*" + digits(dim) + "+j" : "j";
    if (norm.weight) {
        const Text g = input(*norm.weight, at);
        e += " * " + (norm.plus_one ? "(1 + " + g + ")" : g);
    }
    if (norm.factor != 1) e += " * (1 - " + digits(plan.differential->init) + ")";
    if (norm.bias) e += " + " + input(*norm.bias, at);
    clamped(s, e);
}

/// (a, b) becomes (a cos - b sin, a sin + b cos); `x` is a column, `first` the first that turns.
void Ruler::turned(const Text& first, bool of_queries, const std::function<Text(const Text&)>& x, bool back) {
    const PlannedRope& rope = *plan.rope;
    const bool reverse = rope.reverse != back;
    const Text k = "(j-" + first + ")", half = digits(rope.pairs());
    const Text pair = rope.interleaved ? "(" + k + "//2)" : "(" + k + "%" + half + ")";
    const Text a = first + (rope.interleaved ? "+2*" : "+") + pair,
               b = a + "+" + (rope.interleaved ? "1" : half);
    if (rope.cos) {
        const Shape& s = plan.tensors[*rope.cos].shape;
        const Text item = s.size() == 3 && s[0] > 1 ? "b" : "0";
        const Text flat = "(" + item + "*" + digits(s[s.size() - 2]) + "+i)*" + digits(s.back()) + "+" +
                          (rope.by_column ? k : pair);
        out.let("cosine", "cos", input(*rope.cos, flat));
        out.let("sine", "sin", input(*rope.sin, flat));
    } else {
        const Places& places = rope.positions(of_queries);
        const Text token = places.items > 1 ? "b*" + digits(places.tokens()) + "+i" : "i";
        out.let("angle", "angle",
                Text(of_queries ? "query_position" : "key_position") + "[" + token + "] * " +
                    digits(rope.base) + " ^ (int(-2*" + pair + ") / " + digits(rope.dims) + ")" +
                    (rope.frequency_factors.empty() ? "" : " * frequency_factor[" + pair + "]"));
        const Text times = rope.amplitude == 1 ? "" : digits(rope.amplitude) + " * ";
        out.let("cosine", "cos", times + "cos(angle)");
        out.let("sine", "sin", times + "sin(angle)");
    }
    const Text first_sign = reverse ? " + " : " - ";
    out.when("j == " + a, x(a) + " * cosine" + first_sign + x(b) + " * sine");
    out.result(reverse ? x(b) + " * cosine - " + x(a) + " * sine" : x(a) + " * sine + " + x(b) + " * cosine");
}

void Ruler::rotation(const PlannedStage& s) {
    const PlannedRope& rope = *plan.rope;
    if (s.stage == Stage::rope_keys)
        return turned("0", false, [&](const Text& c) {
            return "as(\"unrotated key\", " +
                   projected(WeightRole::rope_key, c, embedded(*plan.key_input, "i", "k")) + ")";
        });
    const bool of_queries = s.stage == Stage::rotated_queries;
    const Stage from = s.reads.front();
    if (!of_queries && plan.find(Stage::rope_keys)) {
        out.when("j < " + digits(plan.key_dim), cell(from, "h", "i", "j"));
        return out.result(cell(Stage::rope_keys, "0", "i", "j-" + digits(plan.key_dim)));
    }
    const Index first = of_queries ? rope.first_query : 0;
    out.when("j < " + digits(first) + " | j >= " + digits(first + rope.dims), cell(from, "h", "i", "j"),
             "does not turn");
    turned(digits(first), of_queries, [&](const Text& c) { return cell(from, "h", "i", c); });
}

void Ruler::convolved(const PlannedStage& s) {
    const PlannedConv& conv = *plan.conv;
    const PlannedConv::Part& part = conv.of(s.stage);
    const Text taps = digits(conv.taps), channel = "h*" + digits(s.shape.back()) + "+j";
    const Text tap = input(part.weight, "(" + digits(part.first) + "+" + channel + ")*" + taps + "+k");
    Text z;
    if (conv.past)
        z = "sum(k, 0, " + taps + ", i+k+1 < " + taps + ", " +
            input(*conv.past, "(b*" + digits(conv.width) + "+" + digits(part.past) + "+" + channel + ")*" +
                                  digits(conv.taps - 1) + "+i+k") +
            " * " + tap + ") + ";
    z += "sum(k, 0, " + taps + ", i+k+1 >= " + taps + ", " +
         cell(s.reads.front(), "h", "i+k+1-" + taps, "j") + " * " + tap + ")";
    if (part.bias) z += " + " + input(*part.bias, digits(part.first) + "+" + channel);
    if (!conv.silu) return out.result(z);
    out.let("z", "z", z);
    out.result("z / (1 + exp(-z))");
}

void Ruler::feature_map(const PlannedStage& s) {
    const Text x = cell(s.reads.front(), "h", "i", "j");
    switch (*plan.state->feature_map) {
        case FeatureMap::elu1:
            out.when(x + " > 0", x + " + 1");
            return out.result("exp(" + x + ")");
        case FeatureMap::relu:
            return out.result("max(0, " + x + ")");
        case FeatureMap::silu:
            return out.result(x + " / (1 + exp(-" + x + "))");
        case FeatureMap::identity:
            return out.result(x);
    }
}

void Ruler::per_key(const PlannedStage& s) {
    const PlannedState& state = *plan.state;
    const bool is_decay = s.stage == Stage::decay, by_column = s.family == StageShape::key_dim;
    const Index width = !by_column ? 1 : is_decay ? plan.dim : plan.value_dim;
    const Text token = by_column ? "i" : "j", column = by_column ? "j" : "0";
    const Text factor = is_decay || state.beta_factor == 1 ? "" : digits(state.beta_factor) + " * ";
    if (const auto& given = is_decay ? state.decay : state.beta) {
        const Shape& shape = plan.tensors[*given].shape;
        const auto on = [&](std::size_t axis, const Text& n) { return shape[axis] > 1 ? n : Text("0"); };
        Text flat = "((" + on(0, "b") + "*" + digits(shape[1]) + "+" + on(1, "h") + ")*" + digits(shape[2]) +
                    "+" + on(2, token) + ")";
        if (shape.size() == 4) flat += "*" + digits(shape[3]) + "+" + on(3, column);
        return out.result(factor + input(*given, flat));
    }
    out.let("x", "x",
            projected(is_decay ? WeightRole::decay : WeightRole::beta, "h*" + digits(width) + "+" + column,
                      embedded(*plan.key_input, token, "k")));
    if (!is_decay) return out.result(factor + "1 / (1 + exp(-x))");
    const Text y = state.bias ? "(x + " + input(*state.bias, "h") + ")" : "x";
    const Text rate = state.log_rate ? "exp(" + input(*state.log_rate, "h") + ") * " : "";
    out.when(y + " > 30", "-(" + rate + y + ")", "ln(1 + e^x) is x for a large x");
    out.result("-(" + rate + "ln(1 + exp(" + y + ")))");
}

void Ruler::joined(const PlannedStage& s) {
    const bool keys = s.stage == Stage::all_keys;
    const Text past = digits(plan.past);
    out.when("i >= " + past + " & i < " + digits(plan.given_keys()),
             cell(s.reads.front(), "h", "i-" + past, "j"));
    if (plan.past_latent) {
        const Index width = keys ? plan.key_dim : plan.value_dim;
        if (keys && plan.past_rope_keys)
            out.when("i < " + past + " & j >= " + digits(width),
                     input(*plan.past_rope_keys, "0", 1, "i", "j-" + digits(width)));
        out.when("i < " + past,
                 projected(keys ? WeightRole::key : WeightRole::value, "h*" + digits(width) + "+j",
                           input(*plan.past_latent, "0", 1, "i", "k")));
    } else if (plan.past > 0) {
        out.when("i < " + past, input(keys ? *plan.past_keys : *plan.past_values, "h",
                                      keys ? plan.kv_heads : plan.value_heads(), "i", "j"));
    }
    if (const auto& appended = keys ? plan.bias_k : plan.bias_v)
        out.when("i == " + digits(plan.given_keys()),
                 input(*appended, "h*" + digits(keys ? plan.dim : plan.value_dim) + "+j"));
    out.result("0");
}

/// Of variants with a state.
void Ruler::state_context() {
    const Text kv = kv_of("h"), last = digits(plan.keys - 1);
    const auto query = [&](const char* d) { return cell(made_of(0), grouped("h"), "i", d); };
    const auto key = [&](const char* token, const char* d) {
        return cell(made_of(1), grouped(kv), token, d);
    };
    out.let("after", "", plan.causal ? "min(max(i + offset[b], -1), " + last + ")" : last);
    Text divisor;
    if (plan.state->normalizer) {
        Text share = key("s", "d");
        if (plan.state->decays) {
            const Text g = plan.state->decay_by_column ? cell(Stage::decay, kv, "u", "d")
                                                       : cell(Stage::decay, kv, "0", "u");
            share = "exp(sum(u, s+1, after+1, " + g + ")) * " + share;
        }
        out.let("divisor", "divisor",
                "sum(d, 0, " + digits(plan.dim) + ", " + query("d") +
                    " * as(\"sum of keys\", sum(s, 0, after+1, " + share + ")))");
        divisor = " / divisor";
    }
    const auto read = [&](const Text& state) {
        const Text e = "sum(d, 0, " + digits(plan.dim) + ", " + query("d") + " * " + state + ")";
        if (!plan.scaled) return e + divisor;
        if (plan.scale_root > 0) return e + " / sqrt(" + digits(plan.scale_root) + ")" + divisor;
        return digits(plan.scale) + " * (" + e + ")" + divisor;
    };
    if (plan.causal) out.when("after < 0", read(first_state(kv, "d", "j")));
    out.result(read(cell(Stage::states, kv, "d", "j", "after")));
}

void Ruler::states() {
    const Text n = digits(plan.dim);
    const auto key = [&](const char* d) { return cell(made_of(1), grouped("h"), "t", d); };
    const auto step = [&](const Text& condition, const std::function<Text(const char*)>& old) {
        Text change = cell(values_stage(), "h", "t", "j");
        if (plan.state->delta) {
            change += " - as(\"answer\", sum(d, 0, " + n + ", " + key("d") + " * (" +
                      decayed("h", "t", "d", old("d")) + ")))";
            change = "(" + change + ")";
            if (plan.state->has_beta)
                change = (plan.state->beta_by_column ? cell(Stage::beta, "h", "t", "j")
                                                     : cell(Stage::beta, "h", "0", "t")) +
                         " * " + change;
        }
        out.when(condition, decayed("h", "t", "i", old("i")) + " + " + key("i") + " * " + change);
    };
    step("t == 0", [&](const char* row) { return first_state("h", row, "j"); });
    step("", [&](const char* row) { return cell(Stage::states, "h", row, "j", "t-1"); });
}

}  // namespace attn::page_rules
