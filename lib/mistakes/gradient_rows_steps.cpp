// Mistakes of backward passes outside of queries x keys: what enters, heads, positions, norms, projections,
// states.
#include <algorithm>
#include <array>
#include <cmath>

#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using gradient::BackwardQuirks;
using gradient::MatrixBack;
using gradient::NormBack;

template <class F>
GradientForms step(const F& make) {
    return {{"", [make](BackwardDeviation& d) { make(d.steps); }}};
}
template <bool gradient::StateQuirks::*quirk>
GradientForms state_is(const Replay&) {
    return step([](BackwardQuirks& q) { q.state.*quirk = true; });
}

std::vector<const PlannedNorm*> norms_of(const Plan& p) {
    std::vector<const PlannedNorm*> out;
    for (const auto* n : {&p.query_norm, &p.key_norm, &p.value_norm, &p.query_latent_norm, &p.latent_norm,
                          &p.embeddings_norm, &p.context_norm, &p.concat_norm})
        if (*n) out.push_back(&**n);
    return out;
}
std::string needs_norm(const Replay& r) { return unless(!norms_of(r.plan()).empty(), "there is no norm"); }
std::string needs_norm_weight(const Replay& r) {
    const auto norms = norms_of(r.plan());
    return unless(
        std::any_of(norms.begin(), norms.end(), [](const PlannedNorm* n) { return n->weight.has_value(); }),
        "no norm has a weight");
}
std::string needs_rope(const Replay& r) {
    return unless(r.plan().rope.has_value(), "there is no rotary embedding");
}
std::string needs_delta(const Replay& r) {
    return unless(r.plan().state && r.plan().state->delta, "there is no delta rule");
}
std::string needs_decay(const Replay& r) {
    return unless(r.plan().state && r.plan().state->decays, "there is no decay");
}
std::string needs_state(const Replay& r) { return unless(r.plan().state.has_value(), "there is no state"); }
std::string needs_normalizer(const Replay& r) {
    return unless(r.plan().state && r.plan().state->normalizer, "there is no normaliser");
}
std::string needs_joined_heads(const Replay& r) {
    const Plan& p = r.plan();
    return unless(p.find(Stage::concat) && p.context_heads() > 1 && p.queries > 1,
                  "there is one head or one token");
}

/// The projections that there are, with the name of what each is made by.
struct Matrix {
    WeightRole role;
    std::string name;
    bool square;
};
std::vector<Matrix> matrices_of(const Plan& p) {
    std::vector<Matrix> out;
    for (std::size_t k = 0; k < projection_count; ++k) {
        const auto role = static_cast<WeightRole>(k);
        if (!p.projects(role)) continue;
        const Projection& of = p.projection(role);
        const TensorSource& t = p.tensors[of.weight.front().tensor];
        std::string name = t.name.empty() ? t.pointer.substr(t.pointer.rfind('/') + 1) : t.name;
        out.push_back({role, std::move(name), of.d_in == of.d_out});
    }
    return out;
}

/// All of them together, then each by itself where they have names of their own.
GradientForms matrix_forms(const Replay& r, MatrixBack how, bool square) {
    std::vector<Matrix> all = matrices_of(r.plan());
    if (square) std::erase_if(all, [](const Matrix& m) { return !m.square; });
    GradientForms out;
    const auto add = [&](WeightRoles roles, std::string detail, std::string of) {
        out.push_back({std::move(detail),
                       [roles, how](BackwardDeviation& d) {
                           d.steps.matrix = how;
                           d.steps.matrices = roles;
                       },
                       std::move(of)});
    };
    add(~WeightRoles{0}, "", "");
    if (all.size() < 2) return out;
    for (const Matrix& m : all) {
        const auto same = [&](const Matrix& o) { return o.name == m.name; };
        if (std::count_if(all.begin(), all.end(), same) == 1)
            add(set_of({m.role}), "of " + m.name, ":" + m.name);
    }
    return out;
}
template <MatrixBack how>
GradientForms matrix_is(const Replay& r) {
    return matrix_forms(r, how, how == MatrixBack::transposed);
}
std::string needs_matrix(const Replay& r) {
    return unless(!matrices_of(r.plan()).empty(), "nothing is projected");
}
std::string needs_square_matrix(const Replay& r) {
    const auto all = matrices_of(r.plan());
    return unless(std::any_of(all.begin(), all.end(), [](const Matrix& m) { return m.square; }),
                  "no weight is square: the shapes do not fit");
}
std::string needs_matrix_of_items(const Replay& r) {
    if (std::string why = needs_matrix(r); !why.empty()) return why;
    return unless(r.plan().batch > 1, "there is one batch item");
}

