#include <cmath>

#include "lib/input/choices.hpp"
#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// The slopes of the paper, section 3: a geometric sequence for a power of two; for other numbers of heads,
/// as the authors' code has it, every second slope of twice the next lower power of two follows.
std::vector<double> paper_slopes(Index heads) {
    const auto of_power = [](Index n) {
        std::vector<double> s;
        for (Index k = 1; k <= n; ++k)
            s.push_back(std::exp2(-8.0 * static_cast<double>(k) / static_cast<double>(n)));
        return s;
    };
    Index power = 1;
    while (2 * power <= heads) power *= 2;
    std::vector<double> out = of_power(power);
    const std::vector<double> more = of_power(2 * power);
    for (std::size_t k = 0; static_cast<Index>(out.size()) < heads; k += 2) out.push_back(more[k]);
    return out;
}

void check_per_head(const Builder& b, const std::vector<double>& numbers, const char* key, const char* what) {
    if (static_cast<Index>(numbers.size()) != b.plan.heads)
        fail(child("", key), "has " + std::to_string(numbers.size()) + " " + what + ", but there are " +
                                 std::to_string(b.plan.heads) + (b.plan.heads == 1 ? " head" : " heads"));
}

}  // namespace

void choose_scale(Builder& b) {
    Plan& plan = b.plan;
    if (b.problem.scale_none || (!b.problem.scale && (!plan.variant->scaled || b.problem.normalizer))) {
        plan.scale_text = "none";
        return;
    }
    plan.scaled = true;
    if (b.problem.scale) {
        plan.scale = *b.problem.scale;
        plan.scale_text = significant(plan.scale, 9);
        if (plan.dtype == DType::float32 && !std::isfinite(static_cast<float>(plan.scale)))
            fail("/scale", "is " + plan.scale_text + ", above the largest float32",
                 "use \"dtype\": \"float64\"");
    } else {
        plan.scale = 1 / std::sqrt(static_cast<double>(plan.dim));
        plan.scale_root = plan.dim;
        plan.scale_text = "1/√" + std::to_string(plan.dim);
    }
}

void resolve_scores(Builder& b) {
    Plan& plan = b.plan;
    Problem& p = b.problem;
    plan.softcap = p.softcap;
    if (p.softcap && plan.mask_at == MaskAt::scores)
        fail("/softcap", "stands beside \"mask_at\": \"scores\": a cap would bring hidden scores back");
    if (p.alibi) {
        plan.alibi = p.alibi->slopes.empty() ? paper_slopes(plan.heads) : p.alibi->slopes;
        check_per_head(b, plan.alibi, "alibi", "slopes");
    }
    if (p.position_bias) {
        const Shape& s = p.position_bias->shape;
        if (s[0] != plan.heads || s[1] != plan.queries || s[2] != plan.given_keys())
            fail(p.position_bias->pointer,
                 "is " + to_string(s) + ", expected [head " + std::to_string(plan.heads) + ", query " +
                     std::to_string(plan.queries) + ", key " + std::to_string(plan.given_keys()) + "]");
        plan.position_bias = b.add_tensor(std::move(*p.position_bias));
    }
    if (p.sinks) {
        check_per_head(b, *p.sinks, "sinks", "numbers");
        if (plan.normalize != Normalize::softmax)
            fail("/sinks", "take part in a softmax, but \"normalize\" is \"" +
                               std::string(choice_name(plan.normalize)) + "\"");
        if (plan.empty_rows == EmptyRows::nan)
            fail("/empty_rows", "is \"nan\", but a row with a sink always has something to divide by");
        plan.sinks = *p.sinks;
    }
}

}  // namespace attn
