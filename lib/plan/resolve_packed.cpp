// Queries, keys and values in one matrix.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "lib/input/choices.hpp"
#include "lib/plan/weight_resolver.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array sides{WeightRole::query, WeightRole::key, WeightRole::value};

WeightRole side_of(char letter) {
    return letter == 'q'   ? WeightRole::query
           : letter == 'k' ? WeightRole::key
           : letter == 'v' ? WeightRole::value
                           : WeightRole::gate;
}

}  // namespace

/// Settings of packed weights where there are none.
void Resolver::refuse_packing(const NamedWeights& set, const Slots& slots) const {
    const auto refuse = [&](bool given, const char* name) {
        if (given)
            fail(child(set.pointer, name),
                 "says how queries, keys and values are packed, but no weight holds "
                 "all of them",
                 "such weights are called qkv_proj.weight, query_key_value.weight, Wqkv.weight, ...");
    };
    refuse(set.packed.has_value(), "packed");
    refuse(set.order.has_value(), "order");
    refuse(set.packed_blocks.has_value(), "packed_blocks");
    const NamedTensor* bias = slots.bias[slot(WeightRole::packed)];
    // in_proj_bias goes with q_proj_weight, k_proj_weight, v_proj_weight as well.
    if (bias && weight_named(bias->name)->family != WeightFamily::multihead)
        fail(bias->tensor.pointer,
             "is a bias without its weight: there is no \"" + sibling_name(slots, WeightRole::packed) + "\"");
}

/// How wide a value is where a packed matrix has keys of another width: as another weight or the cache says;
/// or the one width that its outputs allow.
Index Resolver::value_width(const Slots& slots, const NamedWeights& set, Index values,
                            const PackedOutputs& of_matrix) const {
    const auto each = [](Index all, Index heads) { return all % heads == 0 ? all / heads : Index{0}; };
    // Contexts and gates: of each head of queries, or of values where these are more.
    const Index contexts = std::max(plan_.heads, values);
    if (const NamedTensor* out = slots.weight[slot(WeightRole::output)]; out && out->tensor.shape.size() == 2)
        return each(out->tensor.shape[is_out_in(*out, set) ? 1 : 0], contexts);
    if (const NamedTensor* conv = slots.weight[slot(WeightRole::value_conv)])
        return each(conv->tensor.shape.front(), values);
    if (const NamedTensor* gate = slots.weight[slot(WeightRole::gate)]) {
        const Index outputs = gate->tensor.shape[is_out_in(*gate, set) ? 0 : 1];
        if (outputs != contexts) return each(outputs, contexts);
    }
    if (b_.problem.past_state) return b_.problem.past_state->shape.back();
    std::vector<Index> widths;
    for (Index key = 1; of_matrix.key_parts * key < of_matrix.outputs; ++key)
        if (const Index rest = of_matrix.outputs - of_matrix.key_parts * key;
            rest % of_matrix.value_parts == 0)
            widths.push_back(rest / of_matrix.value_parts);
    if (widths.size() > 1)
        fail(of_matrix.pointer,
             "has " + std::to_string(of_matrix.outputs) + " outputs, which are keys and values of " +
                 std::to_string(widths.size()) + " widths: values of " + std::to_string(widths.back()) +
                 " to " + std::to_string(widths.front()) + " columns",
             "norm.weight, the output projection, W_gate, v_conv1d.weight or past_state says how wide a "
             "value is");
    return widths.empty() ? 0 : widths.front();
}

