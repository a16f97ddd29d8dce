#include <cmath>

#include "lib/input/choices.hpp"
#include "lib/input/read_options.hpp"
#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

void check_per_head(const Builder& b, const std::vector<double>& numbers, const char* key, const char* what) {
    if (static_cast<Index>(numbers.size()) != b.plan.heads)
        fail(child("", key), "has " + std::to_string(numbers.size()) + " " + what + ", but there are " +
                                 std::to_string(b.plan.heads) + (b.plan.heads == 1 ? " head" : " heads"));
}

void resolve_position_bias(Builder& b) {
    Plan& plan = b.plan;
    PositionBias& given = *b.problem.position_bias;
    const Shape& s = given.tensor.shape;
    PlannedBias out{0, given.buckets, 0};
    if (given.buckets) {
        const Buckets& rule = *given.buckets;
        out.rows = s[0];
        if (s[1] != plan.heads)
            fail(given.tensor.pointer, "is " + to_string(s) + ", expected [buckets, head " +
                                           std::to_string(plan.heads) + "]: a column for each head");
        const Index left = rule.bidirectional ? s[0] / 2 : s[0], half = left / 2;
        if (half < 1)
            fail(given.tensor.pointer, "has " + std::to_string(s[0]) + (s[0] == 1 ? " bucket" : " buckets") +
                                           ", expected at least " +
                                           (rule.bidirectional ? "4: two for each direction" : "2"));
        if (rule.max_distance <= half)
            fail("/position_bias/max_distance",
                 "is " + std::to_string(rule.max_distance) + ", expected more than " + std::to_string(half) +
                     ": distances below that have a bucket each, farther ones share the others");
    } else {
        const Shape four = four_axes(s);
        if ((four[0] != 1 && four[0] != plan.batch) || four[1] != plan.heads || four[2] != plan.queries ||
            four[3] != plan.given_keys())
            fail(given.tensor.pointer,
                 "is " + to_string(s) + ", expected [head " + std::to_string(plan.heads) + ", query " +
                     std::to_string(plan.queries) + ", key " + std::to_string(plan.given_keys()) +
                     "], or an axis of the " + std::to_string(plan.batch) +
                     (plan.batch == 1 ? " batch item" : " batch items") + " before it");
    }
    out.tensor = b.add_tensor(std::move(given.tensor));
    plan.position_bias = out;
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
        if (!is_wide(plan.dtype) && !std::isfinite(static_cast<float>(plan.scale)))
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
    if (p.position_bias) resolve_position_bias(b);
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
