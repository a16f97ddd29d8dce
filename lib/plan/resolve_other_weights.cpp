#include <array>
#include <string>
#include <utility>

#include "lib/plan/weight_resolver.hpp"

namespace attn {

std::optional<std::size_t> Resolver::place_vector(const Slots& slots, WeightRole role) {
    NamedTensor* t = slots.bias[slot(role)];
    if (!t) return std::nullopt;
    const bool appended = role == WeightRole::bias_k || role == WeightRole::bias_v;
    const bool per_head = role == WeightRole::decay_log_rate || role == WeightRole::decay_bias;
    plan_.weight_notes.push_back({t->name, std::string(word(role)) + (appended ? " that is appended" : ""),
                                  t->tensor.shape.size() == 2    ? "[head, dim]"
                                  : per_head                     ? "[head]"
                                  : role == WeightRole::additive ? "[units]"
                                                                 : "[dim]",
                                  t->tensor.shape});
    return b_.add_tensor(std::move(t->tensor));
}

void Resolver::extras(NamedWeights& set) {
    Slots slots = sort_by_role(set);
    NamedTensor* gate = slots.weight[slot(WeightRole::gate)];
    const bool gates = b_.problem.gate || plan_.variant->gated;
    if (gate && (!gates || (b_.problem.gate && b_.problem.gate->from_queries)))
        fail_at_key(gate->tensor.pointer,
                    "\"" + gate->name + "\" is given, but " +
                        (gates ? "the gate is made from the queries" : "there is no \"gate\""),
                    "\"gate\": {\"activation\": \"sigmoid\"} multiplies the context by it");
    if (gate) {
        plan_.projection(WeightRole::gate).d_in = b_.query_width;
        place_weight(*gate, set, WeightRole::gate, plan_.projection(WeightRole::gate).d_in,
                     b_.query_name + " are " + to_string(input_shape(WeightRole::query)));
        const Index found = plan_.projection(WeightRole::gate).d_out, heads = plan_.context_heads(),
                    whole = heads * plan_.value_dim;
        plan_.gate_by_head = found == heads && found != whole;
        if (!plan_.gate_by_head && found != whole)
            fail(plan_.tensors.back().pointer,
                 "gives a gate of width " + std::to_string(found) + ", but the heads together have " +
                     std::to_string(whole),
                 "a column for each head, " + std::to_string(heads) + ", gates whole heads");
        if (NamedTensor* t = slots.bias[slot(WeightRole::gate)])
            place_bias(*t, WeightRole::gate, plan_.projection(WeightRole::gate).d_out);
    }
    const auto sized = [&](std::optional<std::size_t> t, Index wanted, const char* what) {
        if (t && *element_count(plan_.tensors[*t].shape) != wanted)
            fail(plan_.tensors[*t].pointer, "has " + std::to_string(*element_count(plan_.tensors[*t].shape)) +
                                                " numbers, expected " + std::to_string(wanted) + ": " + what);
        return t;
    };
    plan_.bias_k =
        sized(place_vector(slots, WeightRole::bias_k), plan_.kv_heads * plan_.dim, "one key of all heads");
    plan_.bias_v = sized(place_vector(slots, WeightRole::bias_v), plan_.value_heads() * plan_.value_dim,
                         "one value of all heads");
    if (plan_.bias_k.has_value() != plan_.bias_v.has_value())
        fail(plan_.tensors[plan_.bias_k ? *plan_.bias_k : *plan_.bias_v].pointer,
             std::string("stands without its ") + (plan_.bias_k ? "bias_v" : "bias_k") +
                 ": a key and its value are appended together");
    convolution(slots);
    for (const WeightRole role :
         {WeightRole::query_norm, WeightRole::key_norm, WeightRole::query_norm_bias,
          WeightRole::key_norm_bias, WeightRole::value_norm, WeightRole::context_norm,
          WeightRole::concat_norm, WeightRole::concat_norm_bias, WeightRole::lambda_q1, WeightRole::lambda_k1,
          WeightRole::lambda_q2, WeightRole::lambda_k2, WeightRole::query_latent_norm,
          WeightRole::latent_norm})
        b_.vectors[slot(role)] = place_vector(slots, role);
}

void Resolver::convolution(Slots& slots) {
    constexpr std::array roles{WeightRole::query_conv, WeightRole::key_conv, WeightRole::value_conv};
    constexpr std::array names{"q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"};
    const std::array<Index, 3> widths{plan_.query_heads() * plan_.query_dim,
                                      plan_.key_heads() * plan_.key_dim, plan_.kv_heads * plan_.value_dim};
    constexpr std::size_t all = slot(WeightRole::packed_conv);
    const bool packed = slots.weight[all] || slots.bias[all];
    for (const WeightRole r : {roles[0], roles[1], roles[2], WeightRole::packed_conv})
        for (const NamedTensor* t : {slots.weight[slot(r)], slots.bias[slot(r)]}) {
            if (!t) continue;
            if (!b_.problem.conv)
                fail_at_key(t->tensor.pointer, "\"" + t->name + "\" is given, but there is no \"conv\"",
                            "\"conv\": {\"activation\": \"silu\"} convolves queries, keys and values");
            if (packed && r != WeightRole::packed_conv)
                fail_at_key(t->tensor.pointer, "\"" + t->name + "\" stands beside taps of all three");
        }
    if (!b_.problem.conv) return;
    PlannedConv conv;
    conv.silu = b_.problem.conv->silu;
    const auto place = [&](std::size_t s, Index width) {
        NamedTensor& t = *slots.weight[s];
        const Shape& shape = t.tensor.shape;
        if (conv.taps == 0) conv.taps = shape.back();
        if (shape[0] != width || shape.back() != conv.taps || (shape.size() == 3 && shape[1] != 1))
            fail(t.tensor.pointer, "is " + to_string(shape) + ", expected [" + std::to_string(width) +
                                       ", 1, " + std::to_string(conv.taps) + "]: taps for each channel");
        plan_.weight_notes.push_back({t.name, std::string(word(static_cast<WeightRole>(s))),
                                      shape.size() == 3 ? "[width, 1, taps]" : "[width, taps]", shape});
        return b_.add_tensor(std::move(t.tensor));
    };
    const auto place_bias_of = [&](std::size_t s, Index width) -> std::optional<std::size_t> {
        NamedTensor* t = slots.bias[s];
        if (!t) return std::nullopt;
        if (*element_count(t->tensor.shape) != width)
            fail(t->tensor.pointer, "has " + std::to_string(*element_count(t->tensor.shape)) +
                                        " numbers, expected " + std::to_string(width) + ": one per channel");
        plan_.weight_notes.push_back(
            {t->name, std::string(word(static_cast<WeightRole>(s))) + " bias", "[d_out]", t->tensor.shape});
        return b_.add_tensor(std::move(t->tensor));
    };
    conv.width = widths[0] + widths[1] + widths[2];
    std::optional<std::size_t> taps_of_all, bias_of_all;
    if (packed) {
        if (!slots.weight[all]) fail(slots.bias[all]->tensor.pointer, "is a bias without \"conv1d.weight\"");
        taps_of_all = place(all, conv.width);
        bias_of_all = place_bias_of(all, conv.width);
    }
    Index first = 0;
    for (std::size_t k = 0; k < roles.size(); ++k) {
        const std::size_t s = slot(roles[k]);
        if (!packed && !slots.weight[s])
            fail("/conv",
                 std::string("needs \"") + names[k] + "\" among the weights, or one \"conv1d.weight\"");
        PlannedConv::Part& part = conv.parts[k];
        part.weight = packed ? *taps_of_all : place(s, widths[k]);
        part.bias = packed ? bias_of_all : place_bias_of(s, widths[k]);
        part.first = packed ? first : 0;
        part.past = first;
        first += widths[k];
    }
    plan_.conv = conv;
}

void Resolver::output(NamedWeights& set) {
    Slots slots = sort_by_role(set);
    NamedTensor* w = slots.weight[slot(WeightRole::output)];
    NamedTensor* bias = slots.bias[slot(WeightRole::output)];
    if (bias && !w)
        fail(bias->tensor.pointer,
             "is a bias without its weight: there is no \"" + sibling_name(slots, WeightRole::output) + "\"");
    if (!w) return;
    const Index width = plan_.context_heads() * plan_.value_dim;
    plan_.projection(WeightRole::output).d_in = width;
    place_weight(*w, set, WeightRole::output, width,
                 (plan_.context_heads() > 1 ? "the heads together" : "the context") +
                     std::string(" have the width ") + std::to_string(width));
    if (bias) place_bias(*bias, WeightRole::output, plan_.projection(WeightRole::output).d_out);
    plan_.has_output = true;
    plan_.output_dim = plan_.projection(WeightRole::output).d_out;
}

}  // namespace attn