/// The rows (outputs) of queries, keys and values in a packed matrix: in blocks, in each of which some heads
/// of queries, of keys and of values stand one after another.
void Resolver::packed(NamedTensor& t, const NamedWeights& set, const Slots& slots) {
    const WeightName& name = *weight_named(t.name);
    const std::optional<Gate>& gate = b_.problem.gate;
    if (name.with_gate && (!(gate || plan_.variant->gated) || (gate && gate->from_queries)))
        fail_at_key(t.tensor.pointer,
                    "\"" + t.name + "\" holds a gate as well, but " +
                        (gate ? "the gate is made from the queries" : "there is no \"gate\""),
                    "\"gate\": {\"activation\": \"silu\", \"norm\": \"rms\"} is that of gated delta nets");
    if (const NamedTensor* other = slots.weight[slot(WeightRole::gate)]; other && name.with_gate)
        fail_at_key(other->tensor.pointer,
                    "\"" + other->name + "\" stands beside the gate in \"" + t.name + "\"");
    const Shape s = t.tensor.shape;
    const bool list = plan_.variant->weights_list;
    plan_.heads = list ? 1 : b_.problem.num_heads.value_or(1);
    plan_.kv_heads =
        list ? 1 : b_.problem.num_kv_heads.value_or(plan_.variant->one_kv_head ? 1 : plan_.heads);
    check_groups(b_, b_.problem.num_kv_heads ? "/num_kv_heads" : "/num_heads", "asks for");
    const Index heads = plan_.heads, kv = plan_.kv_heads, values = b_.problem.num_value_heads.value_or(kv);
    c_attn_is_out_in_ = name.family != WeightFamily::gpt2 || s[0] == 3 * s[1] ||
                        (s[1] != 3 * s[0] && s[1] == of(WeightRole::query).d_in);
    const bool out_in = set.out_in.value_or(c_attn_is_out_in_);
    const Index d_in = out_in ? s[1] : s[0], outputs = out_in ? s[0] : s[1];
    const bool of_torch = name.family == WeightFamily::multihead;
    for (const WeightRole r : sides) {
        if (of(r).d_in == d_in) continue;
        const Index wanted = of(r).d_in;
        fail(t.tensor.pointer,
             "is " + to_string(s) + ", and " + input_name(r) + " are " + to_string(input_shape(r)) +
                 (name.family == WeightFamily::linear
                      ? ": expected " + std::string(out_in ? "[d_out, " : "[") + std::to_string(wanted) +
                            (out_in ? "]" : ", d_out]")
                      : ": expected [3E, E] with E = " + std::to_string(wanted)),
             of_torch ? "inputs of other widths take q_proj_weight, k_proj_weight, v_proj_weight" : "");
    }
    if ((of_torch || (name.family == WeightFamily::gpt2 && heads == kv)) && outputs != 3 * d_in)
        fail(t.tensor.pointer, "is " + to_string(s) + ", expected [3E, E]: [" + std::to_string(3 * d_in) +
                                   ", " + std::to_string(d_in) + "]");
    // Beside each query may stand its gate.
    const Index wide = gate && gate->from_queries ? 2 : 1;
    // The norm of the context knows how wide a value is; else it is as wide as a key.
    const NamedTensor* norm = slots.bias[slot(WeightRole::context_norm)];
    const bool normed = norm && gate && gate->norm && !gate->over_width;
    // A delta net's values are of another width than its keys.
    const bool apart = name.with_gate || (name.style == "in_proj_qkv" && plan_.variant->keeps_state());
    const Index value_parts = values * (name.with_gate ? 2 : 1), key_parts = wide * heads + kv;
    const Index width =
        normed  ? *element_count(norm->tensor.shape)
        : apart ? value_width(slots, set, values, {outputs, key_parts, value_parts, t.tensor.pointer})
                : 0;
    const bool knows = width > 0;
    const Index of_values = value_parts * width;
    const Index parts = key_parts + (knows ? 0 : value_parts);
    if (outputs <= of_values || (outputs - of_values) % parts != 0)
        fail(t.tensor.pointer,
             "is " + to_string(s) + ": " + std::to_string(outputs) + " outputs are no queries of " +
                 how_many(heads, "head", "heads") + (wide > 1 ? " and their gates" : "") +
                 " with keys and values of " + (values == kv ? "" : std::to_string(kv) + " and ") +
                 how_many(values, "head", "heads") + ", expected a multiple of " + std::to_string(parts) +
                 (knows ? " beside " + std::to_string(of_values) + " of values" : ""));
    const Index dim = (outputs - of_values) / parts, value_dim = knows ? of_values / value_parts : dim;
    const PackedLayout layout = set.packed.value_or(name.packed_layout);
    if (layout == PackedLayout::heads && heads != kv)
        fail(child(set.pointer, "packed"),
             "is \"heads\": query, key and value of each head, but there are " +
                 how_many(heads, "head", "heads") + " of queries and " + std::to_string(kv) +
                 " of keys and values",
             "\"packed\": \"groups\" has the queries that read a key before it");
    if (set.packed_blocks && layout != PackedLayout::stacked)
        fail(child(set.pointer, "packed_blocks"),
             "cuts what is stacked, but this is packed " + std::string(choice_words(layout)));
    const Index blocks = layout == PackedLayout::stacked ? set.packed_blocks.value_or(1) : kv;
    if (kv % blocks != 0 || values % blocks != 0)
        fail(child(set.pointer, "packed_blocks"), "is " + std::to_string(blocks) +
                                                      ", which does not divide " +
                                                      how_many(kv, "head", "heads") + " of keys and values");
    const std::string order = set.order.value_or("qkv") + (name.with_gate ? "z" : "");
    if (name.with_gate) of(WeightRole::gate).d_in = d_in;
    std::string said;
    if (layout != PackedLayout::stacked || blocks > 1 || order != "qkv") {
        for (const char letter : order)
            said += (said.empty() ? ", " : " ") + std::string(word(side_of(letter)));
        if (layout != PackedLayout::stacked) said += " " + std::string(choice_words(layout));
        if (layout == PackedLayout::stacked && blocks > 1)
            said += " in " + std::to_string(blocks) + " blocks";
    }
    note_layout(plan_, t.name, std::string(word(WeightRole::packed)), false, out_in, s);
    plan_.weight_notes.back().layout += said;
    const std::size_t k = b_.add_tensor(std::move(t.tensor));
    Index from = 0;
    for (Index block = 0; block < blocks; ++block)
        for (const char letter : order) {
            const WeightRole r = side_of(letter);
            const Index rows = r == WeightRole::query ? wide * heads / blocks * dim
                               : r == WeightRole::key ? kv / blocks * dim
                                                      : values / blocks * value_dim;
            Projection& p = of(r);
            p.weight.push_back({k, out_in, from, p.d_out, rows, 0});
            p.d_out += rows;
            from += rows;
        }
}

