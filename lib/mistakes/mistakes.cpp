#include "lib/mistakes/mistakes.hpp"

#include <algorithm>
#include <cmath>

#include "lib/mistakes/mistake_forms.hpp"

namespace attn {
namespace forms {
namespace {

std::string scaled_needed(const Replay& r) { return r.plan().scaled ? "" : "scores are not scaled"; }

/// A scale that is something else: plainly by a number.
Form other_scale(double scale, std::string detail = {}) {
    return {std::move(detail), Stage::scaled_scores, false, [scale](Deviation& d) {
                d.plan.scaled = true;
                d.plan.scale = scale;
            }};
}

std::string no_scale(const Replay& r, Forms& out) {
    out.push_back({"", Stage::scaled_scores, false, [](Deviation& d) {
                       d.plan.scaled = false;
                       d.plan.scale = 1;
                   }});
    return scaled_needed(r);
}

std::string scale_d_model(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    std::vector<Index> widths{p.heads * p.dim};
    if (!p.projected_given) widths.push_back(p.tensors[*p.query_input].shape.back());
    for (const Index w : widths)
        if (w != p.dim && (out.empty() || w != widths[0]))
            out.push_back(other_scale(1 / std::sqrt(static_cast<double>(w))));
    return p.scaled && out.empty() ? "the model is as wide as one head" : scaled_needed(r);
}

std::string scale_without_root(const Replay& r, Forms& out) {
    out.push_back(other_scale(1 / static_cast<double>(r.plan().dim)));
    return scaled_needed(r);
}
std::string scale_twice(const Replay& r, Forms& out) {
    out.push_back(other_scale(r.plan().scale * r.plan().scale));
    return scaled_needed(r);
}
std::string scale_inverted(const Replay& r, Forms& out) {
    out.push_back(other_scale(1 / r.plan().scale));
    return scaled_needed(r);
}
std::string scale_after_softmax(const Replay& r, Forms& out) {
    if (r.plan().state) return "there is no softmax";
    out.push_back({"", Stage::scaled_scores, false, [](Deviation& d) {
                       d.quirks.weights_times = d.plan.scale;
                       d.plan.scaled = false;
                   }});
    return scaled_needed(r);
}

std::string softmax_needed(const Replay& r) {
    if (r.plan().state) return "there is no softmax";
    return r.plan().normalize == Normalize::softmax ? "" : "weights are made without a softmax";
}

std::string softmax_over_queries(const Replay& r, Forms& out) {
    empty_rows_too(r, {"", Stage::weights, false, [](Deviation& d) { d.quirks.along = Along::queries; }}, out,
                   r.plan().masked);
    return softmax_needed(r);
}
std::string softmax_over_heads(const Replay& r, Forms& out) {
    empty_rows_too(r, {"", Stage::weights, false, [](Deviation& d) { d.quirks.along = Along::heads; }}, out,
                   r.plan().masked);
    return r.plan().heads == 1 ? "there is one head" : softmax_needed(r);
}
std::string no_softmax(const Replay& r, Forms& out) {
    const auto make = [](Deviation& d) { d.quirks.normal = Normal::none; };
    if (r.plan().masked)
        out.push_back({"masked scores set to 0", Stage::masked_scores, false, [](Deviation& d) {
                           d.quirks.normal = Normal::none;
                           d.quirks.fill = 0;
                       }});
    out.push_back({"", Stage::weights, false, make});
    return softmax_needed(r);
}
std::string exp2(const Replay& r, Forms& out) {
    out.push_back({"", Stage::weights, false, [](Deviation& d) { d.quirks.normal = Normal::base_two; }});
    return softmax_needed(r);
}

std::string queries_keys_swapped(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.heads != p.kv_heads) return "queries and keys differ in heads";
    if (p.queries != p.new_keys) return "queries and keys differ in number";
    if (p.query_dim != p.key_dim) return "queries and keys differ in width";
    out.push_back({"", Stage::queries, false, [](Deviation& d) { d.quirks.swap_queries_keys = true; }});
    if (p.keys == p.queries && (p.qk_norm || p.rope || p.projects(WeightRole::score)))
        out.push_back({"where the scores are made", Stage::mapped_queries, false,
                       [](Deviation& d) { d.quirks.swap_queries_keys_in_use = true; }});
    else if (p.keys == p.queries)
        out.push_back({"where the scores are made", Stage::scores, false,
                       [](Deviation& d) { d.quirks.swap_queries_keys_in_use = true; }});
    return "";
}

std::string keys_values_swapped(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.key_dim != p.value_dim) return "keys and values differ in width";
    out.push_back({"", Stage::keys, false, [](Deviation& d) { d.quirks.swap_keys_values = true; }});
    if (p.dim == p.value_dim)
        out.push_back({"where scores and contexts are made", Stage::scores, false,
                       [](Deviation& d) { d.quirks.swap_keys_values_in_use = true; }});
    return "";
}

std::string values_are_keys(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.key_dim != p.value_dim) return "keys and values differ in width";
    out.push_back({"", Stage::values, true, [](Deviation& d) { d.quirks.values_are = ValuesAre::keys; }});
    if (p.dim == p.value_dim)
        out.push_back({"where the context is made", Stage::context, true,
                       [](Deviation& d) { d.quirks.values_are = ValuesAre::keys_in_use; }});
    return "";
}

