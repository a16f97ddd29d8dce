// Mistakes of backward passes between the contexts and queries, keys and values.
#include <array>
#include <functional>
#include <numbers>
#include <string>
#include <utility>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/mistakes/mask_parts.hpp"
#include "lib/mistakes/rows.hpp"

namespace attn {
namespace {

bool has_softmax(const Plan& p) { return !p.state && p.normalize == Normalize::softmax; }

std::string needs_softmax(const Replay& r) { return unless(has_softmax(r.plan()), "there is no softmax"); }
std::string needs_scores(const Replay& r) { return unless(!r.plan().state, "there are no scores"); }
std::string needs_scale(const Replay& r) {
    const Plan& p = r.plan();
    return unless(!p.state && p.scaled && p.scale != 1, "scores are not scaled");
}
std::string needs_square(const Replay& r) {
    const Plan& p = r.plan();
    if (p.state || p.additive) return "no product of scores makes the keys' gradient";
    return unless(p.queries == p.keys, "there are other numbers of queries and keys: the shapes do not fit");
}
std::string needs_square_weights(const Replay& r) {
    const Plan& p = r.plan();
    if (p.state) return "there are no weights";
    return unless(p.queries == p.keys, "there are other numbers of queries and keys: the shapes do not fit");
}
std::string needs_groups(const Replay& r) {
    const Plan& p = r.plan();
    return unless(!p.state && !p.differential && p.heads > p.kv_heads, "each query head has its own keys");
}
std::string needs_several_groups(const Replay& r) {
    const Plan& p = r.plan();
    return unless(needs_groups(r).empty() && p.kv_heads > 1,
                  "there is one head of keys, or each query head has its own");
}
std::string needs_dropout(const Replay& r) {
    const Plan& p = r.plan();
    return unless(!p.state && p.dropout, "there is no dropout");
}
std::string needs_mask(const Replay& r) {
    const Plan& p = r.plan();
    return unless(has_softmax(p) && p.masked && p.mask_at != MaskAt::weights && !p.dropout,
                  "no score is masked");
}
std::string needs_sinks(const Replay& r) { return unless(!r.plan().sinks.empty(), "there are no sinks"); }
std::string needs_bias_of_items(const Replay& r) {
    const Plan& p = r.plan();
    const bool shared =
        p.position_bias && (p.position_bias->buckets || p.tensors[p.position_bias->tensor].shape.size() < 4 ||
                            p.tensors[p.position_bias->tensor].shape[0] == 1);
    return unless(!p.state && shared && p.batch > 1, "there is no bias that several batch items share");
}

using Make = void (*)(CellQuirks& quirks);
GradientForm form(std::string detail, Make make) {
    return {std::move(detail), [make](BackwardDeviation& d) { make(d.cells); }};
}
template <class F>
GradientForms only(const F& make) {
    return {{"", [make](BackwardDeviation& d) { make(d.cells); }}};
}
GradientForms scores_times(double factor) {
    return only([factor](CellQuirks& q) { q.scores_times = factor; });
}
template <SoftmaxBack back>
GradientForms softmax_is(const Replay&) {
    return only([](CellQuirks& q) { q.softmax = back; });
}
/// The row's sum may be the one that the sinks get.
GradientForms with_sinks(const Replay& r, GradientForms forms) {
    const std::size_t own = forms.size();
    for (std::size_t k = 0; k < own && !r.plan().sinks.empty(); ++k) {
        GradientForm& form = forms.emplace_back(forms[k]);
        form.detail += (form.detail.empty() ? "" : ", ") + std::string("the sinks' too");
        form.make = [make = forms[k].make](BackwardDeviation& d) {
            make(d);
            d.cells.sinks_share = true;
        };
    }
    return forms;
}
template <SharedLoss loss>
GradientForms shared_is(const Replay& r) {
    return with_sinks(r, only([](CellQuirks& q) { q.shared = loss; }));
}
template <DropoutBack back>
GradientForms dropout_is(const Replay&) {
    return only([](CellQuirks& q) { q.dropout = back; });
}
template <GroupBack back>
GradientForms group_is(const Replay&) {
    return only([](CellQuirks& q) { q.group = back; });
}

GradientForms passed_through(const Replay& r) {
    GradientForms out = softmax_is<SoftmaxBack::passed_through>(r);
    if (r.plan().masked)
        out.push_back(form("and through the mask", [](CellQuirks& q) {
            q.softmax = SoftmaxBack::passed_through;
            q.mask_passes = true;
        }));
    return out;
}

GradientForms sum_unweighted(const Replay& r) {
    GradientForms out = softmax_is<SoftmaxBack::sum_unweighted>(r);
    out.front().detail = "over all keys";
    if (r.plan().masked)
        out.push_back(form("over the keys that are seen",
                           [](CellQuirks& q) { q.softmax = SoftmaxBack::sum_unweighted_seen; }));
    return with_sinks(r, std::move(out));
}

/// Blocks of any width where there are few keys, of powers of two where there are many.
GradientForms delta_block(const Replay& r) {
    constexpr Index few = 16;
    GradientForms out;
    const Index keys = r.plan().keys;
    for (Index width = 2; width < keys; width = keys <= few ? width + 1 : width * 2)
        out.push_back({"of " + std::to_string(width) + " keys", [width](BackwardDeviation& d) {
                           d.cells.shared = SharedLoss::of_blocks;
                           d.cells.block = width;
                       }});
    return out;
}

/// Weights that the backward pass makes again by another mask: with sums of their own, or with those that the
/// forward pass has saved; for dV as well, or for dS alone.
void recomputed_with(const Replay& r, const std::function<void(Deviation&)>& change,
                     const std::string& detail, const std::string& of, GradientForms& out) {
    for (const bool for_values : {true, false})
        for (const bool saved : {true, false}) {
            std::string how = detail + (detail.empty() ? "" : ", ") +
                              (saved ? "with the saved sums of exponentials" : "with sums of their own");
            if (!for_values) how += ", for dS alone";
            out.push_back({std::move(how),
                           [&r, change, saved, for_values](BackwardDeviation& d) {
                               d.recomputed = r.none();
                               change(*d.recomputed);
                               d.cells.of_saved_sums = saved;
                               d.cells.values_of_forward = !for_values;
                           },
                           of});
        }
}

GradientForms mask_not_recomputed(const Replay& r) {
    GradientForms out;
    const auto without = [](MaskPart part) { return [part](Deviation& d) { drop(d.plan, part); }; };
    recomputed_with(r, without({}), "", "", out);
    const std::vector<MaskPartName> parts = mask_parts(r.plan());
    for (const MaskPartName& part : parts)
        if (parts.size() > 1) recomputed_with(r, without(part.part), part.words + " alone", part.of, out);
    return out;
}

std::string other_corner(const Replay& r) {
    if (std::string why = needs_mask(r); !why.empty()) return why;
    return applies::causal_of_other_corner(r);
}
GradientForms causal_alignment(const Replay& r) {
    GradientForms out;
    for (const Form& f : make::causal_alignment(r)) recomputed_with(r, f.make, f.detail, "", out);
    return out;
}

GradientForms exp2_factor(const Replay&) {
    static constexpr double log2_e = std::numbers::log2e;
    GradientForms out = scores_times(log2_e);
    out.push_back(form("that of d_queries alone", [](CellQuirks& q) { q.queries_times = log2_e; }));
    return out;
}

GradientForms dropout_no_mask(const Replay& r) {
    GradientForms out = dropout_is<DropoutBack::no_mask>(r);
    out.front().detail = "divided by 1 - p";
    out.push_back(form("as they are", [](CellQuirks& q) { q.dropout = DropoutBack::no_mask_no_rescale; }));
    return out;
}

GradientForms one_head_of_group(const Replay&) {
    return {form("the last one", [](CellQuirks& q) { q.group = GroupBack::last; }),
            form("the first one", [](CellQuirks& q) { q.group = GroupBack::first; })};
}

// clang-format off
constexpr std::string_view softmax_line = "ds = p * (dp - (dp * p).sum(-1, keepdim=True))";
constexpr std::string_view one_key = "rows see one key";
constexpr std::array cell_mistakes{
    GradientMistakeRow{"softmax_severed", "no gradient goes through the softmax", "d_queries and d_keys are 0, d_values is right", "no detach(), no .data, no no_grad() around the scores: ds = p * (dp - (dp * p).sum(-1, keepdim=True))",
     one_key, needs_scores, [](const Replay&) { return only([](CellQuirks& q) { q.severed = true; }); }},
    GradientMistakeRow{"softmax_passed_through", "the gradient of the weights is taken for that of the scores", "what the softmax reads gets what hidden cells get, too; rows do not sum to 0", softmax_line,
     "", needs_softmax, passed_through},
    GradientMistakeRow{"softmax_no_sum", "the softmax sends back p * dp, without the row's sum", "rows of dS sum to the row's sum of dp * p", softmax_line,
     "the row's sum of dp * p is 0", needs_softmax, softmax_is<SoftmaxBack::no_sum>},
    GradientMistakeRow{"softmax_diagonal", "the softmax sends back p * (1 - p) * dp, the diagonal of its Jacobian alone", "rows of dS do not sum to 0; a row that sees one key is right", softmax_line,
     one_key, needs_softmax, softmax_is<SoftmaxBack::diagonal>},
    GradientMistakeRow{"softmax_sum_unweighted", "the row's sum is that of dp, not of dp * p", "rows of dS do not sum to 0", softmax_line,
     one_key, needs_softmax, sum_unweighted},
    GradientMistakeRow{"softmax_sum_over_queries", "dp * p is summed over the queries, not over the keys", "rows of dS do not sum to 0, nor does that of a row that sees one key", softmax_line,
     "there is one query and one key", needs_softmax, softmax_is<SoftmaxBack::sum_over_queries>},
    GradientMistakeRow{"delta_block", "each block of keys takes the row's sum of itself alone", "dS sums to 0 over each block of keys", "delta = (do * o).sum(-1) of the whole row, before the loop over blocks",
     "a block holds all keys that a row sees", needs_softmax, delta_block},
    GradientMistakeRow{"delta_all_heads", "the row's sum is taken over the model's width, of all heads together", "rows of dS do not sum to 0; with one head it is right", "delta = (do * o).sum(-1) of one head: [batch, head, query]",
     "there is one head", [](const Replay& r) { const std::string why = needs_softmax(r); return !why.empty() ? why : unless(r.plan().heads > 1, "there is one head"); }, shared_is<SharedLoss::of_all_heads>},
    GradientMistakeRow{"delta_undropped_output", "the row's sum is taken with the output as it was before dropout", "rows of dS do not sum to 0; without dropout it is right", "delta = (do * o).sum(-1) with o as it was returned, after dropout",
     "there is no dropout", [](const Replay& r) { const std::string why = needs_softmax(r); return !why.empty() ? why : needs_dropout(r); }, shared_is<SharedLoss::undropped>},
    GradientMistakeRow{"mask_not_recomputed", "the weights are made again in the backward pass without the mask", "hidden cells of dS are not 0", "s = s.masked_fill(hidden, -inf) before p = exp(s - lse), in the backward pass too",
     "nothing is hidden", needs_mask, mask_not_recomputed},
    GradientMistakeRow{"causal_alignment_backward", "the causal mask of the backward pass is aligned to the other corner", "only where there are other numbers of queries and keys", "j <= i + keys - queries, in both passes",
     "there are as many queries as keys", other_corner, causal_alignment},
    GradientMistakeRow{"no_scale", "the scale is left out of the backward pass", "d_queries and d_keys are off by 1/scale, d_values is right", "dq = ds @ k * scale; dk = ds.transpose(-1, -2) @ q * scale",
     "the scale is 1", needs_scale, [](const Replay& r) { return scores_times(1 / r.plan().scale); }},
    GradientMistakeRow{"scale_twice", "the scale is applied twice: to dS, and to dQ and dK", "d_queries and d_keys are off by the scale, d_values is right", "the scale belongs to ds, or to dq and dk: not to both",
     "the scale is 1", needs_scale, [](const Replay& r) { return scores_times(r.plan().scale); }},
    GradientMistakeRow{"scale_dq_only", "the scale is applied to dQ and not to dK", "d_keys is off by 1/scale: the sum of keys * d_keys is not that of queries * d_queries", "dk = ds.transpose(-1, -2) @ q * scale",
     "the scale is 1", needs_scale, [](const Replay& r) { return only([scale = r.plan().scale](CellQuirks& q) { q.keys_times = 1 / scale; }); }},
    GradientMistakeRow{"exp2_factor", "exp2 with log2(e) in the scale, and the scale of the backward pass has log2(e) in it as well", "d_queries and d_keys are 1.4427 times what they should be, d_values is right", "dq = ds @ k * scale, not * scale * log2(e)",
     "", needs_softmax, exp2_factor},
    GradientMistakeRow{"dk_not_transposed", "d_keys is dS Q, dS not transposed", "d_keys alone is wrong", "dk = ds.transpose(-1, -2) @ q",
     "dS is symmetric", needs_square, [](const Replay&) { return only([](CellQuirks& q) { q.queries_for_keys = true; }); }},
    GradientMistakeRow{"dv_not_transposed", "d_values is P dO, P not transposed", "d_values alone is wrong", "dv = p.transpose(-1, -2) @ do",
     "the weights are symmetric", needs_square_weights, [](const Replay&) { return only([](CellQuirks& q) { q.values_not_transposed = true; }); }},
    GradientMistakeRow{"group_mean", "a head of keys gets the mean of its query heads, not their sum", "d_keys and d_values are off by 1/group", "dk = dk.view(batch, kv_heads, group, keys, dim).sum(2)",
     "each query head has its own keys", needs_groups, group_is<GroupBack::mean>},
    GradientMistakeRow{"group_last_head", "a head of keys gets what one of its query heads sends back: = in place of +=", "d_keys and d_values are one head's", "dk = dk.view(batch, kv_heads, group, keys, dim).sum(2)",
     "each query head has its own keys", needs_groups, one_head_of_group},
    GradientMistakeRow{"group_summed_tiled", "query heads are summed to heads of keys that they do not read", "d_keys and d_values are sums over other heads", "repeat_interleave belongs to view(batch, kv_heads, group, ...).sum(2), repeat to view(batch, group, kv_heads, ...).sum(1)",
     "there is one head of keys", needs_several_groups, group_is<GroupBack::tiled>},
    GradientMistakeRow{"dropout_no_mask", "the gradient passes where dropout took the weight", "d_weights is not 0 where a weight was dropped", "dp = dp * keep / (1 - p_drop), with the mask of the forward pass",
     "dropout takes nothing", needs_dropout, dropout_no_mask},
    GradientMistakeRow{"dropout_no_rescale", "the gradient of kept weights is not divided by 1 - p", "d_queries and d_keys are off by 1 - p, d_values is right", "dp = dp * keep / (1 - p_drop)",
     "", needs_dropout, dropout_is<DropoutBack::no_rescale>},
    GradientMistakeRow{"dropout_factor_p", "the gradient of kept weights is multiplied by p", "d_queries and d_keys are off by p (1 - p), d_values is right", "dp = dp * keep / (1 - p_drop)",
     "", needs_dropout, dropout_is<DropoutBack::times_p>},
    GradientMistakeRow{"dv_undropped", "d_values is made of the weights before dropout", "d_values alone is wrong", "dv = p_dropped.transpose(-1, -2) @ do",
     "dropout takes nothing", needs_dropout, [](const Replay&) { return only([](CellQuirks& q) { q.values_undropped = true; }); }},
    GradientMistakeRow{"softcap_ignored", "the backward pass leaves out the cap's slope", "rows of d_scaled_scores sum to 0, which a cap does not leave", "ds = ds * (1 - (capped / cap) ** 2)",
     "scores are far below the cap", [](const Replay& r) { return unless(!r.plan().state && r.plan().softcap, "there is no cap"); }, [](const Replay&) { return only([](CellQuirks& q) { q.cap_passes = true; }); }},
    GradientMistakeRow{"sink_sign", "the gradient of sinks has the other sign", "d_sinks is -1 times what it should be", "dsink = -(p_sink * delta).sum((0, 2))",
     "there are no sinks", needs_sinks, [](const Replay&) { return only([](CellQuirks& q) { q.sinks_times = -1; }); }},
    GradientMistakeRow{"sink_zero", "sinks get no gradient", "d_sinks is 0", "dsink = -(p_sink * delta).sum((0, 2))",
     "there are no sinks", needs_sinks, [](const Replay&) { return only([](CellQuirks& q) { q.sinks_times = 0; }); }},
    GradientMistakeRow{"position_bias_last", "the bias gets what the last batch item sends back: = in place of +=", "d_position_bias is one item's", "dbias = ds.sum(0)",
     "there is one batch item", needs_bias_of_items, [](const Replay&) { return only([](CellQuirks& q) { q.bias = BiasBack::last_item; }); }},
    GradientMistakeRow{"position_bias_mean", "the bias gets the mean over batch items", "d_position_bias is off by 1/batch", "dbias = ds.sum(0)",
     "there is one batch item", needs_bias_of_items, [](const Replay&) { return only([](CellQuirks& q) { q.bias = BiasBack::mean; }); }},
};
// clang-format on

}  // namespace

std::span<const GradientMistakeRow> gradient_rows_of_cells() { return cell_mistakes; }

}  // namespace attn