/// Rows of the latent, then those of the rotary part that all heads share (DeepSeek's kv_a_proj_with_mqa).
void Resolver::latent_and_rope(NamedTensor& t, const NamedWeights& set, Index narrow) {
    const bool out_in = is_out_in(t, set);
    const Shape s = t.tensor.shape;
    const Index d_in = out_in ? s[1] : s[0], outputs = out_in ? s[0] : s[1];
    if (d_in != b_.key_width)
        fail(t.tensor.pointer, "is " + to_string(s) + ", and " + b_.key_name + " have the width " +
                                   std::to_string(b_.key_width));
    if (outputs < narrow)
        fail(t.tensor.pointer, "is " + to_string(s) + ": " + std::to_string(outputs) +
                                   " outputs, but the latent is " + std::to_string(narrow) + " wide");
    note_layout(plan_, t.name, std::string(word(WeightRole::latent_and_rope)), false, out_in, s);
    const std::size_t k = b_.add_tensor(std::move(t.tensor));
    Index from = 0;
    for (const auto& [role, rows] :
         {std::pair{WeightRole::latent, narrow}, {WeightRole::rope_key, outputs - narrow}}) {
        if (rows == 0) continue;
        Projection& p = plan_.projection(role);
        p.d_in = d_in;
        p.d_out = rows;
        p.weight.push_back({k, out_in, from, 0, rows, 0});
        from += rows;
    }
}

