#include <array>

#include "lib/plan/weight_resolver.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array<std::string_view, weight_role_count> role_words{"query",
                                                                     "key",
                                                                     "value",
                                                                     "output",
                                                                     "gate",
                                                                     "score",
                                                                     "query latent",
                                                                     "query, from its latent",
                                                                     "latent",
                                                                     "key, from the latent",
                                                                     "value, from the latent",
                                                                     "rotary key",
                                                                     "decay",
                                                                     "beta",
                                                                     "query, key, value",
                                                                     "key",
                                                                     "value",
                                                                     "query norm",
                                                                     "key norm",
                                                                     "context norm",
                                                                     "v",
                                                                     "log of the decay's rate",
                                                                     "decay bias",
                                                                     "query taps",
                                                                     "key taps",
                                                                     "value taps",
                                                                     "taps of query, key, value",
                                                                     "query norm's bias",
                                                                     "key norm's bias",
                                                                     "value norm",
                                                                     "norm of the joined heads",
                                                                     "bias of the norm of the joined heads",
                                                                     "beta and decay",
                                                                     "q1 of lambda",
                                                                     "k1 of lambda",
                                                                     "q2 of lambda",
                                                                     "k2 of lambda",
                                                                     "latent, rotary key",
                                                                     "key, value, from the latent",
                                                                     "query latent norm",
                                                                     "latent norm"};

/// Square, and another matrix when it is transposed.
bool is_lopsided(const TensorSource& t) {
    if (t.kind != TensorSource::Kind::literal || t.shape[0] != t.shape[1]) return false;
    for (Index i = 0; i < t.shape[0]; ++i)
        for (Index j = 0; j < i; ++j)
            if (t.numbers[i * t.shape[0] + j] != t.numbers[j * t.shape[0] + i]) return true;
    return false;
}

}  // namespace

std::string_view word(WeightRole role) { return role_words[slot(role)]; }

Slots sort_by_role(NamedWeights& set) {
    Slots slots;
    for (NamedTensor& t : set.tensors) {
        const WeightName& n = *weight_named(t.name);
        NamedTensor*& place = (n.bias ? slots.bias : slots.weight)[slot(n.role)];
        if (place)
            fail_at_key(t.tensor.pointer, "\"" + t.name + "\" and \"" + place->name + "\" are both the " +
                                              std::string(word(n.role)) + (n.bias ? " bias" : " weight") +
                                              ": one of them is meant");
        place = &t;
    }
    NamedTensor* packed = slots.weight[slot(WeightRole::packed)];
    for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value})
        if (packed && slots.weight[slot(r)])
            fail_at_key(slots.weight[slot(r)]->tensor.pointer, "\"" + slots.weight[slot(r)]->name +
                                                                   "\" stands beside the packed \"" +
                                                                   packed->name + "\": one of them is meant");
    return slots;
}

std::string sibling_name(const Slots& slots, WeightRole role) {
    const auto weight = [](WeightFamily family, WeightRole r, const std::string_view* style) -> std::string {
        for (const WeightName& n : all_weight_names())
            if (n.family == family && n.role == r && !n.bias && (!style || n.style == *style))
                return std::string(n.name);
        return {};
    };
    const auto beside = [&](const NamedTensor& t) {
        const WeightName& n = *weight_named(t.name);
        std::string name = weight(n.family, role, &n.style);
        if (name.empty()) name = weight(n.family, role, nullptr);
        return name.empty() ? weight(n.family, WeightRole::packed, nullptr) : name;
    };
    // The bias whose weight is missed says best how it is called, then any weight that is there.
    if (const NamedTensor* bias = slots.bias[slot(role)]) return beside(*bias);
    for (const NamedTensor* t : slots.weight)
        if (t && !beside(*t).empty()) return beside(*t);
    return weight(WeightFamily::mathematics, role, nullptr);
}