/// The projections that read the input that most of them read.
std::vector<Matrix> readers_of_input(const Plan& p) {
    std::vector<Matrix> out;
    if (p.projected_given || p.variant->is_latent() || p.query_input != p.key_input) return out;
    for (Matrix& m : matrices_of(p)) {
        const bool of_input = m.role == WeightRole::query || m.role == WeightRole::key ||
                              (m.role == WeightRole::value && p.value_input == p.key_input);
        if (of_input) out.push_back(std::move(m));
    }
    return out;
}
std::string needs_shared_input(const Replay& r) {
    return unless(readers_of_input(r.plan()).size() > 1, "no input is read by several projections");
}
GradientForms input_overwritten(const Replay& r) {
    GradientForms out;
    for (const Matrix& m : readers_of_input(r.plan())) {
        const std::string of = m.role == WeightRole::query ? "queries"
                               : m.role == WeightRole::key ? "keys"
                                                           : "values";
        out.push_back({"what the " + of + " send back is left",
                       [role = m.role](BackwardDeviation& d) { d.steps.only_path = role; }});
    }
    return out;
}

// clang-format off
constexpr std::string_view norm_line = "dx = r * (e - n * (e * n).mean(-1, keepdim=True)), e = dy * w, n = x * r";
constexpr std::string_view one_item = "there is one batch item";
constexpr std::array step_mistakes{
    GradientMistakeRow{"rope_not_inverted", "the backward pass turns queries and keys on, not back", "norms of rows are right, and position 0 is", "dx = turn(dy, cos, -sin)",
     "every position is 0", needs_rope, [](const Replay&) { return step([](BackwardQuirks& q) { q.rope_not_inverted = true; }); }},
    GradientMistakeRow{"norm_no_projection", "a norm sends back r * e, as if r were a constant", "x * dx does not sum to 0 over a row", norm_line,
     "", needs_norm, [](const Replay&) { return step([](BackwardQuirks& q) { q.norm = NormBack::no_projection; }); }},
    GradientMistakeRow{"norm_no_weight", "a norm's weight is left out of the backward pass", "right where the weight is 1", norm_line,
     "the weight is 1", needs_norm_weight, [](const Replay&) { return step([](BackwardQuirks& q) { q.norm = NormBack::no_weight; }); }},
    GradientMistakeRow{"heads_not_transposed", "d_concat [token, head * dim] is read as [head, token, dim]", "d_context holds its numbers in other places", "do = dconcat.view(batch, tokens, heads, dim).transpose(1, 2)",
     "there is one head or one token", needs_joined_heads, [](const Replay&) { return step([](BackwardQuirks& q) { q.heads_not_transposed = true; }); }},
    GradientMistakeRow{"shared_input_overwritten", "an input that several projections read gets what one of them sends back: = in place of +=", "d_embeddings is one path's", "dx = dq @ W_q.T; dx += dk @ W_k.T; dx += dv @ W_v.T",
     "the other paths send nothing", needs_shared_input, input_overwritten},
    GradientMistakeRow{"dW_transposed", "the gradient of a weight is the other way round", "d_W is its transpose", "dW = x.T @ dy for y = x @ W; dy.T @ x for nn.Linear's",
     "the weight is not square", needs_square_matrix, matrix_is<MatrixBack::transposed>},
    GradientMistakeRow{"dW_first_item", "the gradient of a weight is the first batch item's", "d_W is one item's", "dW = (x.transpose(-1, -2) @ dy).sum(0)",
     one_item, needs_matrix_of_items, matrix_is<MatrixBack::first_item>},
    GradientMistakeRow{"dW_mean_over_batch", "the gradient of a weight is the mean over batch items", "d_W is off by 1/batch", "dW = (x.transpose(-1, -2) @ dy).sum(0)",
     one_item, needs_matrix_of_items, matrix_is<MatrixBack::mean_over_batch>},
    GradientMistakeRow{"dx_from_dW", "what a projection sends back is made with the gradient of its weight", "what comes before the projection is wrong, d_W is right", "dx = dy @ W.T",
     "", needs_matrix, matrix_is<MatrixBack::in_place_of_weight>},
    GradientMistakeRow{"normalizer_constant", "the normaliser is taken for a constant", "d_queries and d_keys are wrong, d_values is right", "dn = -(do * o).sum(-1, keepdim=True) / n; dq += dn * z; dz += dn * q",
     "", needs_normalizer, state_is<&gradient::StateQuirks::normalizer_constant>},
    GradientMistakeRow{"delta_state_identity", "the state before gets the gradient of the state after as it is", "the last token's keys are right, those before it are not", "dS = dS - k[:, None] * w[None, :]",
     "there is one token", needs_delta, state_is<&gradient::StateQuirks::state_identity>},
    GradientMistakeRow{"delta_error_constant", "what the state recalls is taken for a constant: v - S k without its gradient", "the last token's keys are wrong, its values and beta are right", "dk = dS @ u - S @ w; dS = dS - k[:, None] * w[None, :]",
     "the state is 0 before each token", needs_delta, state_is<&gradient::StateQuirks::error_constant>},
    GradientMistakeRow{"decay_not_in_backward", "the gradient of the state is not decayed from token to token", "the last token is right", "dS = exp(g) * dS",
     "there is one token", needs_decay, state_is<&gradient::StateQuirks::no_decay>},
    GradientMistakeRow{"state_not_carried", "each token's state gets what its own query sends back, nothing of later tokens", "the last token is right", "dS is carried through the loop over tokens, and added to",
     "there is one token", needs_state, state_is<&gradient::StateQuirks::not_carried>},
    GradientMistakeRow{"decay_no_factor", "the gradient of a decay is taken with the state before it decayed", "d_decay alone is wrong", "dg = (dS * exp(g) * S_before).sum((-2, -1))",
     "there is one token and no past", needs_decay, state_is<&gradient::StateQuirks::decay_of_state_before>},
    GradientMistakeRow{"upstream_scaled", "another factor enters: the mean in place of the sum of a loss, or the other way round", "all gradients are off by one factor", "loss.mean() and loss.sum() differ by the number of entries",
     "", [](const Replay&) { return std::string{}; }, [](const Replay& r) {
         const Plan& p = r.plan();
         GradientForms out;
         const PlannedGradient& g = *p.gradient;
         const Index entries = *element_count(p.find(g.result)->shape);
         for (const Index n : {entries, p.batch * p.queries, p.batch, p.queries})
             if (n > 1)
                 for (const double by : {static_cast<double>(n), 1 / static_cast<double>(n)}) out.push_back(entering_times(by, p));
         return out;
     }},
};
// clang-format on

}  // namespace

std::span<const GradientMistakeRow> gradient_rows_of_steps() { return step_mistakes; }

GradientForm entering_times(double factor, const Plan& plan) {
    GradientForm out;
    out.make = [factor](BackwardDeviation& d) { d.steps.entering_times = factor; };
    out.measured = Measurement{"factor", {factor}, {1}};
    const Shape& result = plan.find(plan.gradient->result)->shape;
    const std::array<std::pair<Index, const char*>, 4> counts{
        {{*element_count(result), "entries of the result"},
         {plan.batch * plan.queries, "rows of the result"},
         {plan.batch, "batch items"},
         {plan.queries, "tokens"}}};
    for (const auto& [n, of] : counts) {
        const auto count = static_cast<double>(n);
        if (n < 2 || !out.measured->origin.empty()) continue;
        if (std::abs(factor - count) < 1e-4 * count) out.measured->origin = std::to_string(n) + " " + of;
        if (std::abs(factor * count - 1) < 1e-4) out.measured->origin = "1/" + std::to_string(n) + ", " + of;
    }
    return out;
}

}  // namespace attn