std::string values_are_embeddings(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.projected_given || !p.projects(WeightRole::value) || p.variant->is_latent())
        return "values are not projected from embeddings";
    const Index width = p.tensors[*p.value_input].shape.back();
    if (width != p.kv_heads * p.value_dim) return "the embeddings are not as wide as the values";
    out.push_back(
        {"", Stage::values, true, [](Deviation& d) { d.quirks.values_are = ValuesAre::embeddings; }});
    return "";
}

std::string projected_heads_needed(const Replay& r) {
    const Plan& p = r.plan();
    if (p.heads == 1) return "there is one head";
    if (p.projected_given) return "queries, keys and values are given with their heads";
    return p.variant->weights_list ? "each head has matrices of its own" : "";
}

std::string split_without_transpose(const Replay& r, Forms& out) {
    out.push_back({"", Stage::queries, false, [](Deviation& d) { d.quirks.split = HeadLayout::flat; }});
    return projected_heads_needed(r);
}
std::string split_interleaved(const Replay& r, Forms& out) {
    out.push_back(
        {"", Stage::queries, false, [](Deviation& d) { d.quirks.split = HeadLayout::interleaved; }});
    out.push_back({"and contexts put side by side in the same way", Stage::queries, false,
                   [](Deviation& d) { d.quirks.split = d.quirks.merge = HeadLayout::interleaved; }});
    return projected_heads_needed(r);
}
std::string merge_without_transpose(const Replay& r, Forms& out) {
    out.push_back({"", Stage::concat, true, [](Deviation& d) { d.quirks.merge = HeadLayout::flat; }});
    return r.plan().heads == 1 ? "there is one head" : "";
}

std::string weights_transposed(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.state) return "there are no weights";
    if (p.queries != p.keys) return "weights are not square: queries and keys differ in number";
    out.push_back({"", Stage::context, true, [](Deviation& d) { d.quirks.weights_transposed = true; }});
    return "";
}

std::string no_output_projection(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (!p.projects(WeightRole::output)) return "there is no output projection";
    if (p.output_dim != p.heads * p.value_dim) return "the output is not as wide as the contexts";
    out.push_back({"", Stage::head_outputs, true, [](Deviation& d) {
                       d.plan.projection(WeightRole::output).weight.clear();
                       d.plan.projection(WeightRole::output).bias.clear();
                   }});
    return "";
}
std::string no_output_bias(const Replay& r, Forms& out) {
    if (r.plan().projection(WeightRole::output).bias.empty()) return "there is no bias";
    out.push_back(
        {"", Stage::output, true, [](Deviation& d) { d.plan.projection(WeightRole::output).bias.clear(); }});
    return "";
}

std::string kv_heads_tiled(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.kv_heads == p.heads) return "every head has its own keys and values";
    if (p.kv_heads == 1) return "there is one kv head";
    out.push_back(
        {"", Stage::scores, false, [](Deviation& d) { d.plan.kv_interleaved = !d.plan.kv_interleaved; }});
    return "";
}

std::string softcap_after_mask(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (!p.softcap) return "there is no soft cap";
    if (!p.masked || p.mask_at != MaskAt::scaled_scores) return "no scores are masked";
    out.push_back({"", Stage::capped_scores, false, [](Deviation& d) { d.quirks.cap_after_mask = true; }});
    return "";
}
std::string no_softcap(const Replay& r, Forms& out) {
    if (!r.plan().softcap) return "there is no soft cap";
    out.push_back({"", Stage::capped_scores, false, [](Deviation& d) { d.plan.softcap.reset(); }});
    return "";
}

std::string dropout_left_on(const Replay& r, Forms&) {
    // Which weights were dropped is not known: it is read from the numbers.
    return r.plan().state ? "there are no weights" : "is read from the weights themselves";
}

std::string init_order(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (!p.init) return "no weights are drawn";
    constexpr std::array<WeightRole, 3> roles{WeightRole::query, WeightRole::key, WeightRole::value};
    constexpr std::array<std::string_view, 3> names{"query", "key", "value"};
    for (const WeightRole role : roles)
        if (p.projection(role).d_in != p.projection(WeightRole::query).d_in ||
            p.projection(role).d_out != p.projection(WeightRole::query).d_out)
            return "queries, keys and values differ in width";
    std::array<std::size_t, 3> order{0, 1, 2};
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
    return "";
}

}  // namespace
}  // namespace forms

