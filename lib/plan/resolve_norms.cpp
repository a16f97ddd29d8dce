// Norms; what is done to queries, keys and values one by one: bounds, factors of queries.
#include <cmath>

#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Puts the weight and the bias of a norm into it. `what` is a word for messages.
void place_gain(Builder& b, PlannedNorm& norm, WeightRole weight, std::optional<WeightRole> bias, Index heads,
                Index dim) {
    const auto place = [&](WeightRole role) {
        const std::optional<std::size_t> k = b.vectors[idx(role)];
        if (!k) return k;
        const TensorSource& t = b.plan.tensors[*k];
        const Index n = *element_count(t.shape), wanted = norm.over_width ? heads * dim : dim;
        const bool for_heads = t.shape.size() == 2;
        if (for_heads && (t.shape[0] != heads || t.shape[1] != dim))
            fail(t.pointer, "is " + to_string(t.shape) + ", expected [heads " + std::to_string(heads) +
                                ", dim " + std::to_string(dim) + "]");
        if (!for_heads && n != wanted)
            fail(t.pointer,
                 "has " + std::to_string(n) + (n == 1 ? " number" : " numbers") + ", expected " +
                     std::to_string(wanted) + ": the norm goes over " +
                     (norm.over_width                     ? "the whole width"
                      : weight == WeightRole::concat_norm ? "the joined heads"
                      : weight == WeightRole::latent_norm || weight == WeightRole::query_latent_norm
                          ? "the latent"
                          : "each head"));
        return k;
    };
    norm.weight = place(weight);
    if (bias) norm.bias = place(*bias);
    const auto has_heads = [&](const std::optional<std::size_t>& k) {
        return k && b.plan.tensors[*k].shape.size() == 2;
    };
    norm.by_head = norm.over_width || has_heads(norm.weight) || has_heads(norm.bias);
    if (norm.weight && norm.bias && !norm.over_width && has_heads(norm.weight) != has_heads(norm.bias))
        fail(b.plan.tensors[*norm.bias].pointer, "is " + to_string(b.plan.tensors[*norm.bias].shape) +
                                                     ", but the weight is " +
                                                     to_string(b.plan.tensors[*norm.weight].shape));
}

void refuse_without(const Builder& b, WeightRole role, const char* what, const char* key) {
    if (const auto& k = b.vectors[idx(role)])
        fail_at_key(b.plan.tensors[*k].pointer,
                    std::string("is the ") + what + " of a norm, but there is no \"" + key + "\"",
                    "\"" + std::string(key) + "\": {\"type\": \"rms\"} says which norm it is");
}

void resolve_qk_norm(Builder& b) {
    Plan& plan = b.plan;
    const std::optional<QkNorm>& asked = b.problem.qk_norm;
    if (!asked) {
        for (const WeightRole r : {WeightRole::query_norm, WeightRole::key_norm})
            refuse_without(b, r, "weight", "qk_norm");
        for (const WeightRole r : {WeightRole::query_norm_bias, WeightRole::key_norm_bias})
            refuse_without(b, r, "bias", "qk_norm");
        return;
    }
    for (const WeightRole r : {WeightRole::query_norm_bias, WeightRole::key_norm_bias})
        if (b.vectors[idx(r)] && asked->type != NormType::layer)
            fail_at_key(plan.tensors[*b.vectors[idx(r)]].pointer,
                        "is the bias of a norm, but \"qk_norm\" is no layer norm");
    if (asked->after_rope && !b.problem.rope) fail("/qk_norm/after", "is \"rope\", but there is no \"rope\"");
    plan.norm_after_rope = asked->after_rope;
    const auto made = [&](WeightRole weight, WeightRole bias, Index heads, Index dim) {
        PlannedNorm n{asked->type, asked->eps, asked->over_width, asked->plus_one, {}, {}, false};
        place_gain(b, n, weight, bias, heads, dim);
        return n;
    };
    plan.query_norm =
        made(WeightRole::query_norm, WeightRole::query_norm_bias, plan.query_heads(), plan.query_dim);
    plan.key_norm = made(WeightRole::key_norm, WeightRole::key_norm_bias, plan.key_heads(), plan.key_dim);
}

