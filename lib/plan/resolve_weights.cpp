#include <array>

#include "lib/input/weight_names.hpp"
#include "lib/plan/builder.hpp"

namespace attn {
namespace {

constexpr std::array<std::string_view, 5> role_words{"query", "key", "value", "output", "query, key, value"};

std::string_view word(WeightRole role) { return role_words[static_cast<std::size_t>(role)]; }

/// The tensors of one set of names, by role. Null: not given.
struct Slots {
    NamedTensor* weight[5] = {};
    NamedTensor* bias[5] = {};
};

constexpr std::size_t slot(WeightRole r) { return static_cast<std::size_t>(r); }

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

/// The name for `role` in the style of the names that are there: k_proj.weight beside q_proj.weight.
std::string sibling_name(const Slots& slots, WeightRole role) {
    const auto table = all_weight_names();
    for (const NamedTensor* t : slots.weight) {
        if (!t) continue;
        const WeightName* n = weight_named(t->name);
        if (n->role == WeightRole::packed || n->role == WeightRole::output) continue;
        const auto k = (n - table.data()) + static_cast<int>(role) - static_cast<int>(n->role);
        return std::string(table[static_cast<std::size_t>(k)].name);
    }
    constexpr std::array<std::string_view, 4> mathematics{"W_query", "W_key", "W_value", "W_out"};
    return std::string(mathematics[slot(role)]);
}

class Resolver {
  public:
    explicit Resolver(Builder& b) : b_(b), plan_(b.plan) {
        plan_.query_projection.d_in = b.query_width;
        plan_.key_projection.d_in = b.key_width;
        plan_.value_projection.d_in = b.value_width;
    }

    void identity() {
        if (b_.key_width != b_.query_width)
            fail(child("", b_.key_name), "have the width " + std::to_string(b_.key_width) +
                                             ", but embeddings have " + std::to_string(b_.query_width) +
                                             ": without weights they are multiplied as they are");
        plan_.query_projection.d_out = b_.query_width;
        plan_.key_projection.d_out = b_.key_width;
        plan_.value_projection.d_out = b_.value_width;
        split_heads();
    }

    void named() {
        auto& sets = b_.problem.weights;
        if (b_.problem.weights_are_a_list && !plan_.variant->weights_list)
            fail("/weights",
                 "is a list, but variant \"" + std::string(plan_.variant->name) +
                     "\" takes one object of weights",
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
        for (NamedWeights& set : sets) one_set(set);
        split_heads();
        if (!plan_.variant->weights_list) output(sets.front());
    }

    void given_output() {
        if (b_.problem.init)
            fail(b_.problem.init->pointer,
                 "draws projection weights, but queries, keys and values are given");
        if (b_.problem.weights_are_a_list)
            fail("/weights", "is a list, but queries, keys and values are given");
        NamedWeights& set = b_.problem.weights.front();
        for (const NamedTensor& t : set.tensors)
            if (weight_named(t.name)->role != WeightRole::output)
                fail_at_key(t.tensor.pointer,
                            "\"" + t.name +
                                "\" in weights projects embeddings, but queries, keys and values are given");
        output(set);
    }

    void drawn() {
        WeightsInit& init = *b_.problem.init;
        if (init.kind == WeightsInit::Kind::multihead) {
            drawn_multihead(init);
        } else {
            drawn_heads(init);
        }
        plan_.init = init;
    }

  private:
    static void note_layout(Plan& plan, std::string name, std::string role, bool bias, bool out_in,
                            const Shape& shape) {
        plan.weight_notes.push_back({std::move(name), std::move(role),
                                     bias     ? "[d_out]"
                                     : out_in ? "[d_out, d_in], x · Wᵀ"
                                              : "[d_in, d_out], x · W",
                                     shape});
    }

    Projection& of(WeightRole r) {
        return r == WeightRole::query   ? plan_.query_projection
               : r == WeightRole::key   ? plan_.key_projection
               : r == WeightRole::value ? plan_.value_projection
                                        : plan_.output_projection;
    }

    const std::string& input_name(WeightRole r) const {
        return r == WeightRole::query ? b_.query_name : r == WeightRole::key ? b_.key_name : b_.value_name;
    }

    /// Places a matrix as columns of a projection, or refuses a width that does not fit.
    void place_weight(NamedTensor& t, const NamedWeights& set, WeightRole role, Index d_in,
                      const std::string& input) {
        const bool out_in = set.out_in.value_or(weight_named(t.name)->out_in());
        const Shape s = t.tensor.shape;
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
            fail(t.tensor.pointer, "is " + to_string(s) + ", and " + input + ": " + wanted, hint);
        }
        Projection& p = of(role);
        note_layout(plan_, t.name, std::string(word(role)), false, out_in, s);
        p.weight.push_back({b_.place(std::move(t.tensor)), out_in, 0, p.d_out, outputs});
        p.d_out += outputs;
    }

