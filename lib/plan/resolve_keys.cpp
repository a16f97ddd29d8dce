#include <cmath>

#include "lib/plan/builder.hpp"

namespace attn {
namespace {

std::string count(Index n, const char* one, const char* many) {
    return std::to_string(n) + " " + (n == 1 ? one : many);
}

/// [token, dim], [head, token, dim] or [batch, head, token, dim] as the new keys and values are.
void resolve_cache(Builder& b) {
    Problem& p = b.problem;
    Plan& plan = b.plan;
    if (!p.past_keys && !p.past_values) return;
    const auto together = [](const std::optional<TensorSource>& given,
                             const std::optional<TensorSource>& other, const char* name) {
        if (!given)
            fail_at_key(other->pointer, "\"" + other->pointer.substr(1) + "\" stands without \"" + name +
                                            "\": a cache holds keys and values");
    };
    together(p.past_keys, p.past_values, "past_keys");
    together(p.past_values, p.past_keys, "past_values");
    const auto check = [&](const TensorSource& t, Index dim, const char* what) {
        const Shape s = four_axes(t.shape);
        if (s[0] != plan.batch || s[1] != plan.kv_heads || s[3] != dim)
            fail(t.pointer, "are " + to_string(t.shape) + ", expected [batch " + std::to_string(plan.batch) +
                                ", head " + std::to_string(plan.kv_heads) + ", token, dim " +
                                std::to_string(dim) + "] as the " + what +
                                " are (axes of 1 at the front may be left out)");
        return s[2];
    };
    plan.past = check(*p.past_keys, plan.key_dim, "keys");
    if (check(*p.past_values, plan.value_dim, "values") != plan.past)
        fail(p.past_values->pointer, "are " + to_string(p.past_values->shape) + ", but past_keys are " +
                                         to_string(p.past_keys->shape) + ": one value per key");
    plan.past_keys = b.add_tensor(std::move(*p.past_keys));
    plan.past_values = b.add_tensor(std::move(*p.past_values));
}

/// The cache of a latent variant: the latents, and the rotary part of the keys.
void resolve_latent_cache(Builder& b) {
    Problem& p = b.problem;
    Plan& plan = b.plan;
    const Index turned = plan.projection(WeightRole::rope_key).d_out;
    if (!p.past_latent && p.past_rope_keys)
        fail_at_key("/past_rope_keys",
                    "\"past_rope_keys\" stands without \"past_latent\": a cache holds both");
    if (!p.past_latent) return;
    if (p.past_rope_keys && turned == 0)
        fail_at_key("/past_rope_keys",
                    "\"past_rope_keys\" is given, but there is no \"W_KR\" among the weights");
    if (!p.past_rope_keys && turned > 0)
        fail("/past_latent", "stands without \"past_rope_keys\": with W_KR a cache holds both");
    const auto place = [&](TensorSource& t, Index dim, const char* what) {
        // [token, dim], [batch, token, dim], or with a head axis of 1 as a trace has it
        const Shape s = t.shape.size() == 4 && t.shape[1] == 1 ? Shape{1, t.shape[0], t.shape[2], t.shape[3]}
                                                               : four_axes(t.shape);
        if (s[0] != 1 || s[1] != plan.batch || s[3] != dim)
            fail(t.pointer, "is " + to_string(t.shape) + ", expected [batch " + std::to_string(plan.batch) +
                                ", token, " + what + " " + std::to_string(dim) + "]");
        if (plan.past > 0 && s[2] != plan.past)
            fail(t.pointer,
                 "is " + to_string(t.shape) + ", but past_latent has " + count(plan.past, "token", "tokens"));
        plan.past = s[2];
        return b.add_tensor(std::move(t));
    };
    plan.past_latent = place(*p.past_latent, plan.projection(WeightRole::latent).d_out, "latent");
    if (turned > 0) plan.past_rope_keys = place(*p.past_rope_keys, turned, "rope dim");
}

void resolve_norm(Builder& b) {
    Plan& plan = b.plan;
    const auto check = [&](const std::optional<std::size_t>& weight, Index heads, Index dim) {
        if (!weight) return;
        const TensorSource& t = plan.tensors[*weight];
        const Index wanted = b.problem.qk_norm->over_width ? heads * dim : dim;
        if (*element_count(t.shape) != wanted)
            fail(t.pointer, "has " + count(*element_count(t.shape), "number", "numbers") + ", expected " +
                                std::to_string(wanted) + ": the norm goes over " +
                                (b.problem.qk_norm->over_width ? "the whole width" : "each head"));
    };
    if (!b.problem.qk_norm) {
        for (const auto& w : {plan.query_norm, plan.key_norm})
            if (w)
                fail_at_key(plan.tensors[*w].pointer, "is the weight of a norm, but there is no \"qk_norm\"",
                            "\"qk_norm\": {\"type\": \"rms\"} says which norm it is");
        return;
    }
    plan.qk_norm = b.problem.qk_norm;
    check(plan.query_norm, plan.heads, plan.query_dim);
    check(plan.key_norm, plan.kv_heads, plan.key_dim);
}

void resolve_rope(Builder& b) {
    Plan& plan = b.plan;
    const Index shared = plan.projection(WeightRole::rope_key).d_out;
    if (b.problem.rope && plan.variant->is_latent() && shared == 0)
        fail("/rope",
             "turns the part of the keys that W_KR makes, but there is no \"W_KR\" among the weights",
             "keys that come from the latent are not rotated: a cache of latents could not be");
    if (!b.problem.rope && shared == 0) return;
    Rope rope = std::move(b.problem.rope).value_or(Rope{});
    if (shared > 0) {
        if (rope.dims && *rope.dims != shared)
            fail("/rope/dims", "is " + std::to_string(*rope.dims) + ", but W_KR makes " +
                                   std::to_string(shared) + " columns: those turn");
        if (rope.cos && 2 * rope.cos->shape.back() != shared)
            fail("/rope/cos", "turns " + std::to_string(2 * rope.cos->shape.back()) +
                                  " columns, but W_KR makes " + std::to_string(shared));
        rope.dims = shared;
    }
    PlannedRope out;
    out.first_query = shared > 0 ? plan.dim - shared : 0;
    out.base = rope.base;
    out.interleaved = rope.interleaved;
    if (plan.state && b.problem.past_state && !rope.cos && !rope.positions && !rope.query_positions)
        plan.warnings.emplace_back(
            "rope: positions begin at 0, because how many tokens past_state holds is not known");
    if (plan.dim % 2 != 0 && !rope.dims && !rope.cos)
        fail("/rope", "turns pairs of columns, but a head has " + count(plan.dim, "column", "columns"),
             "\"dims\" turns only the first columns");
    out.dims = rope.dims.value_or(plan.dim);
    const auto as_many = [&](Index n, const std::string& where, const char* what) {
        if (plan.new_keys != plan.queries)
            fail(where,
                 std::string("serve") + (*what ? "" : "s") + " queries and keys, but there are " +
                     count(plan.queries, "query", "queries") + " and " +
                     count(plan.new_keys, "new key", "new keys"),
                 "\"query_positions\" and \"key_positions\" are two lists");
        if (n != plan.queries)
            fail(where, "has " + std::to_string(n) + " " + (*what ? what : "tokens") + ", but there are " +
                            count(plan.queries, "query", "queries"));
    };
    if (rope.cos) {
        const Shape& s = rope.cos->shape;
        as_many(s[s.size() - 2], "/rope/cos", "");
        if (s.size() == 3 && s[0] != plan.batch && s[0] != 1)
            fail("/rope/cos",
                 "is " + to_string(s) + ", but there are " + count(plan.batch, "batch item", "batch items"));
        out.dims = 2 * s.back();
        out.cos = b.add_tensor(std::move(*rope.cos));
        out.sin = b.add_tensor(std::move(*rope.sin));
    } else if (rope.positions) {
        as_many(static_cast<Index>(rope.positions->size()), "/rope/positions", "positions");
        out.query_positions = out.key_positions = *rope.positions;
    } else {
        const auto own = [&](const std::optional<std::vector<double>>& given, Index n, const char* name,
                             const char* one, const char* many) {
            if (!given) {
                const std::vector<Index> places = counted(n, plan.past);
                return std::vector<double>(places.begin(), places.end());
            }
            if (static_cast<Index>(given->size()) != n)
                fail(child("/rope", name), "has " + std::to_string(given->size()) +
                                               " positions, but there are " + count(n, one, many));
            return *given;
        };
        out.query_positions = own(rope.query_positions, plan.queries, "query_positions", "query", "queries");
        out.key_positions = own(rope.key_positions, plan.new_keys, "key_positions", "new key", "new keys");
    }
    if (out.dims > plan.dim)
        fail(rope.cos || out.cos ? "/rope/cos" : "/rope/dims",
             "turns " + std::to_string(out.dims) + " columns, but a head has " + std::to_string(plan.dim));
    plan.rope = std::move(out);
}

void resolve_gate(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.gate && !plan.variant->gated) return;
    plan.gate = b.problem.gate.value_or(Gate{});
    if (plan.gate->from_queries) {
        if (plan.projection(WeightRole::query).weight.empty())
            fail("/gate/from",
                 "is \"queries\", but nothing projects the queries: W_query holds query and gate");
        if (plan.dim != plan.value_dim)
            fail("/gate/from", "is \"queries\": a gate of " + std::to_string(plan.dim) +
                                   " columns, but values have " + std::to_string(plan.value_dim));
    } else if (plan.projection(WeightRole::gate).weight.empty()) {
        fail(b.problem.gate ? "/gate" : "",
             std::string(b.problem.gate ? "" : "has no \"W_gate\" among the weights: ") +
                 "needs W_gate [d_in, heads * dim of values]" + (b.problem.gate ? " among the weights" : ""),
             "\"gate\": {\"from\": \"queries\"} takes it from a W_query of twice the width");
    }
}

}  // namespace

void resolve_keys(Builder& b) {
    Plan& plan = b.plan;
    plan.new_keys = plan.keys;
    if (plan.variant->needs_window && !b.problem.window)
        fail("", "has no \"window\": variant \"" + std::string(plan.variant->name) + "\" needs one",
             "\"window\": {\"left\": 3} lets a token see the 3 before it");
    resolve_cache(b);
    resolve_latent_cache(b);
    resolve_norm(b);
    resolve_rope(b);
    plan.zero_key = b.problem.add_zero_attn;
    resolve_gate(b);
    plan.keys = plan.given_keys() + (plan.bias_k ? 1 : 0) + (plan.zero_key ? 1 : 0);
}

}  // namespace attn