void resolve_clip(Builder& b) {
    const std::optional<Clip>& clip = b.problem.clip_qkv;
    if (!clip) return;
    if (b.plan.projected_given)
        fail("/clip_qkv", "clamps what is projected, but queries, keys and values are given");
    for (const auto& [role, what] :
         {std::pair{WeightRole::query, "queries"}, {WeightRole::key, "keys"}, {WeightRole::value, "values"}})
        if (!b.plan.projects(role))
            fail("/clip_qkv", std::string("clamps what is projected, but nothing projects the ") + what);
    if (clip->after_norm && !b.plan.query_norm)
        fail("/clip_qkv/after", "is \"norm\", but there is no \"qk_norm\"");
    b.plan.clip = clip;
}

}  // namespace

std::optional<double> Rules::limit_of(Stage stage) const {
    if (!clip) return std::nullopt;
    const bool normed = stage == Stage::normed_queries || stage == Stage::normed_keys,
               projected = stage == Stage::queries || stage == Stage::keys;
    const bool values = stage == (clip->after_norm && value_norm ? Stage::normed_values : Stage::values);
    return values || (clip->after_norm ? normed : projected) ? std::optional(clip->max) : std::nullopt;
}

void resolve_embeddings_norm(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.embeddings_norm) return;
    EmbeddingsNorm& asked = *b.problem.embeddings_norm;
    if (plan.projected_given)
        fail_at_key("/embeddings_norm",
                    "\"embeddings_norm\" is of embeddings, but queries, keys and values are given");
    plan.norms_key_embeddings = asked.keys;
    if (asked.keys && !b.problem.key_embeddings && plan.key_input == plan.query_input)
        fail("/embeddings_norm/keys",
             "is true, but there are no \"key_embeddings\": keys are made from the "
             "embeddings, which are normed anyway");
    plan.embeddings_norm = PlannedNorm{asked.type, asked.eps, false, asked.plus_one, {}, {}, false};
    const auto place = [&](std::optional<TensorSource>& t) -> std::optional<std::size_t> {
        if (!t) return std::nullopt;
        const Index n = *element_count(t->shape);
        const auto check = [&](Index width, const std::string& of) {
            if (n != width)
                fail(t->pointer, "has " + std::to_string(n) + (n == 1 ? " number" : " numbers") + ", but " +
                                     of + " have the width " + std::to_string(width));
        };
        check(b.query_width, b.query_name);
        if (asked.keys) check(b.key_width, b.key_name);
        return b.add_tensor(std::move(*t));
    };
    plan.embeddings_norm->weight = place(asked.weight);
    plan.embeddings_norm->bias = place(asked.bias);
}

void resolve_norms(Builder& b) {
    Plan& plan = b.plan;
    resolve_qk_norm(b);
    if (b.problem.value_norm) {
        plan.value_norm = PlannedNorm{NormType::rms, b.problem.value_norm->eps, false, false, {}, {}, false};
        place_gain(b, *plan.value_norm, WeightRole::value_norm, std::nullopt, plan.value_heads(),
                   plan.value_dim);
    } else {
        refuse_without(b, WeightRole::value_norm, "weight", "value_norm");
    }
    const auto of_latent = [&](WeightRole weight, WeightRole made) -> std::optional<PlannedNorm> {
        const auto& k = b.vectors[idx(weight)];
        if (!k) return std::nullopt;
        if (!plan.projects(made))
            fail_at_key(plan.tensors[*k].pointer,
                        "is the weight of a norm of the queries' latent, but queries are made by W_query");
        PlannedNorm norm;
        place_gain(b, norm, weight, std::nullopt, 1, plan.projection(made).d_out);
        return norm;
    };
    plan.query_latent_norm = of_latent(WeightRole::query_latent_norm, WeightRole::query_latent);
    plan.latent_norm = of_latent(WeightRole::latent_norm, WeightRole::latent);
    resolve_clip(b);
}

