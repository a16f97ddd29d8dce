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
    if (p.conv && !plan.conv)
        fail("/conv",
             "needs \"q_conv1d.weight\", \"k_conv1d.weight\", \"v_conv1d.weight\" among the weights, or one "
             "\"conv1d.weight\"");
    if (p.past_conv && !plan.conv)
        fail_at_key("/past_conv", "\"past_conv\" is given, but there is no \"conv\"");
    if (p.past_conv) {
        Shape s = p.past_conv->shape;
        if (s.size() == 2) s.insert(s.begin(), 1);
        if (s != Shape{plan.batch, plan.conv->width, plan.conv->taps - 1})
            fail("/past_conv", "is " + to_string(p.past_conv->shape) + ", expected [batch " +
                                   std::to_string(plan.batch) + ", width " +
                                   std::to_string(plan.conv->width) +
                                   ", taps - 1 = " + std::to_string(plan.conv->taps - 1) + "]");
        plan.conv->past = b.add_tensor(std::move(*p.past_conv));
    }
    if (p.map_values && !p.feature_map)
        fail_at_key("/map_values", "\"map_values\" is given, but there is no \"feature_map\"");
    state.map_values = p.map_values;
    const auto given = [&](std::optional<TensorSource>& t, Index dim,
                           bool& by_column) -> std::optional<std::size_t> {
        if (!t) return std::nullopt;
        const Shape& s = t->shape;
        const auto is = [&](std::size_t axis, Index n) { return s[axis] == n || s[axis] == 1; };
        const bool fits = is(0, plan.batch) && is(1, plan.kv_heads) && is(2, plan.new_keys) &&
                          (s.size() == 3 || is(3, dim));
        if (!fits)
            fail(t->pointer, "is " + to_string(s) + ", expected [batch " + std::to_string(plan.batch) +
                                 ", head " + std::to_string(plan.kv_heads) + ", token " +
                                 std::to_string(plan.new_keys) + "], or with a last axis of " +
                                 std::to_string(dim) + "; an axis of 1 serves all");
        by_column = s.size() == 4 && s[3] == dim;
        return b.add_tensor(std::move(*t));
    };
    state.decay = given(p.decay, plan.dim, state.decay_by_column);
    state.decays = state.decays || state.decay;
    state.beta = given(p.beta, plan.value_dim, state.beta_by_column);
    state.has_beta = state.has_beta || state.beta;
    if (p.beta_factor && !state.has_beta)
        fail_at_key("/beta_factor", "\"beta_factor\" multiplies beta, but there is none");
    state.beta_factor = p.beta_factor.value_or(1);
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
