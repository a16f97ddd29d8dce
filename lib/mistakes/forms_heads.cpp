// Queries, keys and values exchanged; heads cut and joined; rotary embeddings.
#include <algorithm>
#include <array>

#include "lib/mistakes/forms.hpp"

namespace attn {
namespace applies {

std::string queries_like_keys(const Replay& r) {
    const Plan& p = r.plan();
    if (p.heads != p.kv_heads) return "queries and keys differ in heads";
    if (p.queries != p.new_keys) return "queries and keys differ in number";
    return p.query_dim != p.key_dim ? "queries and keys differ in width" : "";
}
std::string keys_like_values(const Replay& r) {
    if (r.plan().head_group > 1 || r.plan().differential) return "keys and values differ in heads";
    return r.plan().key_dim != r.plan().value_dim ? "keys and values differ in width" : "";
}
std::string embeddings_like_values(const Replay& r) {
    const Plan& p = r.plan();
    if (p.projected_given || !p.projects(WeightRole::value) || p.variant->is_latent())
        return "values are not projected from embeddings";
    const Index width = p.tensors[*p.value_input].shape.back();
    return width != p.value_heads() * p.value_dim ? "the embeddings are not as wide as the values" : "";
}
std::string heads(const Replay& r) { return r.plan().context_heads() == 1 ? "there is one head" : ""; }
std::string projected_heads(const Replay& r) {
    const Plan& p = r.plan();
    if (p.heads == 1) return "there is one head";
    if (p.projected_given) return "queries, keys and values are given with their heads";
    return p.variant->weights_list ? "each head has matrices of its own" : "";
}
std::string square_weights(const Replay& r) {
    if (r.plan().state) return "there are no weights";
    return r.plan().queries != r.plan().keys ? "weights are not square: queries and keys differ in number"
                                             : "";
}
std::string square_output(const Replay& r) {
    const Plan& p = r.plan();
    if (!p.projects(WeightRole::output)) return "there is no output projection";
    return p.output_dim != p.context_heads() * p.value_dim ? "the output is not as wide as the contexts" : "";
}
std::string output_bias(const Replay& r) {
    return r.plan().projection(WeightRole::output).bias.empty() ? "there is no bias" : "";
}
std::string shared_kv_heads(const Replay& r) {
    const Plan& p = r.plan();
    if (p.kv_heads == p.heads) return "every head has its own keys and values";
    return p.kv_heads == 1 ? "there is one kv head" : "";
}
std::string rope_of_pairs(const Replay& r) {
    if (!r.plan().rope) return "there is no rotary embedding";
    return r.plan().rope->dims == 2 ? "a single pair turns" : "";
}
std::string rope_of_positions(const Replay& r) {
    if (!r.plan().rope) return "there is no rotary embedding";
    return r.plan().rope->cos ? "cosines and sines are given as tables" : "";
}
std::string rope_as_wide_as_values(const Replay& r) {
    if (!r.plan().rope) return "there is no rotary embedding";
    return r.plan().rope->dims > r.plan().value_dim ? "values are narrower than what turns" : "";
}
std::string drawn_alike(const Replay& r) {
    const Plan& p = r.plan();
    if (!p.init) return "no weights are drawn";
    const Projection& query = p.projection(WeightRole::query);
    for (const WeightRole role : {WeightRole::key, WeightRole::value})
        if (p.projection(role).d_in != query.d_in || p.projection(role).d_out != query.d_out)
            return "queries, keys and values differ in width";
    return "";
}

}  // namespace applies

namespace make {

Forms queries_keys_swapped(const Replay& r) {
    const Plan& p = r.plan();
    Forms out{{"", Stage::queries, false, [](Deviation& d) { d.quirks.swap_queries_keys = true; }}};
    if (p.keys != p.queries) return out;
    const bool changed_on_the_way = p.query_norm || p.rope || p.query_scale || p.projects(WeightRole::score);
    out.push_back({"where the scores are made", changed_on_the_way ? Stage::mapped_queries : Stage::scores,
                   false, [](Deviation& d) { d.quirks.swap_queries_keys_in_use = true; }});
    return out;
}
Forms keys_values_swapped(const Replay& r) {
    Forms out{{"", Stage::keys, false, [](Deviation& d) { d.quirks.swap_keys_values = true; }}};
    if (r.plan().dim == r.plan().value_dim)
        out.push_back({"where scores and contexts are made", Stage::scores, false,
                       [](Deviation& d) { d.quirks.swap_keys_values_in_use = true; }});
    return out;
}
Forms values_are_keys(const Replay& r) {
    Forms out{{"", Stage::values, true, [](Deviation& d) { d.quirks.values_are = ValuesAre::keys; }}};
    if (r.plan().dim == r.plan().value_dim)
        out.push_back({"where the context is made", Stage::context, true,
                       [](Deviation& d) { d.quirks.values_are = ValuesAre::keys_in_use; }});
    return out;
}
Forms values_are_embeddings(const Replay& /*r*/) {
    return {{"", Stage::values, true, [](Deviation& d) { d.quirks.values_are = ValuesAre::embeddings; }}};
}

Forms split_without_transpose(const Replay& /*r*/) {
    Forms out{{"", Stage::queries, false, [](Deviation& d) { d.quirks.split = HeadLayout::flat; }}};
    const auto form = [&](std::string of, Stage first, bool values_only, WeightRole role) {
        out.push_back({"", first, values_only,
                       [role](Deviation& d) {
                           d.quirks.split = HeadLayout::flat;
                           d.quirks.split_of = set_of({role});
                       },
                       std::move(of)});
    };
    form(":query", Stage::queries, false, WeightRole::query);
    form(":key", Stage::keys, false, WeightRole::key);
    form(":value", Stage::values, true, WeightRole::value);
    return out;
}
Forms split_interleaved(const Replay& /*r*/) {
    return {{"", Stage::queries, false, [](Deviation& d) { d.quirks.split = HeadLayout::interleaved; }},
            {"and contexts put side by side in the same way", Stage::queries, false,
             [](Deviation& d) { d.quirks.split = d.quirks.merge = HeadLayout::interleaved; }}};
}
Forms merge_without_transpose(const Replay& /*r*/) {
    return {{"", Stage::concat, true, [](Deviation& d) { d.quirks.merge = HeadLayout::flat; }}};
}
Forms weights_transposed(const Replay& /*r*/) {
    return {{"", Stage::context, true, [](Deviation& d) { d.quirks.weights_transposed = true; }}};
}
Forms no_output_projection(const Replay& /*r*/) {
    return {{"", Stage::head_outputs, true, [](Deviation& d) {
                 d.plan.projection(WeightRole::output).weight.clear();
                 d.plan.projection(WeightRole::output).bias.clear();
             }}};
}
Forms no_output_bias(const Replay& /*r*/) {
    return {
        {"", Stage::output, true, [](Deviation& d) { d.plan.projection(WeightRole::output).bias.clear(); }}};
}
Forms kv_heads_tiled(const Replay& /*r*/) {
    return {{"", Stage::scores, false, [](Deviation& d) { d.plan.kv_interleaved = !d.plan.kv_interleaved; }}};
}

Forms rope_pairs(const Replay& /*r*/) {
    return {{"", Stage::rope_keys, false,
             [](Deviation& d) { d.plan.rope->interleaved = !d.plan.rope->interleaved; }}};
}
Forms rope_position(const Replay& r) {
    Forms out;
    const auto form = [&](std::string detail, Index queries, Index keys) {
        out.push_back({std::move(detail), Stage::rope_keys, false, [queries, keys](Deviation& d) {
                           for (double& p : d.plan.rope->query_positions.numbers)
                               p += static_cast<double>(queries);
                           for (double& p : d.plan.rope->key_positions.numbers)
                               p += static_cast<double>(keys);
                       }});
    };
    const Index past = r.plan().past;
    form("all one too many", 1, 1);
    form("all one too few", -1, -1);
    form("those of the queries one too many", 1, 0);
    form("those of the queries one too few", -1, 0);
    if (past > 0) {
        form("the cache is forgotten", -past, -past);
        form("the cache is forgotten for the queries", -past, 0);
    }
    return out;
}
Forms rope_on_values(const Replay& r) {
    const bool normed_later = r.plan().norm_after_rope && r.plan().value_norm;
    return {{"", normed_later ? Stage::normed_values : Stage::mapped_values, true,
             [](Deviation& d) { d.quirks.rope_on_values = true; }}};
}

Forms init_order(const Replay& /*r*/) {
    constexpr std::array<WeightRole, 3> roles{WeightRole::query, WeightRole::key, WeightRole::value};
    constexpr std::array<std::string_view, 3> names{"query", "key", "value"};
    std::array<std::size_t, 3> order{0, 1, 2};
    Forms out;
    while (std::next_permutation(order.begin(), order.end())) {
        std::string words = "drawn in the order";
        for (const std::size_t k : order) words += (k == order[0] ? " " : ", ") + std::string(names[k]);
        out.push_back({words, Stage::queries, false, [order, roles](Deviation& d) {
                           const std::array<Projection, 3> drawn{d.plan.projection(roles[0]),
                                                                 d.plan.projection(roles[1]),
                                                                 d.plan.projection(roles[2])};
                           for (std::size_t k = 0; k < 3; ++k) d.plan.projection(roles[order[k]]) = drawn[k];
                       }});
    }
    return out;
}

}  // namespace make
}  // namespace attn