    void place_bias(NamedTensor& t, WeightRole role, Index outputs) {
        if (t.tensor.shape[0] != outputs)
            fail(t.tensor.pointer, "has " + std::to_string(t.tensor.shape[0]) + " numbers, but the " +
                                       std::string(word(role)) + " weight has " + std::to_string(outputs) +
                                       " outputs");
        Projection& p = of(role);
        note_layout(plan_, t.name, std::string(word(role)) + " bias", true, false, t.tensor.shape);
        p.bias.push_back({b_.place(std::move(t.tensor)), true, 0, p.d_out - outputs, outputs});
    }

    void one_set(NamedWeights& set) {
        Slots slots = sort_by_role(set);
        const Index before = plan_.query_projection.d_out, values_before = plan_.value_projection.d_out;
        if (slots.weight[slot(WeightRole::packed)]) {
            packed(*slots.weight[slot(WeightRole::packed)], set);
        } else {
            for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value}) {
                NamedTensor* w = slots.weight[slot(r)];
                if (!w) {
                    const std::string name = sibling_name(slots, r);
                    if (slots.bias[slot(r)])
                        fail(slots.bias[slot(r)]->tensor.pointer,
                             "is a bias without its weight: there is no \"" + name + "\"");
                    fail(set.pointer,
                         "has no \"" + name + "\": queries, keys and values each need their matrix");
                }
                const auto& input = input_name(r);
                place_weight(*w, set, r, of(r).d_in, input + " are " + to_string(input_shape(r)));
            }
        }
        const Index width = plan_.query_projection.d_out - before;
        // With heads that are shared the keys are narrower; split_heads knows how much.
        if (!b_.problem.num_kv_heads && plan_.key_projection.d_out != plan_.query_projection.d_out) {
            const NamedTensor* k = slots.weight[slot(WeightRole::key)];
            const NamedTensor* q = slots.weight[slot(WeightRole::query)];
            fail(child(set.pointer, k->name),
                 "gives keys of width " + std::to_string(plan_.key_projection.d_out - before) + ", but " +
                     q->name + " gives queries of width " + std::to_string(width) +
                     ": they are multiplied with each other");
        }
        biases(slots);
        if (!plan_.variant->weights_list) return;
        for (const auto* t : {slots.weight[slot(WeightRole::output)], slots.bias[slot(WeightRole::output)]})
            if (t)
                fail_at_key(t->tensor.pointer,
                            "\"" + t->name +
                                "\" stands in one head's weights: stacked heads have no output projection");
        const Index heads_before = static_cast<Index>(&set - b_.problem.weights.data());
        if (heads_before > 0 && (width * heads_before != before))
            fail(set.pointer, "gives a head of width " + std::to_string(width) + ", but the first head has " +
                                  std::to_string(before / heads_before));
        const Index value_width = plan_.value_projection.d_out - values_before;
        if (heads_before > 0 && value_width * heads_before != values_before)
            fail(set.pointer, "gives values of width " + std::to_string(value_width) +
                                  ", but the first head has " + std::to_string(values_before / heads_before));
    }

    const Shape& input_shape(WeightRole r) const {
        const std::size_t k = r == WeightRole::query ? *plan_.query_input
                              : r == WeightRole::key ? *plan_.key_input
                                                     : *plan_.value_input;
        return plan_.tensors[k].shape;
    }

