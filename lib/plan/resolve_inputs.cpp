#include <algorithm>

#include "lib/option_words.hpp"
#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::string at(std::string_view name) { return child("", name); }

void refuse_both(const Builder& b, std::string_view projected) {
    const Problem& p = b.problem;
    const std::optional<TensorSource>* embeddings[] = {&p.embeddings, &p.key_embeddings, &p.value_embeddings};
    for (const auto* e : embeddings)
        if (*e)
            fail_at_key((*e)->pointer, "\"" + (*e)->pointer.substr(1) + "\" stands beside \"" +
                                           std::string(projected) +
                                           "\": queries, keys and values are given, or made from embeddings");
}

}  // namespace

void check_groups(Builder& b, const std::string& pointer, std::string_view found) {
    const Plan& plan = b.plan;
    if (plan.heads % plan.kv_heads != 0)
        fail(pointer,
             std::string(found) + " " + std::to_string(plan.kv_heads) +
                 " heads of keys and values, which do not divide the " + std::to_string(plan.heads) +
                 " heads of queries",
             "each head of keys and values serves the same number of query heads");
    b.plan.kv_interleaved =
        b.problem.kv_head_order.value_or(KvHeadOrder::interleave) == KvHeadOrder::interleave;
}

void group_value_heads(Builder& b, Index value_heads, const std::string& pointer) {
    Plan& plan = b.plan;
    if (value_heads == plan.kv_heads) return;
    const auto of = [](Index n) { return std::to_string(n) + (n == 1 ? " head" : " heads"); };
    if (value_heads % plan.kv_heads != 0)
        fail(pointer,
             "has " + of(value_heads) + " of values, which are no multiple of " + of(plan.kv_heads) +
                 " of keys",
             "each head of keys serves the same number of heads of values");
    if (plan.heads != plan.kv_heads)
        fail(pointer,
             "has " + of(value_heads) + " of values beside " + of(plan.heads) + " of queries and " +
                 std::to_string(plan.kv_heads) +
                 " of keys: a head of values reads one head of queries and keys, so there are as many "
                 "of these");
    if (b.problem.gate && b.problem.gate->from_queries)
        fail("/gate/from", "is \"queries\", but there are " + of(value_heads) + " of values and " +
                               std::to_string(plan.heads) + " of queries");
    plan.head_group = value_heads / plan.kv_heads;
    plan.heads = plan.kv_heads = value_heads;
}

namespace {

/// Queries, keys and values as given: [token, dim], [head, token, dim] or [batch, head, token, dim].
void take_projected(Builder& b) {
    Problem& p = b.problem;
    Plan& plan = b.plan;
    refuse_both(b, "queries");
    if (!p.queries)
        fail("", "has no \"queries\": variant \"" + std::string(plan.variant->name) +
                     "\" takes queries, keys and values");
    if (!p.keys) fail("", "has no \"keys\" to go with \"queries\"");
    if (!p.values) fail("", "has no \"values\" to go with \"queries\"");
    const Shape q = four_axes(p.queries->shape), k = four_axes(p.keys->shape), v = four_axes(p.values->shape);
    const auto found = [&](const TensorSource& t, std::string_view name) {
        return std::string(name) + " are " + to_string(t.shape);
    };
    const auto differ = [&](const TensorSource& t, std::string_view axis, const TensorSource& other,
                            std::string_view name) {
        fail(t.pointer, "are " + to_string(t.shape) + ", but " + found(other, name) + ": the " +
                            std::string(axis) + " differ");
    };
    if (k[0] != q[0]) differ(*p.keys, "batch items", *p.queries, "queries");
    if (v[0] != k[0]) differ(*p.values, "batch items", *p.keys, "keys");
    if (plan.differential) {
        const auto halves = [](const TensorSource& t, Index heads, const char* what) {
            if (heads % 2 != 0)
                fail(t.pointer, "are " + to_string(t.shape) + ": " + how_many(heads, "head", "heads") +
                                    " of " + what + ", expected two half heads for each head");
        };
        halves(*p.queries, q[1], "queries");
        halves(*p.keys, k[1], "keys");
        if (2 * v[1] != k[1])
            fail(p.values->pointer, "are " + to_string(p.values->shape) + ", but keys are " +
                                        to_string(p.keys->shape) +
                                        ": a head of values goes with two half heads of keys");
    } else if (v[1] != k[1] && !plan.variant->keeps_state()) {
        differ(*p.values, "heads", *p.keys, "keys");
    }
    const Index each = plan.differential ? 2 : 1;
    const auto counted_heads = [&](Index n) {
        return plan.differential ? std::to_string(n) + " half heads, two for each head"
                                 : how_many(n, "head", "heads");
    };
    if (p.num_value_heads && *p.num_value_heads != v[1])
        fail("/num_value_heads", "is " + std::to_string(*p.num_value_heads) + ", but values are " +
                                     to_string(p.values->shape) + ": " + std::to_string(v[1]) +
                                     (v[1] == 1 ? " head" : " heads"));
    const bool scored =
        !p.weights.empty() &&
        std::any_of(p.weights.front().tensors.begin(), p.weights.front().tensors.end(),
                    [](const auto& t) { return weight_named(t.name)->role == WeightRole::score; });
    if (k[3] != q[3] && !scored) differ(*p.keys, "widths", *p.queries, "queries");
    if (v[2] != k[2]) differ(*p.values, "numbers of tokens", *p.keys, "keys");
    if (p.num_heads && each * *p.num_heads != q[1])
        fail("/num_heads", "is " + std::to_string(*p.num_heads) + ", but queries " +
                               to_string(p.queries->shape) + " have " + counted_heads(q[1]));
    plan.projected_given = true;
    plan.batch = q[0];
    plan.heads = q[1];
    plan.kv_heads = k[1];
    if (p.num_kv_heads && each * *p.num_kv_heads != k[1])
        fail("/num_kv_heads", "is " + std::to_string(*p.num_kv_heads) + ", but keys " +
                                  to_string(p.keys->shape) + " have " + counted_heads(k[1]));
    check_groups(b, p.keys->pointer, "keys have");
    if (!plan.differential) group_value_heads(b, v[1], p.values->pointer);
    plan.queries = q[2];
    plan.keys = k[2];
    plan.query_dim = q[3];
    plan.key_dim = plan.dim = k[3];
    plan.value_dim = v[3];
    plan.query_input = b.add_tensor(std::move(*p.queries));
    plan.key_input = b.add_tensor(std::move(*p.keys));
    plan.value_input = b.add_tensor(std::move(*p.values));
}

}  // namespace

