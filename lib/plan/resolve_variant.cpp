#include "lib/plan/builder.hpp"

namespace attn {
namespace {

const Variant& variant_named(std::string_view name) {
    for (const Variant& v : all_variants())
        if (v.name == name) return v;
    throw Error(Exit::defect, {}, "the table of variants has no " + std::string(name));
}

/// W_Q of TransformerLens says how many heads there are, and so does a kernel of three axes of Keras.
bool weights_have_heads(const Problem& p) {
    for (const NamedWeights& set : p.weights)
        for (const NamedTensor& t : set.tensors) {
            const WeightName& name = *weight_named(t.name);
            const bool kernel = name.family == WeightFamily::keras && t.tensor.shape.size() == 3;
            if (name.role == WeightRole::query && (kernel || name.family == WeightFamily::lens) &&
                !name.bias && t.tensor.shape[kernel ? 1 : 0] > 1)
                return true;
        }
    return false;
}

/// An option of the document, why it has no meaning here, and what helps.
struct Foreign {
    bool given;
    std::string_view key;
    std::string why;
};

bool has_weight(const Problem& p, WeightRole role) {
    for (const NamedWeights& set : p.weights)
        for (const NamedTensor& t : set.tensors)
            if (weight_named(t.name)->role == role) return true;
    return false;
}

}  // namespace

void choose_variant(Builder& b) {
    const Problem& p = b.problem;
    Plan& plan = b.plan;
    if (p.variant) {
        std::vector<std::string_view> names;
        for (const Variant& v : all_variants()) names.push_back(v.name);
        for (const Variant& v : all_variants())
            if (v.name == *p.variant) plan.variant = &v;
        if (plan.variant) return;
        std::string hint = did_you_mean(*p.variant, names);
        if (hint.empty()) {
            hint = "variants:";
            for (const auto& n : names) hint += " " + std::string(n);
        }
        fail("/variant", "is \"" + *p.variant + "\", which is not a variant", hint);
    }
    const auto infer = [&](std::string_view name, std::string because) {
        plan.variant = &variant_named(name);
        plan.inferred_because = std::move(because);
    };
    if (p.queries) {
        infer("scaled_dot_product", "queries are given");
    } else if (p.weights_are_a_list) {
        infer("stacked_heads", "the weights are a list");
    } else if (!p.has_weights) {
        infer("simplified", "there are no weights");
    } else if (p.key_embeddings) {
        infer("cross_attention", "key_embeddings are given");
    } else if (p.num_heads && *p.num_heads > 1) {
        infer("multi_head", "num_heads is above 1");
    } else if (!p.num_heads && weights_have_heads(p)) {
        infer("multi_head", "the weights have a head axis");
    } else if (p.causal && p.causal->kind != Causal::Kind::none) {
        infer("causal_attention", "causal is asked for");
    } else {
        infer("self_attention", "there are weights and one head");
    }
}

void refuse_foreign_options(Builder& b) {
    const Problem& p = b.problem;
    const Variant& v = *b.plan.variant;
    const bool state = v.keeps_state(), delta = v.memory == Memory::delta_state, latent = v.is_latent();
    const std::string name = "variant \"" + std::string(v.name) + "\"";
    const auto refuse = [&](std::initializer_list<Foreign> options) {
        for (const Foreign& o : options)
            if (o.given) fail_at_key(child("", o.key), "\"" + std::string(o.key) + "\" " + o.why);
    };
    const std::string no_scores = "acts on scores or weights, but " + name + " keeps a state instead of them",
                      no_state =
                          "is for variants that keep a state (linear, delta), but " + name + " does not",
                      no_latent = "is the cache of variant \"latent\", not of " + name;
    if (state)
        refuse({{p.softcap.has_value(), "softcap", no_scores},
                {p.window.has_value(), "window", no_scores},
                {p.chunk.has_value(), "chunk", no_scores},
                {p.prefix_keys.has_value(), "prefix_keys", no_scores},
                {p.token_blocks.has_value(), "token_blocks", no_scores},
                {p.key_lengths.has_value(), "key_lengths", no_scores},
                {!p.masks.empty(), "mask", no_scores},
                {p.mask_at.has_value(), "mask_at", no_scores},
                {p.normalize.has_value(), "normalize", no_scores},
                {p.empty_rows.has_value(), "empty_rows", no_scores},
                {p.alibi.has_value(), "alibi", no_scores},
                {p.position_bias.has_value(), "position_bias", no_scores},
                {p.sinks.has_value(), "sinks", no_scores},
                {p.dropout.has_value(), "dropout", no_scores},
                {p.add_zero_attn, "add_zero_attn", no_scores},
                {p.past_keys.has_value(), "past_keys",
                 "is a cache of keys, but " + name + " caches its state: \"past_state\""},
                {p.past_values.has_value(), "past_values",
                 "is a cache of values, but " + name + " caches its state: \"past_state\""}});
    if (!state)
        refuse({{p.past_state.has_value(), "past_state", no_state},
                {p.decay.has_value(), "decay", no_state},
                {p.beta.has_value(), "beta", no_state},
                {p.feature_map.has_value(), "feature_map", no_state},
                {p.map_values, "map_values", no_state},
                {p.conv.has_value(), "conv", no_state},
                {p.past_conv.has_value(), "past_conv", no_state},
                {p.beta_factor.has_value(), "beta_factor", no_state},
                {p.num_value_heads.has_value(), "num_value_heads", no_state},
                {p.normalizer, "normalizer", no_state}});
    if (!v.differential) {
        const std::string no_half = "is for variant \"differential\", but " + name + " has one softmax";
        refuse({{p.lambda.has_value(), "lambda", no_half},
                {p.lambda_init.has_value(), "lambda_init", no_half},
                {p.pairing.has_value(), "pairing", no_half}});
    }
    refuse(
        {{v.differential && p.gate && p.gate->norm, "gate",
          "has a norm, but " + name + " norms each head's context anyway"},
         {v.differential && p.gate && p.gate->from_queries, "gate",
          "is made from the queries, but " + name + " has two of them for each head: it takes \"W_gate\""},
         {state && !delta && p.conv && !(p.causal && p.causal->kind != Causal::Kind::none), "conv",
          "goes from token to token, but without \"causal\" every query reads the last state"},
         {p.conv && p.past_state.has_value() && !p.past_conv, "conv",
          "stands beside \"past_state\" without \"past_conv\": the tokens before the first one are not "
          "known"},
         {p.conv && p.gate && p.gate->from_queries, "conv",
          "convolves the projected queries, but half of them are the gate"},
         {state && !delta && p.beta_factor.has_value(), "beta_factor",
          "multiplies the rate of the delta rule: " + name + " adds every value as it is"},
         {state && !delta && p.beta.has_value(), "beta",
          "is the rate of the delta rule: " + name + " adds every value as it is"},
         {delta && p.normalizer, "normalizer",
          "divides by the sum of the keys, but the delta rule corrects what it has added: variant \"linear\" "
          "has it"},
         {p.normalizer && p.past_state.has_value(), "normalizer",
          "stands beside \"past_state\": the sum of the cached keys is not part of it"},
         {delta && p.causal && p.causal->kind == Causal::Kind::none, "causal",
          "is false, but the delta rule goes from token to token: it is always causal"},
         {latent && p.value_embeddings.has_value(), "value_embeddings",
          "is given, but " + name + " makes keys and values from one latent"},
         {latent && p.qk_norm.has_value(), "qk_norm",
          "is given, but " + name + " keeps its keys as a latent: there are none to normalise in its cache"},
         {latent && p.value_norm.has_value(), "value_norm",
          "is given, but " + name + " makes its values from the latent that a cache holds"},
         {latent && p.clip_qkv.has_value(), "clip_qkv",
          "is given, but " + name + " makes keys and values from the latent that a cache holds"},
         {p.query_scale && (state || has(v.needs, WeightRole::additive)), "query_scale",
          "makes scores larger or smaller, but " + name +
              (state ? " keeps a state instead of them" : " adds queries and keys")},
         {latent && p.past_keys.has_value(), "past_keys",
          "is given, but " + name + " caches \"past_latent\""},
         {latent && p.past_values.has_value(), "past_values",
          "is given, but " + name + " caches \"past_latent\""},
         {latent && p.gate && p.gate->from_queries, "gate",
          "is made from the queries, but " + name + " takes \"W_gate\""},
         {p.gate && p.gate->from_queries && !v.may_have(WeightRole::query), "gate",
          "is made from the queries, but " + name + " does not project them: W_query holds query and gate"},
         {!latent && p.past_latent.has_value(), "past_latent", no_latent},
         {!latent && p.past_rope_keys.has_value(), "past_rope_keys", no_latent},
         {has(v.needs, WeightRole::additive) && p.rope.has_value(), "rope",
          "turns columns that meet in a dot product, but " + name + " adds queries and keys"},
         {has_weight(p, WeightRole::score) && p.rope.has_value(), "rope",
          "turns pairs of columns that meet in a dot product, but W_score stands between them"}});
}

}  // namespace attn