/// The rows of each head: its key without the rotary part, then its value (DeepSeek's kv_b_proj). How wide a
/// key is follows from the queries, which are as wide with it.
void Resolver::keys_and_values(NamedTensor& t, const NamedWeights& set, Index narrow) {
    const bool out_in = is_out_in(t, set);
    const Shape s = t.tensor.shape;
    const Index d_in = out_in ? s[1] : s[0], outputs = out_in ? s[0] : s[1];
    const Index heads = b_.problem.num_heads.value_or(1), queries = plan_.projection(WeightRole::query).d_out;
    if (d_in != narrow)
        fail(t.tensor.pointer,
             "is " + to_string(s) + ", and the latent has the width " + std::to_string(narrow));
    const Index key = queries / heads - plan_.projection(WeightRole::rope_key).d_out;
    if (queries % heads != 0 || outputs % heads != 0 || key < 1 || outputs / heads <= key)
        fail(t.tensor.pointer, "is " + to_string(s) + ": " + std::to_string(outputs) +
                                   " outputs are no keys of " + std::to_string(key) +
                                   " columns (the queries' without the rotary part) and values of " +
                                   how_many(heads, "head", "heads"));
    const Index value = outputs / heads - key;
    note_layout(plan_, t.name, std::string(word(WeightRole::key_value_up)), false, out_in, s);
    plan_.weight_notes.back().layout += ", head by head";
    const std::size_t k = b_.add_tensor(std::move(t.tensor));
    for (Index h = 0; h < heads; ++h) {
        Index from = h * (key + value);
        for (const auto& [role, rows] : {std::pair{WeightRole::key, key}, {WeightRole::value, value}}) {
            Projection& p = plan_.projection(role);
            p.d_in = narrow;
            p.weight.push_back({k, out_in, from, p.d_out, rows, 0});
            p.d_out += rows;
            from += rows;
        }
    }
}

void Resolver::packed_rates(NamedTensor& t, const NamedWeights& set) {
    const bool out_in = set.out_in.value_or(true);
    const Shape s = t.tensor.shape;
    const Index d_in = out_in ? s[1] : s[0], outputs = out_in ? s[0] : s[1], group = plan_.head_group;
    if (d_in != b_.key_width || outputs != 2 * plan_.kv_heads)
        fail(t.tensor.pointer, "is " + to_string(s) + ", expected " +
                                   to_string(out_in ? Shape{2 * plan_.kv_heads, b_.key_width}
                                                    : Shape{b_.key_width, 2 * plan_.kv_heads}) +
                                   ": beta and decay of " + how_many(plan_.kv_heads, "head", "heads"));
    note_layout(plan_, t.name, std::string(word(WeightRole::packed_rates)), false, out_in, s);
    const std::size_t k = b_.add_tensor(std::move(t.tensor));
    for (const WeightRole r : {WeightRole::beta, WeightRole::decay}) plan_.projection(r).d_in = d_in;
    Index from = 0;
    for (Index head = 0; head < plan_.key_heads(); ++head)
        for (const WeightRole r : {WeightRole::beta, WeightRole::decay}) {
            Projection& p = plan_.projection(r);
            p.weight.push_back({k, out_in, from, p.d_out, group, 0});
            p.d_out += group;
            from += group;
        }
    plan_.state->decays = plan_.state->has_beta = true;
}

void Resolver::biases(Slots& slots) {
    NamedTensor* t = slots.bias[slot(WeightRole::packed)];
    if (!t) {
        for (const WeightRole r : sides)
            if (slots.bias[slot(r)]) place_bias(*slots.bias[slot(r)], r, outputs_of_last(of(r)));
        return;
    }
    Index outputs = 0;
    for (const WeightRole r : sides) outputs += of(r).d_out;
    if (t->tensor.shape[0] != outputs || plan_.variant->weights_list)
        fail(t->tensor.pointer, "has " + std::to_string(t->tensor.shape[0]) + " numbers, expected " +
                                    std::to_string(outputs) + ": the biases of query, key and value");
    for (const WeightRole r : sides)
        if (slots.bias[slot(r)])
            fail_at_key(slots.bias[slot(r)]->tensor.pointer,
                        "\"" + slots.bias[slot(r)]->name + "\" stands beside \"" + t->name + "\"");
    note_layout(plan_, t->name, "query, key, value bias", true, false, t->tensor.shape);
    const std::size_t k = b_.add_tensor(std::move(t->tensor));
    const bool packed = slots.weight[slot(WeightRole::packed)] != nullptr;
    Index first = 0;
    for (const WeightRole r : sides) {
        Projection& p = of(r);
        if (packed) {
            for (const WeightPiece& w : p.weight)
                p.bias.push_back({k, true, w.source_begin, w.target_begin, w.outputs, 0});
        } else {
            p.bias.push_back({k, true, first, 0, p.d_out, 0});
        }
        first += p.d_out;
    }
}

}  // namespace attn