void resolve_inputs(Builder& b) {
    Problem& p = b.problem;
    Plan& plan = b.plan;
    if (plan.variant->takes_projected || (plan.variant->may_take_projected && p.queries))
        return take_projected(b);
    for (const auto* t : {&p.queries, &p.keys, &p.values})
        if (*t)
            fail_at_key((*t)->pointer,
                        "\"" + (*t)->pointer.substr(1) + "\" is given, but " +
                            (plan.inferred_because.empty() ? "variant \"" + std::string(plan.variant->name) +
                                                                 "\" makes it from embeddings"
                                                           : "\"queries\" are missing"),
                        "variant \"scaled_dot_product\" takes queries, keys and values as they are");
    if (!p.embeddings)
        fail("", "has no \"embeddings\" (and no queries, keys, values): what attention is computed on");
    if (plan.variant->needs_key_embeddings && !p.key_embeddings)
        fail("", "has no \"key_embeddings\": variant \"" + std::string(plan.variant->name) +
                     "\" attends to another sequence");

    const auto items = [](const TensorSource& t) { return t.shape.size() == 3 ? t.shape[0] : Index{1}; };
    const auto tokens = [](const TensorSource& t) { return t.shape[t.shape.size() - 2]; };
    plan.batch = items(*p.embeddings);
    plan.queries = tokens(*p.embeddings);
    b.query_width = b.key_width = b.value_width = p.embeddings->shape.back();
    plan.keys = plan.queries;
    b.query_name = b.key_name = b.value_name = "embeddings";
    if (p.key_embeddings) {
        if (items(*p.key_embeddings) != plan.batch)
            fail(at("key_embeddings"), "are " + to_string(p.key_embeddings->shape) + ", but embeddings are " +
                                           to_string(p.embeddings->shape) + ": the batch items differ");
        plan.keys = tokens(*p.key_embeddings);
        b.key_width = b.value_width = p.key_embeddings->shape.back();
        b.key_name = b.value_name = "key_embeddings";
    }
    if (p.value_embeddings) {
        if (items(*p.value_embeddings) != plan.batch || tokens(*p.value_embeddings) != plan.keys)
            fail(at("value_embeddings"), "are " + to_string(p.value_embeddings->shape) + ", but there are " +
                                             std::to_string(plan.batch) + " batch items of " +
                                             std::to_string(plan.keys) + " keys: one value per key");
        b.value_width = p.value_embeddings->shape.back();
        b.value_name = "value_embeddings";
    }
    plan.query_input = plan.key_input = plan.value_input = b.add_tensor(std::move(*p.embeddings));
    if (p.key_embeddings) plan.key_input = plan.value_input = b.add_tensor(std::move(*p.key_embeddings));
    if (p.value_embeddings) plan.value_input = b.add_tensor(std::move(*p.value_embeddings));
}

void resolve_tokens(Builder& b) {
    Problem& p = b.problem;
    Plan& plan = b.plan;
    const auto numbers = [](Index n) {
        std::vector<std::string> out;
        out.reserve(static_cast<std::size_t>(n));
        for (Index k = 0; k < n; ++k) out.push_back(std::to_string(k));
        return out;
    };
    const auto check = [](const std::vector<std::string>& t, std::string_view key, Index n,
                          std::string_view what) {
        if (static_cast<Index>(t.size()) == n) return;
        fail(child("", key), "has " + std::to_string(t.size()) + " tokens, but there are " +
                                 std::to_string(n) + " " + std::string(what));
    };
    const bool keys_are_embeddings =
        plan.key_input == plan.query_input && !plan.projected_given && plan.past == 0;
    if (const auto& asked = b.request.tokens) {
        const auto n = static_cast<Index>(asked->size());
        if (n != plan.queries && n != plan.given_keys())
            fail_usage(option::tokens + " has " + std::to_string(n) + " tokens, but there are " +
                       std::to_string(plan.queries) + " queries and " + std::to_string(plan.given_keys()) +
                       " keys");
        if (n == plan.queries) p.tokens = asked;
        if (n == plan.given_keys()) p.key_tokens = asked;
    }
    if (p.tokens) check(*p.tokens, "tokens", plan.queries, "queries");
    if (p.key_tokens) check(*p.key_tokens, "key_tokens", plan.given_keys(), "keys");
    plan.tokens_given = p.tokens.has_value();
    plan.key_tokens_given = p.key_tokens || (p.tokens && keys_are_embeddings);
    if (p.key_tokens) {
        plan.key_tokens = std::move(*p.key_tokens);
    } else {
        plan.key_tokens = p.tokens && keys_are_embeddings ? *p.tokens : numbers(plan.given_keys());
    }
    if (plan.bias_k) plan.key_tokens.emplace_back("bias_k");
    if (plan.zero_key) plan.key_tokens.emplace_back("zero");
    plan.query_tokens = p.tokens ? std::move(*p.tokens) : numbers(plan.queries);
}

}  // namespace attn
