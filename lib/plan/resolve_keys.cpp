#include <cmath>

#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

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
    const auto check = [&](const TensorSource& t, Index heads, Index dim, const char* what) {
        const Shape s = four_axes(t.shape);
        if (s[0] != plan.batch || s[1] != heads || s[3] != dim)
            fail(t.pointer, "are " + to_string(t.shape) + ", expected [batch " + std::to_string(plan.batch) +
                                ", head " + std::to_string(heads) + ", token, dim " + std::to_string(dim) +
                                "] as the " + what + " are (axes of 1 at the front may be left out)");
        return s[2];
    };
    plan.past = check(*p.past_keys, plan.kv_heads, plan.key_dim, "keys");
    if (check(*p.past_values, plan.value_heads(), plan.value_dim, "values") != plan.past)
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
            fail(t.pointer, "is " + to_string(t.shape) + ", but past_latent has " +
                                how_many(plan.past, "token", "tokens"));
        plan.past = s[2];
        return b.add_tensor(std::move(t));
    };
    plan.past_latent = place(*p.past_latent, plan.projection(WeightRole::latent).d_out, "latent");
    if (turned > 0) plan.past_rope_keys = place(*p.past_rope_keys, turned, "rope dim");
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
                 "needs W_gate [d_in, heads * dim of values], or a column for each head [d_in, heads]," +
                 (b.problem.gate ? " among the weights" : ""),
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
    resolve_norms(b);
    resolve_rope(b);
    resolve_query_scale(b);
    plan.zero_key = b.problem.add_zero_attn;
    resolve_gate(b);
    resolve_output_norms(b);
    plan.keys = plan.given_keys() + (plan.bias_k ? 1 : 0) + (plan.zero_key ? 1 : 0);
}

}  // namespace attn
