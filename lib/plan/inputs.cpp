#include "lib/plan/inputs.hpp"

#include <algorithm>
#include <array>

namespace attn {
namespace {

using Words = std::vector<std::string_view>;

/// The last axes of `words`, as many as the tensor has.
std::string last_of(const Words& words, std::size_t rank) {
    std::string out = "[";
    for (std::size_t k = words.size() - std::min(rank, words.size()); k < words.size(); ++k)
        out += (out.size() > 1 ? ", " : "") + std::string(words[k]);
    return out + "]";
}

std::string origin_of(const Plan& plan, const TensorSource& t) {
    constexpr std::array<const char*, 5> kinds{"", "torch.rand", "torch.randn", "torch.nn.Embedding", ""};
    const std::string kind = kinds[idx(t.kind)];
    return kind.empty() ? t.file
                        : kind + (t.doubles ? ", float64" : "") + ", " + seed_words(plan, t.shared, t.seed);
}

}  // namespace

std::string seed_words(const Plan& plan, bool shared, std::uint64_t seed) {
    return shared ? "manual_seed " + std::to_string(plan.manual_seed) : "seed " + std::to_string(seed);
}

std::vector<PlannedInput> inputs_of(const Plan& plan) {
    std::vector<PlannedInput> out;
    std::vector<bool> told(plan.tensors.size());
    const auto add = [&](std::optional<std::size_t> k, const Words& words) {
        if (!k || told[*k]) return;
        told[*k] = true;
        const TensorSource& t = plan.tensors[*k];
        out.push_back({t.pointer.substr(1), t.shape, last_of(words, t.shape.size()), origin_of(plan, t)});
    };
    const bool whole = plan.projected_given;
    add(plan.query_input, whole ? Words{"batch", "head", "query", "dim"} : Words{"batch", "query", "d_in"});
    add(plan.key_input, whole ? Words{"batch", "head", "key", "dim"} : Words{"batch", "key", "d_in"});
    add(plan.value_input, whole ? Words{"batch", "head", "key", "dim"} : Words{"batch", "key", "d_in"});
    if (plan.embeddings_norm) {
        add(plan.embeddings_norm->weight, {"d_in"});
        add(plan.embeddings_norm->bias, {"d_in"});
    }
    add(plan.past_keys, {"batch", "head", "cached key", "dim"});
    add(plan.past_values, {"batch", "head", "cached key", "dim"});
    add(plan.past_latent, {"batch", "cached key", "latent"});
    add(plan.past_rope_keys, {"batch", "cached key", "rope dim"});
    if (plan.rope) {
        add(plan.rope->cos, {"batch", "token", "pair"});
        add(plan.rope->sin, {"batch", "token", "pair"});
    }
    if (plan.conv) add(plan.conv->past, {"batch", "channel", "token before"});
    if (plan.state) {
        const auto with = [](bool by_column, std::string_view column) {
            return by_column ? Words{"batch", "head", "token", column} : Words{"batch", "head", "token"};
        };
        add(plan.state->decay, with(plan.state->decay_by_column, "dim"));
        add(plan.state->beta, with(plan.state->beta_by_column, "value dim"));
        add(plan.state->past, {"batch", "head", "dim", "value dim"});
    }
    if (plan.position_bias)
        add(plan.position_bias->tensor,
            plan.position_bias->buckets ? Words{"bucket", "head"} : Words{"batch", "head", "query", "key"});
    for (const MaskRule& m : plan.masks) add(m.tensor, {"batch", "head", "query", "key"});
    if (plan.gradient) {
        add(plan.gradient->output, {"batch", "query", "dim"});
        add(plan.gradient->target, {"batch", "query", "dim"});
        add(plan.gradient->context, {"batch", "head", "query", "dim"});
        add(plan.gradient->state, {"batch", "head", "dim", "value dim"});
    }
    add(plan.dropout_keep, {"batch", "head", "query", "key"});
    return out;
}

std::optional<std::string> hidden_by_gradient(const Plan& plan) {
    if (!plan.gradient || plan.gradient->loss != Loss::sum) return std::nullopt;
    return "ones: every query sends the same back to its weights, so that mistakes which mix up queries, "
           "heads "
           "or columns may not show";
}

std::optional<std::string> transpose_warning(const Plan& plan) {
    std::vector<std::string_view> names;
    for (const WeightNote& n : plan.weight_notes)
        if (n.transpose_fits && std::find(names.begin(), names.end(), n.name) == names.end())
            names.emplace_back(n.name);
    if (names.empty()) return std::nullopt;
    std::string list;
    for (const std::string_view n : names) list += (list.empty() ? "" : ", ") + std::string(n);
    return list + (names.size() > 1 ? " are square: each fits" : " is square: it fits") +
           " transposed as well, and is read as its name says; \"weight_layout\" among the weights says "
           "it outright";
}

}  // namespace attn