/// Weights that the variant has no use for are refused, not ignored.
void Resolver::check_roles(const NamedWeights& set, WeightRoles allowed) const {
    for (const NamedTensor& t : set.tensors) {
        const WeightRole role = weight_named(t.name)->role;
        if (has(allowed, role)) continue;
        std::string others;
        for (const Variant& v : all_variants())
            if (v.may_have(role) && !has(Variant::projections | Variant::usual, role))
                others += (others.empty() ? "" : ", ") + std::string(v.name);
        fail_at_key(t.tensor.pointer,
                    "\"" + t.name + "\" (" + std::string(word(role)) + ") has no part in variant \"" +
                        std::string(plan_.variant->name) + "\"",
                    others.empty() ? "" : "it belongs to variant " + others);
    }
}

void Resolver::named() {
    auto& sets = b_.problem.weights;
    if (b_.problem.weights_are_a_list && !plan_.variant->weights_list)
        fail(
            "/weights",
            "is a list, but variant \"" + std::string(plan_.variant->name) + "\" takes one object of weights",
            "a list of weights, one object per head, belongs to variant \"stacked_heads\"");
    if (plan_.variant->weights_list && !b_.problem.weights_are_a_list)
        fail("/weights",
             "is one object, but variant \"stacked_heads\" takes a list: one object of weights per head",
             "heads that are cut from one matrix are variant \"multi_head\"");
    const auto heads = static_cast<Index>(sets.size());
    if (plan_.variant->weights_list) {
        if (b_.problem.num_heads && *b_.problem.num_heads != heads)
            fail("/weights", "has " + std::to_string(heads) + " heads, but num_heads is " +
                                 std::to_string(*b_.problem.num_heads));
        b_.problem.num_heads = heads;
    }
    for (NamedWeights& set : sets) {
        for (NamedTensor& t : set.tensors)
            if (t.tensor.name.empty()) t.tensor.name = t.name;
        check_roles(set, plan_.variant->needs | plan_.variant->takes);
        if (plan_.variant->is_latent()) {
            latent(set);
        } else {
            one_set(set);
        }
    }
    split_heads();
    if (plan_.variant->weights_list) return;
    scoring(sets.front());
    recurrence(sets.front());
    extras(sets.front());
    output(sets.front());
}

void Resolver::note_layout(Plan& plan, std::string name, std::string role, bool bias, bool out_in,
                           const Shape& shape) {
    plan.weight_notes.push_back({std::move(name), std::move(role),
                                 bias     ? "[d_out]"
                                 : out_in ? "[d_out, d_in], x · Wᵀ"
                                          : "[d_in, d_out], x · W",
                                 shape});
}

Projection& Resolver::of(WeightRole r) {
    switch (r) {
        case WeightRole::query_up:
            return plan_.projection(WeightRole::query);
        case WeightRole::key_up:
            return plan_.projection(WeightRole::key);
        case WeightRole::value_up:
            return plan_.projection(WeightRole::value);
        default:
            return plan_.projection(r);
    }
}

const std::string& Resolver::input_name(WeightRole r) const {
    return r == WeightRole::query ? b_.query_name : r == WeightRole::key ? b_.key_name : b_.value_name;
}

