#include <initializer_list>
#include <string>

#include "lib/plan/weight_resolver.hpp"

namespace attn {

void Resolver::check_plain_widths() const {
    if (b_.key_width == b_.query_width) return;
    fail(child("", b_.key_name), "have the width " + std::to_string(b_.key_width) + ", but embeddings have " +
                                     std::to_string(b_.query_width) + ": without " +
                                     (plan_.variant->may_have(WeightRole::score) ? "W_score" : "weights") +
                                     " they are multiplied as they are");
}

void Resolver::identity() {
    check_plain_widths();
    const Index heads = b_.problem.num_heads.value_or(1);
    if (b_.problem.num_kv_heads && *b_.problem.num_kv_heads != heads)
        fail("/num_kv_heads",
             "is " + std::to_string(*b_.problem.num_kv_heads) + " beside " + std::to_string(heads) +
                 (heads == 1 ? " head" : " heads") +
                 ", but there are no weights: keys and values are the embeddings, as wide "
                 "as the queries",
             "\"weights\" project them to fewer heads; or queries, keys and values are given");
    plan_.projection(WeightRole::query).d_out = b_.query_width;
    plan_.projection(WeightRole::key).d_out = b_.key_width;
    plan_.projection(WeightRole::value).d_out = b_.value_width;
    split_heads();
}

void Resolver::given_output() {
    if (b_.problem.init)
        fail(b_.problem.init->pointer, "draws projection weights, but queries, keys and values are given");
    if (b_.problem.weights_are_a_list) fail("/weights", "is a list, but queries, keys and values are given");
    NamedWeights& set = b_.problem.weights.front();
    for (const NamedTensor& t : set.tensors) {
        const WeightRole role = weight_named(t.name)->role;
        if (has(Variant::from_embeddings, role))
            fail_at_key(
                t.tensor.pointer,
                "\"" + t.name + "\" in weights projects embeddings, but queries, keys and values are given");
    }
    check_roles(set, plan_.variant->needs | plan_.variant->takes);
    scoring(set);
    extras(set);
    output(set);
}

/// Multi-head latent attention: queries as ever or through a latent of their own, keys and values from one
/// latent, and a rotary part of the keys that all heads share.
void Resolver::latent(NamedWeights& set) {
    Slots slots = sort_by_role(set);
    const auto needed = [&](WeightRole role, const char* name, const char* why) -> NamedTensor& {
        NamedTensor* t = slots.weight[slot(role)];
        if (!t) fail(set.pointer, "has no \"" + std::string(name) + "\": " + why);
        return *t;
    };
    const auto place = [&](NamedTensor& t, WeightRole role, Index d_in, const std::string& input) {
        of(role).d_in = d_in;
        place_weight(t, set, role, d_in, input);
    };
    const auto embedded = [&](WeightRole role) {
        return input_name(role) + " are " + to_string(input_shape(role));
    };
    const auto width_of = [](const char* what, Index width) {
        return std::string(what) + " has the width " + std::to_string(width);
    };
    NamedTensor* both = slots.weight[slot(WeightRole::latent_and_rope)];
    NamedTensor* pairs = slots.weight[slot(WeightRole::key_value_up)];
    const auto refuse_beside = [&](const NamedTensor* whole, std::initializer_list<WeightRole> parts) {
        for (const WeightRole r : parts)
            if (const NamedTensor* t = whole ? slots.weight[slot(r)] : nullptr)
                fail_at_key(t->tensor.pointer,
                            "\"" + t->name + "\" stands beside \"" + whole->name + "\", which holds it");
    };
    refuse_beside(both, {WeightRole::latent, WeightRole::rope_key});
    refuse_beside(pairs, {WeightRole::key_up, WeightRole::value_up});
    const auto inputs_of = [&](const NamedTensor& t) { return t.tensor.shape[is_out_in(t, set) ? 1 : 0]; };
    if (both) {
        const NamedTensor& reader =
            pairs ? *pairs : needed(WeightRole::key_up, "W_UK", "it makes the keys from the latent");
        latent_and_rope(*both, set, inputs_of(reader));
    } else {
        place(needed(WeightRole::latent, "W_DKV", "it makes the latent of keys and values"),
              WeightRole::latent, b_.key_width, embedded(WeightRole::key));
    }
    const Index narrow = of(WeightRole::latent).d_out;
    if (!pairs) {
        place(needed(WeightRole::key_up, "W_UK", "it makes the keys from the latent"), WeightRole::key_up,
              narrow, width_of("the latent", narrow));
        place(needed(WeightRole::value_up, "W_UV", "it makes the values from the latent"),
              WeightRole::value_up, narrow, width_of("the latent", narrow));
    }
    NamedTensor* query = slots.weight[slot(WeightRole::query)];
    NamedTensor* up = slots.weight[slot(WeightRole::query_up)];
    NamedTensor* down = slots.weight[slot(WeightRole::query_latent)];
    if (query && (up || down))
        fail_at_key((up ? up : down)->tensor.pointer, "\"" + (up ? up : down)->name + "\" stands beside \"" +
                                                          query->name + "\": queries are made in one way");
    if (query) {
        place(*query, WeightRole::query, b_.query_width, embedded(WeightRole::query));
    } else {
        const char* two = "queries need W_query, or W_DQ and W_UQ";
        place(needed(WeightRole::query_latent, up ? "W_DQ" : "W_query", two), WeightRole::query_latent,
              b_.query_width, embedded(WeightRole::query));
        const Index middle = of(WeightRole::query_latent).d_out;
        place(needed(WeightRole::query_up, "W_UQ", two), WeightRole::query_up, middle,
              width_of("the latent of the queries", middle));
    }
    if (NamedTensor* bias = slots.bias[slot(WeightRole::query)]) {
        if (!query)
            fail(bias->tensor.pointer, "is a bias without its weight: there is no \"" +
                                           sibling_name(slots, WeightRole::query) + "\"");
        place_bias(*bias, WeightRole::query, of(WeightRole::query).d_out);
    }
    if (NamedTensor* rope = slots.weight[slot(WeightRole::rope_key)])
        place(*rope, WeightRole::rope_key, b_.key_width, embedded(WeightRole::key));
    if (const Projection& rope = of(WeightRole::rope_key); rope.d_out % 2 != 0)
        fail(plan_.tensors[rope.weight.front().tensor].pointer,
             "gives " + std::to_string(rope.d_out) + (both ? " columns beside the latent" : " columns") +
                 ", which is odd: columns turn in pairs");
    if (pairs) keys_and_values(*pairs, set, narrow);
}

void Resolver::split_heads() {
    plan_.heads = b_.problem.num_heads.value_or(1);
    plan_.kv_heads = b_.problem.num_kv_heads.value_or(plan_.variant->one_kv_head ? 1 : plan_.heads);
    if (plan_.differential) {
        plan_.heads *= 2;
        plan_.kv_heads *= 2;
    }
    check_groups(b_, b_.problem.num_kv_heads ? "/num_kv_heads" : "/num_heads", "asks for");
    if (b_.problem.num_value_heads) group_value_heads(b_, *b_.problem.num_value_heads, "/num_value_heads");
    const Index queries = plan_.query_heads(), keys = plan_.key_heads();
    if (has_score_ && plan_.heads > 1)
        fail("/num_heads", "is " + std::to_string(plan_.heads) +
                               ", but W_score stands between whole embeddings: there is one head");
    if (plan_.variant->is_latent() && plan_.kv_heads != plan_.heads)
        fail("/num_kv_heads", "is " + std::to_string(plan_.kv_heads) +
                                  ", but variant \"latent\" makes keys "
                                  "and values of each of the " +
                                  std::to_string(plan_.heads) + " heads from the latent");
    const auto split = [&](WeightRole role, Index heads, const char* key, const char* what) {
        const Index width = plan_.projection(role).d_out;
        if (width % heads != 0)
            fail(role != WeightRole::value && heads == queries ? "/num_heads" : key,
                 "is " + std::to_string(heads) + " heads, which does not divide the width " +
                     std::to_string(width) + " of the " + what);
        return width / heads;
    };
    const bool grouped = keys != queries;
    plan_.query_dim =
        split(WeightRole::query, queries, "/num_heads", grouped ? "queries" : "queries and keys");
    if (b_.problem.gate && b_.problem.gate->from_queries) {
        if (plan_.query_dim % 2 != 0)
            fail("/gate/from", "is \"queries\", but a head of W_query has " +
                                   std::to_string(plan_.query_dim) +
                                   " columns: the first half is the query, the second the gate");
        plan_.query_dim /= 2;
    }
    plan_.value_dim = split(WeightRole::value, plan_.value_heads(),
                            plan_.head_group > 1            ? "/num_value_heads"
                            : plan_.kv_heads == plan_.heads ? "/num_heads"
                                                            : "/num_kv_heads",
                            "values");
    plan_.dim = plan_.query_dim;
    if (has_score_ || plan_.variant->is_latent()) {
        plan_.key_dim = split(WeightRole::key, plan_.kv_heads, "/num_heads", "keys");
        if (has_score_) plan_.dim = plan_.key_dim;
        const Index turned = plan_.projection(WeightRole::rope_key).d_out;
        if (plan_.variant->is_latent() && plan_.key_dim + turned != plan_.dim)
            fail("/weights", "gives queries of " + std::to_string(plan_.dim) +
                                 " columns a head, but keys of " + std::to_string(plan_.key_dim) +
                                 (turned ? " + " + std::to_string(turned) + " (W_KR)" : "") +
                                 ": they are multiplied with each other");
        return;
    }
    plan_.key_dim = plan_.dim;
    if (plan_.projection(WeightRole::key).d_out != keys * plan_.dim)
        fail(grouped ? "/num_kv_heads" : "/gate/from",
             "is " + (grouped ? std::to_string(keys) : std::string("\"queries\"")) + ": keys of " +
                 std::to_string(plan_.dim) + " (the width of a query head) have the width " +
                 std::to_string(keys * plan_.dim) + ", but it is " +
                 std::to_string(plan_.projection(WeightRole::key).d_out));
}

/// What scores are made with besides queries and keys.
void Resolver::scoring(NamedWeights& set) {
    Slots slots = sort_by_role(set);
    if (NamedTensor* w = slots.weight[slot(WeightRole::score)]) {
        Projection& p = plan_.projection(WeightRole::score);
        p.d_in = plan_.query_dim;
        place_weight(*w, set, WeightRole::score, plan_.query_dim,
                     "queries have the width " + std::to_string(plan_.query_dim));
        if (p.d_out != plan_.key_dim)
            fail(plan_.tensors.back().pointer, "makes queries of width " + std::to_string(p.d_out) +
                                                   ", but keys have " + std::to_string(plan_.key_dim));
    }
    if (!has(plan_.variant->needs, WeightRole::additive)) return;
    plan_.additive = place_vector(slots, WeightRole::additive);
    if (!plan_.additive) fail(set.pointer, "has no \"v\": additive scores are v · tanh(q + k)");
    const TensorSource& v = plan_.tensors[*plan_.additive];
    const Index n = *element_count(v.shape);
    if (n != plan_.dim && n != plan_.heads * plan_.dim)
        fail(v.pointer, "has " + std::to_string(n) + " numbers, expected " +
                            std::to_string(plan_.heads * plan_.dim) + ": one per column of the queries");
}

/// Decay and beta of variants that keep a state, from the embeddings of the keys.
void Resolver::recurrence(NamedWeights& set) {
    Slots slots = sort_by_role(set);
    const auto place = [&](WeightRole role, const std::optional<TensorSource>& given) -> Projection* {
        NamedTensor* w = slots.weight[slot(role)];
        if (!w) return nullptr;
        if (given)
            fail_at_key(given->pointer, "\"" + given->pointer.substr(1) + "\" stands beside \"" + w->name +
                                            "\" in weights: it is given, or made from embeddings");
        Projection& p = plan_.projection(role);
        p.d_in = b_.key_width;
        place_weight(*w, set, role, p.d_in, b_.key_name + " are " + to_string(input_shape(WeightRole::key)));
        return &p;
    };
    const auto fits = [&](Index found, Index wanted, const std::string& what) {
        if (found != wanted)
            fail(plan_.tensors.back().pointer, "has " + std::to_string(found) + what + ", but there are " +
                                                   std::to_string(plan_.kv_heads) +
                                                   " heads of keys and values");
    };
    NamedTensor* both = slots.weight[slot(WeightRole::packed_rates)];
    if (both) {
        for (const WeightRole r : {WeightRole::decay, WeightRole::beta})
            if (const NamedTensor* other = slots.weight[slot(r)])
                fail_at_key(other->tensor.pointer,
                            "\"" + other->name + "\" stands beside \"" + both->name + "\", which holds it");
        for (const auto* given : {&b_.problem.decay, &b_.problem.beta})
            if (*given)
                fail_at_key((*given)->pointer, "\"" + (*given)->pointer.substr(1) + "\" stands beside \"" +
                                                   both->name + "\" in weights, which holds it");
        packed_rates(*both, set);
    }
    if (const Projection* p = place(WeightRole::decay, b_.problem.decay)) {
        plan_.state->decays = true;
        fits(p->d_out, plan_.kv_heads, " outputs");
    }
    for (const WeightRole r : {WeightRole::decay_log_rate, WeightRole::decay_bias}) {
        const NamedTensor* t = slots.bias[slot(r)];
        if (!t) continue;
        if (!slots.weight[slot(WeightRole::decay)] && !both)
            fail_at_key(t->tensor.pointer, "\"" + t->name + "\" stands without \"W_decay\"");
        const auto placed = place_vector(slots, r);
        fits(*element_count(plan_.tensors[*placed].shape), plan_.kv_heads, " numbers");
        (r == WeightRole::decay_log_rate ? plan_.state->log_rate : plan_.state->bias) = placed;
    }
    if (const Projection* p = place(WeightRole::beta, b_.problem.beta)) {
        plan_.state->has_beta = true;
        if (p->d_out == plan_.kv_heads * plan_.value_dim && plan_.value_dim > 1) {
            plan_.state->beta_by_column = true;
        } else {
            fits(p->d_out, plan_.kv_heads, " outputs");
        }
    }
}

}  // namespace attn