    void packed(NamedTensor& t, const NamedWeights& set) {
        const bool out_in = set.out_in.value_or(true);
        const Shape s = t.tensor.shape;
        const Index d_in = out_in ? s[1] : s[0], outputs = out_in ? s[0] : s[1];
        for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value}) {
            if (of(r).d_in == d_in) continue;
            fail(t.tensor.pointer,
                 "is " + to_string(s) + ", and " + input_name(r) + " are " + to_string(input_shape(r)) +
                     ": expected [3E, E] with E = " + std::to_string(of(r).d_in),
                 "inputs of other widths take q_proj_weight, k_proj_weight, v_proj_weight");
        }
        if (outputs != 3 * d_in)
            fail(t.tensor.pointer, "is " + to_string(s) + ", expected [3E, E]: [" + std::to_string(3 * d_in) +
                                       ", " + std::to_string(d_in) + "]");
        note_layout(plan_, t.name, "query, key, value", false, out_in, s);
        const std::size_t k = b_.place(std::move(t.tensor));
        Index from = 0;
        for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value}) {
            of(r).weight.push_back({k, out_in, from, 0, d_in});
            of(r).d_out = d_in;
            from += d_in;
        }
    }

    void biases(Slots& slots) {
        if (NamedTensor* t = slots.bias[slot(WeightRole::packed)]) {
            const Index q = plan_.query_projection.d_out, v = plan_.value_projection.d_out;
            if (t->tensor.shape[0] != 2 * q + v || plan_.variant->weights_list)
                fail(t->tensor.pointer, "has " + std::to_string(t->tensor.shape[0]) + " numbers, expected " +
                                            std::to_string(2 * q + v) +
                                            ": the biases of query, key and value");
            for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value})
                if (slots.bias[slot(r)])
                    fail_at_key(slots.bias[slot(r)]->tensor.pointer,
                                "\"" + slots.bias[slot(r)]->name + "\" stands beside \"" + t->name + "\"");
            note_layout(plan_, t->name, "query, key, value bias", true, false, t->tensor.shape);
            const std::size_t k = b_.place(std::move(t->tensor));
            plan_.query_projection.bias.push_back({k, true, 0, 0, q});
            plan_.key_projection.bias.push_back({k, true, q, 0, q});
            plan_.value_projection.bias.push_back({k, true, 2 * q, 0, v});
            return;
        }
        for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value})
            if (slots.bias[slot(r)]) place_bias(*slots.bias[slot(r)], r, of(r).weight.back().outputs);
    }

    void split_heads() {
        plan_.heads = b_.problem.num_heads.value_or(1);
        plan_.kv_heads = b_.problem.num_kv_heads.value_or(plan_.heads);
        check_groups(b_, b_.problem.num_kv_heads ? "/num_kv_heads" : "/num_heads", "asks for");
        const auto split = [&](const Projection& p, Index heads, const char* key, const char* what) {
            if (p.d_out % heads != 0)
                fail(heads == plan_.heads ? "/num_heads" : key,
                     "is " + std::to_string(heads) + " heads, which does not divide the width " +
                         std::to_string(p.d_out) + " of the " + what);
            return p.d_out / heads;
        };
        const bool grouped = plan_.kv_heads != plan_.heads;
        plan_.dim = split(plan_.query_projection, plan_.heads, "/num_heads",
                          grouped ? "queries" : "queries and keys");
        plan_.value_dim = split(plan_.value_projection, plan_.kv_heads, "/num_kv_heads", "values");
        if (grouped && plan_.key_projection.d_out != plan_.kv_heads * plan_.dim)
            fail("/num_kv_heads", "is " + std::to_string(plan_.kv_heads) + ": keys of " +
                                      std::to_string(plan_.dim) +
                                      " (the width of a query head) have the width " +
                                      std::to_string(plan_.kv_heads * plan_.dim) + ", but it is " +
                                      std::to_string(plan_.key_projection.d_out));
    }

    void output(NamedWeights& set) {
        Slots slots = sort_by_role(set);
        NamedTensor* w = slots.weight[slot(WeightRole::output)];
        NamedTensor* bias = slots.bias[slot(WeightRole::output)];
        if (bias && !w)
            fail(bias->tensor.pointer, "is a bias without its weight: there is no \"" +
                                           sibling_name(slots, WeightRole::output) + "\"");
        if (!w) return;
        const Index width = plan_.heads * plan_.value_dim;
        plan_.output_projection.d_in = width;
        place_weight(*w, set, WeightRole::output, width,
                     (plan_.heads > 1 ? "the heads together" : "the context") +
                         std::string(" have the width ") + std::to_string(width));
        if (bias) place_bias(*bias, WeightRole::output, plan_.output_projection.d_out);
        plan_.has_output = true;
        plan_.output_dim = plan_.output_projection.d_out;
    }

    /// One tensor that the generator will fill, in draw order.
    std::size_t place_drawn(const WeightsInit& init, Shape shape) {
        if (!element_count(shape))
            fail(init.pointer, "asks for a matrix " + to_string(shape) + ": too large");
        TensorSource t;
        t.kind = TensorSource::Kind::drawn_weight;
        t.pointer = init.pointer;
        t.shape = std::move(shape);
        return b_.place(std::move(t));
    }

    void place_drawn_linear(const WeightsInit& init, WeightRole role, Index d_out, bool out_in, bool bias) {
        Projection& p = of(role);
        const Shape shape = out_in ? Shape{d_out, p.d_in} : Shape{p.d_in, d_out};
        p.weight.push_back({place_drawn(init, shape), out_in, 0, p.d_out, d_out});
        if (bias) p.bias.push_back({place_drawn(init, {d_out}), true, 0, p.d_out, d_out});
        p.d_out += d_out;
        note_layout(plan_, out_in ? "torch.nn.Linear" : "torch.rand", std::string(word(role)), false, out_in,
                    shape);
    }

    /// d_out is the width of the queries; keys and values that are shared between heads are narrower.
    Index drawn_width(WeightRole role, Index d_out) const {
        const Index heads = b_.problem.num_heads.value_or(1), kv = b_.problem.num_kv_heads.value_or(heads);
        if (role == WeightRole::query || kv == heads || d_out % heads != 0) return d_out;
        return d_out / heads * kv;
    }

    void drawn_heads(const WeightsInit& init) {
        const bool list = plan_.variant->weights_list;
        const bool linear = init.kind == WeightsInit::Kind::linear;
        const Index sets = list ? b_.problem.num_heads.value_or(1) : 1;
        if (list && init.out_proj.value_or(false))
            fail(child(init.pointer, "out_proj"), "is true, but stacked heads have no output projection",
                 "variant \"multi_head\" has one");
        if (static_cast<double>(sets) * static_cast<double>(*init.d_out) > 1e15)
            fail(child(init.pointer, "d_out"), "is " + std::to_string(*init.d_out) + ": too large");
        for (Index k = 0; k < sets; ++k)
            for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value})
                place_drawn_linear(init, r, drawn_width(r, *init.d_out), linear,
                                   linear && init.bias.value_or(false));
        split_heads();
        if (!init.out_proj.value_or(false)) return;
        plan_.output_projection.d_in = plan_.heads * plan_.value_dim;
        place_drawn_linear(init, WeightRole::output, *init.d_out, true, true);
        plan_.has_output = true;
        plan_.output_dim = plan_.output_projection.d_out;
    }

    void drawn_multihead(const WeightsInit& init) {
        const Index width = b_.query_width;
        if (plan_.variant->weights_list)
            fail(child(init.pointer, "init"),
                 "is torch.nn.MultiheadAttention, which splits its heads: variant \"multi_head\"");
        if (init.d_out && *init.d_out != width)
            fail(child(init.pointer, "d_out"), "is " + std::to_string(*init.d_out) +
                                                   ", but torch.nn.MultiheadAttention keeps the width " +
                                                   std::to_string(width) + " of the embeddings");
        if (!init.out_proj.value_or(true))
            fail(child(init.pointer, "out_proj"),
                 "is false, but torch.nn.MultiheadAttention always has an output projection");
        const bool bias = init.bias.value_or(true);
        for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value})
            of(r).d_out = width;
        plan_.output_projection.d_in = plan_.output_projection.d_out = width;
        split_heads();
        if (b_.key_width == width && b_.value_width == width) {
            const std::size_t k = place_drawn(init, {3 * width, width});
            note_layout(plan_, "in_proj_weight", "query, key, value", false, true, {3 * width, width});
            for (int r = 0; r < 3; ++r)
                of(static_cast<WeightRole>(r)).weight.push_back({k, true, r * width, 0, width});
        } else {
            constexpr std::array names{"q_proj_weight", "k_proj_weight", "v_proj_weight"};
            for (int r = 0; r < 3; ++r) {
                Projection& p = of(static_cast<WeightRole>(r));
                p.weight.push_back({place_drawn(init, {width, p.d_in}), true, 0, 0, width});
                note_layout(plan_, names[static_cast<std::size_t>(r)],
                            std::string(word(static_cast<WeightRole>(r))), false, true, {width, p.d_in});
            }
        }
        if (bias) {
            const std::size_t k = place_drawn(init, {3 * width});
            for (int r = 0; r < 3; ++r)
                of(static_cast<WeightRole>(r)).bias.push_back({k, true, r * width, 0, width});
        }
        Projection& out = plan_.output_projection;
        out.weight.push_back({place_drawn(init, {width, width}), true, 0, 0, width});
        if (bias) out.bias.push_back({place_drawn(init, {width}), true, 0, 0, width});
        note_layout(plan_, "out_proj.weight", "output", false, true, {width, width});
        plan_.has_output = true;
        plan_.output_dim = width;
    }

    Builder& b_;
    Plan& plan_;
};

}  // namespace

void resolve_weights(Builder& b) {
    Resolver resolver(b);
    const Problem& p = b.problem;
    const Variant& v = *b.plan.variant;
    if (v.takes_projected) {
        if (p.has_weights) resolver.given_output();
        return;
    }
    if (!v.needs_weights) {
        if (p.has_weights)
            fail("/weights", "is given, but variant \"" + std::string(v.name) + "\" has no weights",
                 "variant \"self_attention\" projects queries, keys and values");
        return resolver.identity();
    }
    if (!p.has_weights)
        fail("", "has no \"weights\": variant \"" + std::string(v.name) +
                     "\" needs W_query, W_key, W_value, or {\"init\": ...}");
    if (p.init) return resolver.drawn();
    resolver.named();
}

}  // namespace attn