void Resolver::place_weight(NamedTensor& t, const NamedWeights& set, WeightRole role, Index d_in,
                            const std::string& input) {
    const Shape whole = t.tensor.shape;
    const bool kernel = weight_named(t.name)->family == WeightFamily::keras && whole.size() == 3;
    if (whole.size() == 3 && role != WeightRole::output && !kernel) return place_heads(t, role, d_in, input);
    if (kernel)
        t.tensor.shape = role == WeightRole::output ? Shape{whole[0] * whole[1], whole[2]}
                                                    : Shape{whole[0], whole[1] * whole[2]};
    const bool out_in = !kernel && is_out_in(t, set);
    Shape s = t.tensor.shape;
    if (s.size() == 3) s = {s[0] * s[1], s[2]};
    const Index found = out_in ? s[1] : s[0], outputs = out_in ? s[0] : s[1];
    if (found != d_in) {
        const std::string wanted = out_in ? "x · Wᵀ needs [d_out, " + std::to_string(d_in) + "]"
                                          : "x · W needs [" + std::to_string(d_in) + ", d_out]";
        std::string hint;
        if (outputs == d_in)
            hint = out_in ? "as it stands it fits [d_in, d_out], x · W: name it as \"W_query\", or set "
                            "\"weight_layout\": \"in_out\""
                          : "nn.Linear keeps [d_out, d_in]: name it \"" + t.name +
                                ".weight\", or set \"weight_layout\": \"out_in\"";
        const bool of_input =
            role == WeightRole::query || role == WeightRole::key || role == WeightRole::value;
        if (hint.empty() && of_input && plan_.query_input) {
            const Shape& x = input_shape(role);
            if (x[x.size() - 2] == found)
                hint = input_name(role) + " have a row for each token: transposed, " +
                       to_string(Shape{x.back(), found}) + ", they would fit";
        }
        fail(t.tensor.pointer, "is " + to_string(s) + ", and " + input + ": " + wanted, hint);
    }
    Projection& p = of(role);
    if (t.tensor.shape.size() == 3) {
        plan_.weight_notes.push_back(
            {t.name, std::string(word(role)), "[head, d_head, d_model], x · W", t.tensor.shape});
    } else {
        note_layout(plan_, t.name, std::string(word(role)), false, out_in, s);
        plan_.weight_notes.back().transpose_fits = !kernel && !set.out_in && is_lopsided(t.tensor);
        if (kernel) {
            plan_.weight_notes.back().shape = whole;
            plan_.weight_notes.back().layout =
                role == WeightRole::output ? "[head, d_head, d_out], x · W" : "[d_in, head, d_head], x · W";
        }
    }
    p.weight.push_back({b_.add_tensor(std::move(t.tensor)), out_in, 0, p.d_out, outputs, 0});
    p.d_out += outputs;
}

/// Outputs of the tensor that was placed last.
Index Resolver::outputs_of_last(const Projection& p) {
    Index outputs = 0;
    for (const WeightPiece& w : p.weight)
        if (w.tensor == p.weight.back().tensor) outputs += w.outputs;
    return outputs;
}

bool Resolver::is_out_in(const NamedTensor& t, const NamedWeights& set) const {
    const WeightName& name = *weight_named(t.name);
    return set.out_in.value_or(name.family == WeightFamily::gpt2 ? c_attn_is_out_in_ : name.out_in());
}

void Resolver::place_heads(NamedTensor& t, WeightRole role, Index d_in, const std::string& input) {
    const Shape s = t.tensor.shape;
    if (s[1] != d_in)
        fail(t.tensor.pointer, "is " + to_string(s) + ", and " + input + ": x · W needs [head, " +
                                   std::to_string(d_in) + ", d_head]");
    Projection& p = of(role);
    plan_.weight_notes.push_back({t.name, std::string(word(role)), "[head, d_in, d_head], x · W", s});
    const std::size_t k = b_.add_tensor(std::move(t.tensor));
    for (Index h = 0; h < s[0]; ++h)
        p.weight.push_back({k, false, 0, p.d_out + h * s[2], s[2], h * s[1] * s[2]});
    p.d_out += s[0] * s[2];
}