namespace {

using Make = std::string (*)(const Replay&, forms::Forms&);
struct Maker {
    std::string_view id;
    Make make;
};
constexpr std::array makers{
    Maker{"no_scale", forms::no_scale},
    Maker{"scale_d_model", forms::scale_d_model},
    Maker{"scale_without_root", forms::scale_without_root},
    Maker{"scale_twice", forms::scale_twice},
    Maker{"scale_inverted", forms::scale_inverted},
    Maker{"scale_after_softmax", forms::scale_after_softmax},
    Maker{"no_mask", forms::no_mask},
    Maker{"mask_after_softmax", forms::mask_after_softmax},
    Maker{"mask_fill_zero", forms::mask_fill_zero},
    Maker{"mask_strict", forms::mask_strict},
    Maker{"mask_one_future", forms::mask_one_future},
    Maker{"mask_inverted", forms::mask_inverted},
    Maker{"mask_transposed", forms::mask_transposed},
    Maker{"causal_alignment", forms::causal_alignment},
    Maker{"softmax_over_queries", forms::softmax_over_queries},
    Maker{"softmax_over_heads", forms::softmax_over_heads},
    Maker{"no_softmax", forms::no_softmax},
    Maker{"exp2", forms::exp2},
    Maker{"queries_keys_swapped", forms::queries_keys_swapped},
    Maker{"keys_values_swapped", forms::keys_values_swapped},
    Maker{"values_are_keys", forms::values_are_keys},
    Maker{"values_are_embeddings", forms::values_are_embeddings},
    Maker{"weight_transposed", nullptr},
    Maker{"split_without_transpose", forms::split_without_transpose},
    Maker{"split_interleaved", forms::split_interleaved},
    Maker{"merge_without_transpose", forms::merge_without_transpose},
    Maker{"weights_transposed", forms::weights_transposed},
    Maker{"no_bias", nullptr},
    Maker{"no_output_projection", forms::no_output_projection},
    Maker{"no_output_bias", forms::no_output_bias},
    Maker{"kv_heads_tiled", forms::kv_heads_tiled},
    Maker{"rope_pairs", forms::rope_pairs},
    Maker{"rope_position", forms::rope_position},
    Maker{"rope_on_values", forms::rope_on_values},
    Maker{"window_off_by_one", forms::window_off_by_one},
    Maker{"softcap_after_mask", forms::softcap_after_mask},
    Maker{"no_softcap", forms::no_softcap},
    Maker{"empty_row_nan", forms::empty_row_nan},
    Maker{"empty_row_uniform", forms::empty_row_uniform},
    Maker{"empty_row_zero", forms::empty_row_zero},
    Maker{"dropout_left_on", forms::dropout_left_on},
    Maker{"init_order", forms::init_order},
};

/// Scores or weights in 16 bits.
Mistake rounded_to(Rounding rounding, std::string id) {
    Mistake m{&mistake_row("rounded"), std::move(id), {}};
    const auto form = [&](std::string detail, Stage first, std::array<bool, 4> which) {
        m.forms.push_back({std::move(detail), first, false, [rounding, which](Deviation& d) {
                               d.quirks.round = rounding;
                               d.quirks.round_products = which[0];
                               d.quirks.round_scores = which[1];
                               d.quirks.round_weights = which[2];
                               d.quirks.round_all = which[3];
                           }});
    };
    form("the scores", Stage::scores, {true, false, false, false});
    form("the scores up to the softmax", Stage::scores, {true, true, false, false});
    form("the weights", Stage::weights, {false, false, true, false});
    form("scores and weights", Stage::scores, {true, true, true, false});
    form("every stage", Stage::queries, {true, true, true, true});
    return m;
}

}  // namespace

Catalogue catalogue_of(const Replay& replay) {
    Catalogue out;
    for (const Maker& m : makers) {
        const MistakeRow& row = mistake_row(m.id);
        if (m.id == "weight_transposed" || m.id == "no_bias") {
            const std::string why = m.id == "no_bias" ? forms::no_bias(replay, row, out.mistakes)
                                                      : forms::weight_transposed(replay, row, out.mistakes);
            if (!why.empty()) out.others.push_back({&row, why});
            continue;
        }
        Mistake mistake{&row, std::string(row.id), {}};
        const std::string why = m.make(replay, mistake.forms);
        if (why.empty() && !mistake.forms.empty()) {
            out.mistakes.push_back(std::move(mistake));
        } else {
            out.others.push_back({&row, why});
        }
    }
    if (!replay.plan().state) {
        out.mistakes.push_back(rounded_to(Rounding::bf16, "rounded:bf16"));
        out.mistakes.push_back(rounded_to(Rounding::f16, "rounded:f16"));
    }
    return out;
}

}  // namespace attn
