// Heads that read, or stand for, others; heads, batch items and tokens that are taken for one another.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/measures.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/mistakes/seen.hpp"

namespace attn {
namespace of_merging {
namespace {

/// f(head) of each head.
template <class F>
std::vector<Index> each_of(Index heads, const F& f) {
    std::vector<Index> out;
    for (Index h = 0; h < heads; ++h) out.push_back(f(h));
    return out;
}
template <class F>
std::vector<Index> each_head(const Plan& plan, const F& f) {
    return each_of(plan.heads, f);
}
bool is_own(const std::vector<Index>& heads) {
    for (std::size_t h = 0; h < heads.size(); ++h)
        if (heads[h] != static_cast<Index>(h)) return false;
    return true;
}

std::vector<double> as_numbers(const std::vector<Index>& heads) { return {heads.begin(), heads.end()}; }

/// Ways to choose a kv head that codes have; those of the plan and of kv_heads_tiled left out.
Forms kv_head_other(const Replay& r) {
    const Plan& p = r.plan();
    const Index kv = p.kv_heads, group = p.heads / kv;
    const auto planned = each_head(p, [&](Index h) { return p.kv_head_of(h); });
    const auto other = each_head(p, [&](Index h) { return p.kv_interleaved ? h % kv : h / group; });
    std::vector<std::vector<Index>> seen{planned, other};
    Forms out;
    const auto form = [&](std::string detail, const std::vector<Index>& heads) {
        if (std::find(seen.begin(), seen.end(), heads) != seen.end()) return;
        seen.push_back(heads);
        out.push_back(
            {std::move(detail), Stage::scores, false, [heads](Deviation& d) { d.quirks.kv_heads = heads; }});
    };
    form("head / kv heads", each_head(p, [&](Index h) { return std::min(h / kv, kv - 1); }));
    form("head / kv heads, in a circle", each_head(p, [&](Index h) { return h / kv % kv; }));
    form("head % heads of a group", each_head(p, [&](Index h) { return std::min(h % group, kv - 1); }));
    form("the first one for all", each_head(p, [](Index) { return Index{0}; }));
    form("the last one for all", each_head(p, [&](Index) { return kv - 1; }));
    form("in reverse", each_head(p, [&](Index h) { return kv - 1 - p.kv_head_of(h); }));
    form("the next one", each_head(p, [&](Index h) { return (p.kv_head_of(h) + 1) % kv; }));
    form("as many query heads as kv heads", each_head(p, [&](Index h) { return std::min(h, kv - 1); }));
    return out;
}

std::optional<Forms> kv_head_measured(const Replay& r, const Measures& m) {
    const Plan& p = r.plan();
    const auto theirs = m.kv_heads();
    if (!theirs) return std::nullopt;
    const auto ours = each_head(p, [&](Index h) { return p.kv_head_of(h); });
    const Index group = p.heads / p.kv_heads;
    const auto tiled = each_head(p, [&](Index h) { return p.kv_interleaved ? h % p.kv_heads : h / group; });
    Forms out;
    if (*theirs == ours || *theirs == tiled) return out;
    out.push_back({{}, Stage::scores, false, [heads = *theirs](Deviation& d) { d.quirks.kv_heads = heads; }});
    out.back().measured = {"kv head of each head", as_numbers(*theirs), as_numbers(ours)};
    return out;
}

std::string scored_kv_heads(const Replay& r) {
    return r.plan().state ? "there are no scores" : applies::shared_kv_heads(r);
}
std::string heads_with_weights(const Replay& r) {
    return r.plan().state ? "there are no weights" : applies::heads(r);
}
Forms head_other(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    constexpr Index most = 8;
    const Index contexts = p.context_heads();
    for (Index of = 0; of < contexts; ++of) {
        if (of >= most && of != contexts - 1) continue;
        const auto heads = each_of(contexts, [&](Index) { return of; });
        out.push_back({"the context of head " + std::to_string(of) + " for all", Stage::concat, true,
                       [heads](Deviation& d) { d.quirks.contexts_of = heads; }});
    }
    for (const Index of : {Index{0}, p.heads - 1}) {
        const auto heads = each_head(p, [&](Index) { return of; });
        out.push_back({"the weights of head " + std::to_string(of) + " for all",
                       p.differential ? Stage::differential_weights : Stage::context, true,
                       [heads](Deviation& d) { d.quirks.weights_of = heads; }});
    }
    return out;
}

std::string heads_of_one_width(const Replay& r) {
    const Plan& p = r.plan();
    std::string why = applies::projected_heads(r);
    if (!why.empty()) return why;
    if (p.state) return "there are no scores";
    if (p.variant->is_latent()) return "keys and values are made from a latent";
    if (p.differential) return "each head has two halves";
    if (p.kv_heads != p.heads) return "queries and keys differ in heads";
    if (p.past > 0 || p.has_appended()) return "the cache, or an appended key, has heads";
    if (p.query_norm || p.value_norm || p.rope || p.conv || p.gate || p.query_scale || p.additive)
        return "what is done to each head is not defined for all of them together";
    if (!p.sinks.empty() || !p.alibi.empty() || p.position_bias || p.dropout)
        return "each head has numbers of its own";
    return unless(std::all_of(p.masks.begin(), p.masks.end(),
                              [&](const MaskRule& m) {
                                  const Shape& s = p.tensors[m.tensor].shape;
                                  return s.size() < 3 || s[s.size() - 3] == 1;
                              }),
                  "each head has a mask of its own");
}
Forms one_head(const Replay& r) {
    Forms out;
    const auto form = [&](std::string detail, bool scale_of_width) {
        out.push_back({std::move(detail), Stage::queries, false, [scale_of_width](Deviation& d) {
                           Plan& p = d.plan;
                           if (scale_of_width) p.scale /= std::sqrt(static_cast<double>(p.heads));
                           for (Index* dim : {&p.dim, &p.query_dim, &p.key_dim, &p.value_dim})
                               *dim *= p.heads;
                           p.heads = p.kv_heads = 1;
                       }});
    };
    form("", r.plan().scaled);
    if (r.plan().scaled) form("the scale is that of a head", false);
    return out;
}

Forms heads_averaged(const Replay& r) {
    const double share = 1 / static_cast<double>(r.plan().context_heads());
    return {{"", Stage::concat, true, [share](Deviation& d) { d.quirks.heads_averaged = share; }},
            {"added up", Stage::concat, true, [](Deviation& d) { d.quirks.heads_averaged = 1; }}};
}
Forms weights_averaged(const Replay& /*r*/) {
    return {{"", Stage::context, true, [](Deviation& d) { d.quirks.weights_averaged = true; }}};
}

Forms merge_head_order(const Replay& r) {
    const Plan& p = r.plan();
    std::vector<std::vector<Index>> seen;
    Forms out;
    const auto form = [&](std::string detail, const std::vector<Index>& heads) {
        if (is_own(heads) || std::find(seen.begin(), seen.end(), heads) != seen.end()) return;
        seen.push_back(heads);
        out.push_back({std::move(detail), Stage::concat, true,
                       [heads](Deviation& d) { d.quirks.contexts_of = heads; }});
    };
    const Index count = p.context_heads();
    form("in reverse", each_of(count, [&](Index h) { return count - 1 - h; }));
    for (Index a = 2; a < count; ++a) {
        if (count % a != 0) continue;
        const Index b = count / a;
        form("[" + std::to_string(a) + ", " + std::to_string(b) + "] transposed",
             each_of(count, [&](Index h) { return h % a * b + h / a; }));
    }
    if (p.value_dim > 1)
        out.push_back({"[dim, heads] for [heads, dim]", Stage::concat, true,
                       [](Deviation& d) { d.quirks.merge = HeadLayout::interleaved; }});
    return out;
}

/// Also where no rule leads to the order.
std::optional<Forms> merge_order_measured(const Replay& /*r*/, const Measures& m) {
    const auto theirs = m.contexts_of();
    if (!theirs) return std::nullopt;
    const std::vector<Index> ours = counted(static_cast<Index>(theirs->size()));
    Forms out;
    // One head for all is head_other.
    const auto first = std::count(theirs->begin(), theirs->end(), theirs->front());
    if (*theirs == ours || first == static_cast<std::ptrdiff_t>(ours.size())) return out;
    out.push_back(
        {{}, Stage::concat, true, [heads = *theirs](Deviation& d) { d.quirks.contexts_of = heads; }});
    out.back().measured = {"head at each place", as_numbers(*theirs), as_numbers(ours)};
    return out;
}

std::string items(const Replay& r) { return unless(r.plan().batch > 1, "there is one batch item"); }
std::string items_like_tokens(const Replay& r) {
    const Plan& p = r.plan();
    std::string why = items(r);
    if (!why.empty()) return why;
    if (p.state) return "there are no scores";
    if (p.past > 0 || p.has_appended()) return "there are other keys than those of the tokens";
    if (p.queries != p.new_keys) return "queries and keys differ in number";
    return unless(!p.dropout, "dropout is drawn for each item");
}
Forms batch_for_tokens(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    const auto form = [&](std::string detail, BatchAxes axes) {
        out.push_back({std::move(detail),
                       Stage::scores,
                       false,
                       [axes](Deviation& d) { d.quirks.batch_axes = axes; },
                       {},
                       {},
                       true});
    };
    const bool plain = p.masks.empty() && !p.key_lengths && p.prefix.empty() && p.token_blocks.empty() &&
                       p.alibi.empty() && !p.position_bias;
    if (plain) form("", BatchAxes::exchanged);
    form("[batch, token] reshaped to [token, batch]", BatchAxes::reshaped);
    return out;
}
std::string items_and_heads(const Replay& r) {
    std::string why = items(r);
    return why.empty() ? applies::heads(r) : why;
}
Forms merge_batch_heads(const Replay& r) {
    const Index batch = r.plan().batch, heads = r.plan().context_heads();
    Forms out;
    const auto form = [&](std::string detail, auto place_of) {
        std::vector<Index> places;
        for (Index b = 0; b < batch; ++b)
            for (Index h = 0; h < heads; ++h) places.push_back(place_of(b * heads + h));
        if (is_own(places)) return;
        out.push_back({std::move(detail),
                       Stage::concat,
                       true,
                       [places](Deviation& d) { d.quirks.contexts_of = places; },
                       {},
                       {},
                       true});
    };
    // Where [heads * batch] is read as [batch, heads], place n holds head n / batch of item n % batch.
    form("[heads * batch] read as [batch, heads]", [=](Index n) { return n % batch * heads + n / batch; });
    form("[batch * heads] read as [heads, batch]", [=](Index n) { return n % heads * batch + n / heads; });
    return out;
}

// clang-format off
constexpr std::array kv_blind{Blind{"the kv heads are alike"}};
constexpr std::array heads_blind{Blind{"the heads are alike"}};
constexpr std::array one_blind{Blind{"the heads' scores come out the same"}};
constexpr std::array averaged_blind{Blind{"the heads have the same weights"}};
constexpr std::array items_blind{Blind{"the batch items are alike"}};

constexpr std::array first_of_all{
    MistakeRow{"one_head", "", "heads are ignored: one head as wide as all of them", "there is one matrix of weights an item",
     "", "split queries, keys and values into heads before the scores", one_blind, "more than one head", heads_of_one_width, one_head},
};
constexpr std::array table{
    MistakeRow{"kv_head_other", "", "query heads read other kv heads than theirs", "head h reads the wrong kv head",
     "PSAL-POSTECH/ONNXim#34", "kv head = head / (heads / kv_heads)", kv_blind, "kv heads that differ", scored_kv_heads, kv_head_other, Pairs::never, {}, kv_head_measured},
    MistakeRow{"head_other", "", "one head stands for all", "heads of the context, or of the weights, are the same",
     "", "each head has columns of its own: check the index in the loop over heads", heads_blind, "heads that differ", heads_with_weights, head_other, Pairs::never},
    MistakeRow{"heads_averaged", "", "heads are averaged, not put side by side", "all heads of concat are the same",
     "", "concatenate the heads' contexts: view(..., heads * dim)", heads_blind, "heads that differ", applies::heads, heads_averaged, Pairs::never},
    MistakeRow{"weights_averaged", "", "the weights' mean over the heads is used for every head", "the context is that of equal weights in all heads",
     "", "average_attn_weights is for looking at: each head's values take its own weights", averaged_blind, "heads that differ", heads_with_weights, weights_averaged, Pairs::never},
    MistakeRow{"merge_head_order", "", "heads reach W_out in another order", "the contexts are right, concat is permuted",
     "", "concat holds the heads in their order, each as a run of columns", heads_blind, "heads that differ", applies::heads, merge_head_order, Pairs::never, {}, merge_order_measured},
    MistakeRow{"batch_for_tokens", "", "attention runs over the batch, not over the tokens", "an item's output changes with the others",
     "", "batch_first=True, or [token, batch, width]: transpose(0, 1), never reshape", items_blind, "batch items that differ", items_like_tokens, batch_for_tokens, Pairs::never},
    MistakeRow{"merge_batch_heads", "", "batch items and heads are put together in another order than they were taken apart", "heads of one item stand in another",
     "", "[batch * heads, ...] becomes view(batch, heads, ...)", items_blind, "batch items that differ", items_and_heads, merge_batch_heads, Pairs::never},
};
// clang-format on

}  // namespace
}  // namespace of_merging

std::span<const MistakeRow> rows_of_heads() { return of_merging::first_of_all; }
std::span<const MistakeRow> rows_of_merging() { return of_merging::table; }

}  // namespace attn