/// A head axis says how many heads there are.
void Resolver::count_heads(const NamedWeights& set) {
    const NamedTensor *query = nullptr, *key = nullptr;
    Index of_queries = 0;
    for (const NamedTensor& t : set.tensors) {
        const WeightName& name = *weight_named(t.name);
        const bool kernel = name.family == WeightFamily::keras && t.tensor.shape.size() == 3;
        if ((name.family != WeightFamily::lens && !kernel) || name.bias) continue;
        const Index counted = t.tensor.shape[kernel && name.role != WeightRole::output ? 1 : 0];
        if (name.role == WeightRole::query) query = &t, of_queries = counted;
        if (name.role == WeightRole::key) key = &t;
        const bool kv = name.role == WeightRole::key || name.role == WeightRole::value;
        std::optional<Index>& heads = kv ? b_.problem.num_kv_heads : b_.problem.num_heads;
        // Of queries and keys there are two half heads for each head.
        const Index each =
            plan_.differential && name.role != WeightRole::value && name.role != WeightRole::output ? 2 : 1;
        if (counted % each != 0)
            fail(t.tensor.pointer, "is " + to_string(t.tensor.shape) + ": " +
                                       how_many(counted, "head", "heads") +
                                       ", expected two half heads for each head");
        const Index found = counted / each;
        if (heads && *heads != found)
            fail(t.tensor.pointer, "is " + to_string(t.tensor.shape) + ", but there are " +
                                       std::to_string(*heads) +
                                       (kv ? " heads of keys and values" : " heads"));
        heads = found;
        if (kv && query && of_queries % (found * each) != 0)
            fail(t.tensor.pointer, "is " + to_string(t.tensor.shape) + ", but " + query->name + " is " +
                                       to_string(query->tensor.shape) +
                                       ": the heads of keys and values divide those of queries");
    }
    const bool gated = b_.problem.gate && b_.problem.gate->from_queries;
    if (query && key && query->tensor.shape[2] != key->tensor.shape[2] * (gated ? 2 : 1))
        fail(key->tensor.pointer, "is " + to_string(key->tensor.shape) + ", but " + query->name + " is " +
                                      to_string(query->tensor.shape) +
                                      ": heads of queries and keys are multiplied with each other");
}

void Resolver::place_bias(NamedTensor& t, WeightRole role, Index outputs) {
    if (*element_count(t.tensor.shape) != outputs)
        fail(t.tensor.pointer, "has " + std::to_string(*element_count(t.tensor.shape)) +
                                   " numbers, but the " + std::string(word(role)) + " weight has " +
                                   std::to_string(outputs) + " outputs");
    Projection& p = of(role);
    note_layout(plan_, t.name, std::string(word(role)) + " bias", true, false, t.tensor.shape);
    p.bias.push_back({b_.add_tensor(std::move(t.tensor)), true, 0, p.d_out - outputs, outputs, 0});
}