void resolve_output_norms(Builder& b) {
    Plan& plan = b.plan;
    const Problem& p = b.problem;
    if (plan.differential) {
        plan.context_norm = PlannedNorm{};
        plan.context_norm->eps = 1e-5;
        plan.context_norm->factor = plan.differential->lambda ? 1 : 1 - plan.differential->init;
        place_gain(b, *plan.context_norm, WeightRole::context_norm, std::nullopt, plan.context_heads(),
                   plan.value_dim);
    } else if (plan.gate && plan.gate->norm) {
        plan.context_norm =
            PlannedNorm{NormType::rms, plan.gate->eps, plan.gate->over_width, false, {}, {}, false};
        place_gain(b, *plan.context_norm, WeightRole::context_norm, std::nullopt, plan.heads, plan.value_dim);
    } else if (const auto& k = b.vectors[idx(WeightRole::context_norm)]) {
        fail_at_key(plan.tensors[*k].pointer,
                    "is the weight of a norm, but there is no \"gate\" with \"norm\": \"rms\"");
    }
    if (!p.concat_norm) {
        refuse_without(b, WeightRole::concat_norm, "weight", "concat_norm");
        refuse_without(b, WeightRole::concat_norm_bias, "bias", "concat_norm");
        return;
    }
    if (const auto& k = b.vectors[idx(WeightRole::concat_norm_bias)];
        k && p.concat_norm->type != NormType::layer)
        fail_at_key(plan.tensors[*k].pointer, "is the bias of a norm, but \"concat_norm\" is no layer norm");
    // One head as wide as all of them.
    plan.concat_norm = PlannedNorm{p.concat_norm->type, p.concat_norm->eps, false, false, {}, {}, false};
    place_gain(b, *plan.concat_norm, WeightRole::concat_norm, WeightRole::concat_norm_bias, 1,
               plan.context_heads() * plan.value_dim);
}

void resolve_query_scale(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.query_scale) return;
    const QueryScale& asked = *b.problem.query_scale;
    PlannedQueryScale out;
    out.queries = plan.queries;
    if (!asked.beta) {
        const Shape& s = asked.shape;
        const auto fits = [&](std::size_t from_right, Index wanted) {
            return s.size() < from_right || s[s.size() - from_right] == wanted ||
                   (from_right > 1 && s[s.size() - from_right] == 1);
        };
        if (!fits(1, plan.queries) || !fits(2, plan.heads) || !fits(3, plan.batch))
            fail("/query_scale",
                 "is " + to_string(s) + ", but the queries are [batch " + std::to_string(plan.batch) +
                     ", head " + std::to_string(plan.heads) + ", query " + std::to_string(plan.queries) + "]",
                 "factors are [query], [head, query] or [batch, head, query]");
        if (s.size() > 1) out.heads = s[s.size() - 2];
        if (s.size() > 2) out.items = s[0];
        out.numbers = asked.numbers;
        plan.query_scale = std::move(out);
        return;
    }
    Places places;
    if (plan.rope && !plan.rope->cos) {
        places = plan.rope->query_positions;
    } else {
        for (Index i = 0; i < plan.queries; ++i) places.numbers.push_back(static_cast<double>(plan.past + i));
    }
    out.items = places.items;
    for (const double position : places.numbers) {
        const double steps = std::floor((position + static_cast<double>(asked.shift)) / asked.every);
        if (!(steps > -1))
            fail("/query_scale", "has no logarithm at the position " + significant(position, 9));
        out.numbers.push_back(1 + *asked.beta * std::log(1 + steps));
    }
    plan.query_scale = std::move(out);
}

}  // namespace attn
