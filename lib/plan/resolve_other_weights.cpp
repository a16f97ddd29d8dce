#include "lib/plan/weight_resolver.hpp"

namespace attn {

std::optional<std::size_t> Resolver::place_vector(const Slots& slots, WeightRole role) {
    NamedTensor* t = slots.bias[slot(role)];
    if (!t) return std::nullopt;
    const bool appended = role == WeightRole::bias_k || role == WeightRole::bias_v;
    const bool per_head = role == WeightRole::decay_log_rate || role == WeightRole::decay_bias;
    plan_.weight_notes.push_back({t->name, std::string(word(role)) + (appended ? " that is appended" : ""),
                                  per_head                       ? "[head]"
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
        if (plan_.projection(WeightRole::gate).d_out != plan_.heads * plan_.value_dim)
            fail(plan_.tensors.back().pointer,
                 "gives a gate of width " + std::to_string(plan_.projection(WeightRole::gate).d_out) +
                     ", but the heads together have " + std::to_string(plan_.heads * plan_.value_dim));
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
    plan_.bias_v = sized(place_vector(slots, WeightRole::bias_v), plan_.kv_heads * plan_.value_dim,
                         "one value of all heads");
    if (plan_.bias_k.has_value() != plan_.bias_v.has_value())
        fail(plan_.tensors[plan_.bias_k ? *plan_.bias_k : *plan_.bias_v].pointer,
             std::string("stands without its ") + (plan_.bias_k ? "bias_v" : "bias_k") +
                 ": a key and its value are appended together");
    plan_.query_norm = place_vector(slots, WeightRole::query_norm);
    plan_.key_norm = place_vector(slots, WeightRole::key_norm);
    plan_.context_norm = sized(place_vector(slots, WeightRole::context_norm), plan_.value_dim,
                               "the context of a head is normalised");
    if (plan_.context_norm && !(b_.problem.gate && b_.problem.gate->norm))
        fail_at_key(plan_.tensors[*plan_.context_norm].pointer,
                    "is the weight of a norm, but there is no \"gate\" with \"norm\": \"rms\"");
}

void Resolver::output(NamedWeights& set) {
    Slots slots = sort_by_role(set);
    NamedTensor* w = slots.weight[slot(WeightRole::output)];
    NamedTensor* bias = slots.bias[slot(WeightRole::output)];
    if (bias && !w)
        fail(bias->tensor.pointer,
             "is a bias without its weight: there is no \"" + sibling_name(slots, WeightRole::output) + "\"");
    if (!w) return;
    const Index width = plan_.heads * plan_.value_dim;
    plan_.projection(WeightRole::output).d_in = width;
    place_weight(*w, set, WeightRole::output, width,
                 (plan_.heads > 1 ? "the heads together" : "the context") + std::string(" have the width ") +
                     std::to_string(width));
    if (bias) place_bias(*bias, WeightRole::output, plan_.projection(WeightRole::output).d_out);
    plan_.has_output = true;
    plan_.output_dim = plan_.projection(WeightRole::output).d_out;
}

}  // namespace attn