void Resolver::one_set(NamedWeights& set) {
    if (!b_.problem.weights_are_a_list) count_heads(set);
    Slots slots = sort_by_role(set);
    has_score_ = slots.weight[slot(WeightRole::score)] != nullptr;
    if (set.interleaved_rows) put_rows_back(set, slots);
    const Index before = plan_.projection(WeightRole::query).d_out,
                values_before = plan_.projection(WeightRole::value).d_out;
    if (slots.weight[slot(WeightRole::packed)]) {
        packed(*slots.weight[slot(WeightRole::packed)], set, slots);
    } else {
        refuse_packing(set, slots);
        for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value}) {
            NamedTensor* w = slots.weight[slot(r)];
            if (!w && !slots.bias[slot(r)] && !has(plan_.variant->needs, r)) {
                of(r).d_out = of(r).d_in;
                continue;
            }
            if (!w) {
                const std::string name = sibling_name(slots, r);
                if (slots.bias[slot(r)])
                    fail(slots.bias[slot(r)]->tensor.pointer,
                         "is a bias without its weight: there is no \"" + name + "\"");
                fail(set.pointer, "has no \"" + name + "\": queries, keys and values each need their matrix");
            }
            const auto& input = input_name(r);
            place_weight(*w, set, r, of(r).d_in, input + " are " + to_string(input_shape(r)));
        }
    }
    const Index width = plan_.projection(WeightRole::query).d_out - before;
    // With heads that are shared the keys are narrower; split_heads knows how much.
    const bool may_differ = has_score_ || b_.problem.num_kv_heads || plan_.variant->one_kv_head ||
                            (b_.problem.gate && b_.problem.gate->from_queries);
    if (!may_differ && !has(plan_.variant->needs, WeightRole::query)) check_plain_widths();
    if (!may_differ && plan_.projection(WeightRole::key).d_out != plan_.projection(WeightRole::query).d_out) {
        const NamedTensor* k = slots.weight[slot(WeightRole::key)];
        const NamedTensor* q = slots.weight[slot(WeightRole::query)];
        fail(child(set.pointer, k->name),
             "gives keys of width " + std::to_string(plan_.projection(WeightRole::key).d_out - before) +
                 ", but " + q->name + " gives queries of width " + std::to_string(width) +
                 ": they are multiplied with each other");
    }
    biases(slots);
    for (WeightNote& note : plan_.weight_notes)
        if (const WeightName* n = weight_named(note.name);
            set.interleaved_rows && n && (n->role == WeightRole::query || n->role == WeightRole::key))
            note.layout += ", rows of each head put back from neighbours to halves";
    if (!plan_.variant->weights_list) return;
    for (std::size_t r = slot(WeightRole::output); r < weight_role_count; ++r)
        for (const auto* t : {slots.weight[r], slots.bias[r]})
            if (t && r > slot(WeightRole::packed))
                fail_at_key(t->tensor.pointer, "\"" + t->name +
                                                   "\" stands in one head's weights: a list holds "
                                                   "query, key and value of each head");
    for (const auto* t : {slots.weight[slot(WeightRole::output)], slots.bias[slot(WeightRole::output)]})
        if (t)
            fail_at_key(
                t->tensor.pointer,
                "\"" + t->name + "\" stands in one head's weights: stacked heads have no output projection");
    const Index heads_before = static_cast<Index>(&set - b_.problem.weights.data());
    if (heads_before > 0 && (width * heads_before != before))
        fail(set.pointer, "gives a head of width " + std::to_string(width) + ", but the first head has " +
                              std::to_string(before / heads_before));
    const Index value_width = plan_.projection(WeightRole::value).d_out - values_before;
    if (heads_before > 0 && value_width * heads_before != values_before)
        fail(set.pointer, "gives values of width " + std::to_string(value_width) +
                              ", but the first head has " + std::to_string(values_before / heads_before));
}

const Shape& Resolver::input_shape(WeightRole r) const {
    const std::size_t k = r == WeightRole::query ? *plan_.query_input
                          : r == WeightRole::key ? *plan_.key_input
                                                 : *plan_.value_input;
    return plan_.tensors[k].shape;
}

void resolve_weights(Builder& b) {
    Resolver resolver(b);
    const Problem& p = b.problem;
    const Variant& v = *b.plan.variant;
    if (b.plan.projected_given) {
        if (p.has_weights) return resolver.given_output();
        if (has(v.needs, WeightRole::additive))
            fail("", "has no \"weights\": additive scores need \"v\" among them");
        return;
    }
    if (v.needs == 0 && !(p.has_weights && v.takes != 0)) {
        if (p.has_weights)
            fail("/weights", "is given, but variant \"" + std::string(v.name) + "\" has no weights",
                 "variant \"self_attention\" projects queries, keys and values");
        return resolver.identity();
    }
    if (!p.has_weights)
        fail("", "has no \"weights\": variant \"" + std::string(v.name) + "\" needs " +
                     (v.is_latent()                        ? "W_query, W_DKV, W_UK, W_UV"
                      : has(v.needs, WeightRole::additive) ? "W_query, W_key and v"
                                                           : "W_query, W_key, W_value, or {\"init\": ...}"));
    if (p.init && v.needs != Variant::projections)
        fail(
            child(p.init->pointer, "init"),
            "draws W_query, W_key and W_value, but variant \"" + std::string(v.name) + "\" is made of others",
            "give its weights by name");
    if (p.init) return resolver.drawn();
    resolver.named();
}

}  // namespace attn
