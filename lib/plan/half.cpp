#include "lib/plan/half.hpp"

#include <algorithm>
#include <array>

#include "lib/option_words.hpp"
#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// THE TABLE of steps within stages that are rounded: where there is one, and which it is.
struct Step {
    bool (*is_in)(const Plan& plan);
    std::string_view words;
};

bool has_weighed_norm(const Plan& plan) {
    const std::array norms{&plan.query_norm,        &plan.key_norm,    &plan.value_norm,
                           &plan.query_latent_norm, &plan.latent_norm, &plan.embeddings_norm,
                           &plan.context_norm,      &plan.concat_norm};
    return std::any_of(norms.begin(), norms.end(), [](const std::optional<PlannedNorm>* n) {
        return *n && (*n)->weight && (*n)->rounds_before_weight();
    });
}

constexpr std::array rounded_within{
    Step{has_weighed_norm, "what an rms norm makes, before its weight"},
    Step{[](const Plan& p) { return p.rope.has_value(); },
         "cosines and sines of the rope, and each product with them"},
    Step{[](const Plan& p) { return p.projects(WeightRole::score); }, "queries · W_score"},
    Step{[](const Plan& p) { return p.additive.has_value(); }, "queries + keys, and their tanh"},
    Step{[](const Plan& p) { return p.softcap.has_value(); }, "scores / softcap, and their tanh"},
    Step{[](const Plan& p) { return !p.alibi.empty() || p.position_bias; }, "the bias that is added"},
    Step{[](const Plan& p) {
             return std::count_if(p.masks.begin(), p.masks.end(),
                                  [](const MaskRule& m) { return m.kind == MaskKind::add; }) > 1;
         },
         "the sum of the masks"},
    Step{[](const Plan& p) { return p.normalize == Normalize::sum || p.find(Stage::renormalized_weights); },
         "the row sums that divide"},
    Step{[](const Plan& p) { return p.dropout.has_value(); }, "1 / (1 - p) of the dropout"},
    Step{[](const Plan& p) { return p.gate.has_value(); }, "the gate, and its activation"},
};

const std::string in_full = R"("dtype": "float32", or )" + option::dtype + " float32";

}  // namespace

std::vector<std::string_view> rounded_steps(const Plan& plan) {
    std::vector<std::string_view> out;
    for (const Step& step : rounded_within)
        if (plan.rounding.changes() && step.is_in(plan)) out.push_back(step.words);
    return out;
}

void refuse_in_half(Builder& b) {
    if (!b.plan.rounding.changes()) return;
    const std::string type = name_of(b.plan.dtype);
    const Variant& v = *b.plan.variant;
    if (b.problem.gradient)
        fail_at_key("/gradient", "asks for a backward pass, but in " + type + " there is none", in_full);
    if (v.keeps_state() || v.differential)
        fail("/variant",
             "is \"" + std::string(v.name) + "\", which is not computed in " + type +
                 ": codes of it do not round at the same places",
             in_full);
}

void refuse_half(const Plan& plan, std::string_view what) {
    if (plan.rounding.changes())
        fail("",
             "is computed in " + std::string(name_of(plan.dtype)) + ", but " + std::string(what) +
                 " is there for float32 and float64 alone",
             in_full);
}

}  // namespace attn
