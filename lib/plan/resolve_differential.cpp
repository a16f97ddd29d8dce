// Lambda of differential attention, and the options that have no meaning elsewhere.
#include <array>
#include <optional>
#include <string>

#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array lambda_roles{WeightRole::lambda_q1, WeightRole::lambda_k1, WeightRole::lambda_q2,
                                  WeightRole::lambda_k2};

const char* lambda_formula =
    "lambda is a number, or exp(lambda_q1 · lambda_k1) - exp(lambda_q2 · lambda_k2) + lambda_init";

}  // namespace

void resolve_differential(Builder& b) {
    Plan& plan = b.plan;
    const Problem& p = b.problem;
    if (!plan.differential) return;
    PlannedDifferential& out = *plan.differential;
    const std::optional<std::size_t>* given = nullptr;
    for (const WeightRole r : lambda_roles)
        if (b.vectors[idx(r)]) given = &b.vectors[idx(r)];
    if (p.lambda) {
        if (given)
            fail_at_key(plan.tensors[**given].pointer,
                        "is a part of lambda, but \"lambda\" is given as a number");
        if (p.lambda_init)
            fail("/lambda_init", "stands beside \"lambda\": a number is all of it", lambda_formula);
        out.lambda = p.lambda;
        return;
    }
    if (!given && !p.lambda_init)
        fail("",
             "has no \"lambda\": variant \"" + std::string(plan.variant->name) +
                 "\" subtracts lambda times the weights of the second half heads",
             lambda_formula);
    if (!p.lambda_init) fail("", "has no \"lambda_init\" to go with lambda_q1 ... lambda_k2", lambda_formula);
    out.init = *p.lambda_init;
    for (std::size_t k = 0; k < lambda_roles.size(); ++k) {
        constexpr std::array names{"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"};
        const auto& place = b.vectors[idx(lambda_roles[k])];
        if (!place)
            fail(p.has_weights ? "/weights" : "",
                 "has no \"" + std::string(names[k]) + "\" to go with \"lambda_init\"", lambda_formula);
        out.vectors[k] = *place;
        const Index n = *element_count(plan.tensors[*place].shape);
        if (n != plan.dim)
            fail(plan.tensors[*place].pointer, "has " + how_many(n, "number", "numbers") +
                                                   ", but half heads have the width " +
                                                   std::to_string(plan.dim));
    }
    out.width = plan.dim;
}

}  // namespace attn
