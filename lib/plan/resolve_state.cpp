#include "lib/plan/builder.hpp"

namespace attn {

void resolve_state(Builder& b) {
    Plan& plan = b.plan;
    Problem& p = b.problem;
    if (!plan.state) return;
    PlannedState& state = *plan.state;
    state.delta = plan.variant->memory == Memory::delta_state;
    state.feature_map = p.feature_map;
    state.normalizer = p.normalizer;
    const auto given = [&](std::optional<TensorSource>& t, Index dim,
                           bool& by_column) -> std::optional<std::size_t> {
        if (!t) return std::nullopt;
        const Shape& s = t->shape;
        const bool fits = s[0] == plan.batch && (s[1] == plan.kv_heads || s[1] == 1) &&
                          s[2] == plan.new_keys && (s.size() == 3 || s[3] == dim);
        if (!fits)
            fail(t->pointer, "is " + to_string(s) + ", expected [batch " + std::to_string(plan.batch) +
                                 ", head " + std::to_string(plan.kv_heads) + " or 1, token " +
                                 std::to_string(plan.new_keys) + "], or with a last axis of " +
                                 std::to_string(dim));
        by_column = s.size() == 4;
        return b.add_tensor(std::move(*t));
    };
    state.decay = given(p.decay, plan.dim, state.decay_by_column);
    state.decays = state.decays || state.decay;
    state.beta = given(p.beta, plan.value_dim, state.beta_by_column);
    state.has_beta = state.has_beta || state.beta;
    if (!p.past_state) return;
    const Shape s = four_axes(p.past_state->shape),
                wanted{plan.batch, plan.kv_heads, plan.dim, plan.value_dim};
    if (s != wanted)
        fail(p.past_state->pointer, "is " + to_string(p.past_state->shape) + ", expected [batch " +
                                        std::to_string(wanted[0]) + ", head " + std::to_string(wanted[1]) +
                                        ", dim of keys " + std::to_string(wanted[2]) + ", dim of values " +
                                        std::to_string(wanted[3]) + "]");
    state.past = b.add_tensor(std::move(*p.past_state));
}

}  // namespace attn
