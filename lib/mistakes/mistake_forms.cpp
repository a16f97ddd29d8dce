#include "lib/mistakes/mistake_forms.hpp"

#include <algorithm>

namespace attn::forms {
namespace {

std::string mask_needed(const Replay& r) {
    if (r.plan().state) return "there are no scores that a mask could hide";
    return r.plan().masked ? "" : "there is no mask";
}
std::string causal_needed(const Replay& r) {
    std::string why = mask_needed(r);
    return why.empty() && !r.plan().causal ? "there is no causal mask" : why;
}

/// The causal diagonal moves, the window stays where it is.
void move_diagonal(Plan& plan, std::size_t item, Index by) { plan.offsets[item] += by; }
/// Each side reaches so many tokens further. In a pair the other mistake may have dropped the window.
void widen_window(Plan& plan, Index left, Index right) {
    if (!plan.window) return;
    if (plan.window->left) *plan.window->left += left;
    if (plan.window->right) *plan.window->right += right;
}

bool mask_hides_keys(const Plan& p) { return p.mask_at != MaskAt::weights; }
Stage first_of_mask(const Replay& r) {
    return mask_hides_keys(r.plan()) ? Stage::masked_scores : Stage::masked_weights;
}

std::string shifted(const Replay& r, Forms& out, Index by) {
    empty_rows_too(r,
                   {"", first_of_mask(r), false,
                    [by](Deviation& d) {
                        for (std::size_t b = 0; b < d.plan.offsets.size(); ++b) move_diagonal(d.plan, b, by);
                        widen_window(d.plan, by, -by);
                    }},
                   out, by < 0);
    return causal_needed(r);
}

/// Some row of the plan sees no key: looked for among the first and the last ones.
bool has_empty_rows(const Replay& r) {
    const Plan& p = r.plan();
    if (!p.masked || p.has_appended()) return false;
    Slice slice;
    for (Index i = 0; i < p.queries; ++i)
        if (i < 32 || i >= p.queries - 32) slice.rows.push_back(i);
    Deviation d = r.none();
    d.plan.empty_rows = EmptyRows::nan;
    const HeldStages held = r.run(d, {}, slice);
    const Held& w = held[mask_hides_keys(p) ? Stage::weights : Stage::renormalized_weights];
    return w && std::any_of(w->values.begin(), w->values.end(), [](double x) { return x != x; });
}

std::string empty_rows(const Replay& r, Forms& out, EmptyRows policy) {
    std::string why = mask_needed(r);
    if (!why.empty()) return why;
    if (r.plan().empty_rows == policy) return "it is what the document asks for";
    if (!has_empty_rows(r)) return "every row sees a key";
    out.push_back({"", mask_hides_keys(r.plan()) ? Stage::weights : Stage::renormalized_weights, false,
                   [policy](Deviation& d) { d.plan.empty_rows = policy; }});
    return "";
}

std::string rope_needed(const Replay& r) { return r.plan().rope ? "" : "there is no rotary embedding"; }

}  // namespace

void empty_rows_too(const Replay& r, const Form& form, Forms& out, bool may_be_empty) {
    out.push_back(form);
    for (const EmptyRows policy : {EmptyRows::nan, EmptyRows::uniform, EmptyRows::zero}) {
        if (!may_be_empty || policy == r.plan().empty_rows) continue;
        Form other = form;
        other.make = [make = form.make, policy](Deviation& d) {
            make(d);
            d.plan.empty_rows = policy;
        };
        other.detail = policy == EmptyRows::nan       ? "rows without a key are NaN"
                       : policy == EmptyRows::uniform ? "rows without a key have equal weights"
                                                      : "rows without a key have the weights 0";
        out.push_back(std::move(other));
    }
}

std::string no_mask(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    const int kinds =
        (p.causal ? 1 : 0) + (p.window ? 1 : 0) + (p.key_lengths ? 1 : 0) + static_cast<int>(p.masks.size());
    const auto form = [&](std::string detail, std::function<void(Deviation&)> make) {
        out.push_back({std::move(detail), first_of_mask(r), false, std::move(make)});
    };
    form("", [](Deviation& d) {
        d.plan.masked = d.plan.causal = false;
        d.plan.window.reset();
        d.plan.key_lengths.reset();
        d.plan.masks.clear();
    });
    if (kinds > 1) {
        if (p.causal) form("the causal mask", [](Deviation& d) { d.plan.causal = false; });
        if (p.window) form("the window", [](Deviation& d) { d.plan.window.reset(); });
        if (p.key_lengths) form("the lengths of the keys", [](Deviation& d) { d.plan.key_lengths.reset(); });
        for (std::size_t k = 0; k < p.masks.size(); ++k)
            form(p.masks.size() == 1 ? "\"mask\"" : "mask " + std::to_string(k), [k](Deviation& d) {
                d.plan.masks.erase(d.plan.masks.begin() + static_cast<std::ptrdiff_t>(k));
            });
    }
    return mask_needed(r);
}

std::string mask_after_softmax(const Replay& r, Forms& out) {
    out.push_back({"", mask_hides_keys(r.plan()) ? Stage::masked_scores : Stage::masked_weights, false,
                   [](Deviation& d) { d.quirks.masks_weights = true; }});
    return mask_needed(r);
}

std::string mask_fill_zero(const Replay& r, Forms& out) {
    if (r.plan().masked && !mask_hides_keys(r.plan())) return "the mask is applied to the weights";
    out.push_back({"", Stage::masked_scores, false, [](Deviation& d) { d.quirks.fill = 0; }});
    return mask_needed(r);
}

std::string mask_strict(const Replay& r, Forms& out) { return shifted(r, out, -1); }
std::string mask_one_future(const Replay& r, Forms& out) { return shifted(r, out, 1); }

std::string mask_inverted(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    empty_rows_too(r, {"", first_of_mask(r), false, [](Deviation& d) { d.quirks.mask_inverted = true; }}, out,
                   true);
    const bool explicit_one = std::any_of(p.masks.begin(), p.masks.end(),
                                          [](const MaskRule& m) { return m.kind != MaskKind::add; });
    if (explicit_one && (p.causal || p.window || p.key_lengths || p.masks.size() > 1))
        empty_rows_too(r,
                       {"\"mask\" alone", first_of_mask(r), false,
                        [](Deviation& d) {
                            for (MaskRule& m : d.plan.masks)
                                if (m.kind != MaskKind::add)
                                    m.kind = m.kind == MaskKind::keep ? MaskKind::drop : MaskKind::keep;
                        }},
                       out, true);
    return mask_needed(r);
}

std::string mask_transposed(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.masked && p.queries != p.given_keys())
        return "the mask is not square: queries and keys differ in number";
    empty_rows_too(r, {"", first_of_mask(r), false, [](Deviation& d) { d.quirks.mask_transposed = true; }},
                   out, p.window || p.key_lengths || !p.masks.empty());
    return mask_needed(r);
}

std::string causal_alignment(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    std::string why = causal_needed(r);
    if (!why.empty()) return why;
    for (const Index corner : {Index{0}, p.given_keys() - p.queries}) {
        if (std::all_of(p.offsets.begin(), p.offsets.end(), [&](Index o) { return o == corner; })) continue;
        const auto moved = [corner](Deviation& d, bool with_window) {
            if (!with_window && !d.plan.offsets.empty())
                widen_window(d.plan, corner - d.plan.offsets[0], d.plan.offsets[0] - corner);
            d.plan.offsets.assign(d.plan.offsets.size(), corner);
        };
        const std::string detail = corner == 0 ? "at the top left" : "at the bottom right";
        empty_rows_too(r, {detail, first_of_mask(r), false, [moved](Deviation& d) { moved(d, true); }}, out,
                       true);
        if (p.window)
            empty_rows_too(r,
                           {detail + ", the window left where it is", first_of_mask(r), false,
                            [moved](Deviation& d) { moved(d, false); }},
                           out, true);
        if (p.given_keys() == p.queries) break;
    }
    return out.empty() ? "queries and keys are as many" : "";
}

std::string window_off_by_one(const Replay& r, Forms& out) {
    const Plan& p = r.plan();
    if (p.state || !p.window) return "there is no window";
    for (const Index by : {Index{-1}, Index{1}}) {
        const std::string detail = by < 0 ? "one token fewer" : "one token more";
        const auto form = [&](const std::string& side, bool left, bool right) {
            empty_rows_too(
                r,
                {detail + side, first_of_mask(r), false,
                 [by, left, right](Deviation& d) { widen_window(d.plan, left ? by : 0, right ? by : 0); }},
                out, by < 0);
        };
        if (p.window->left) form(" to the left", true, false);
        if (p.window->right) form(" to the right", false, true);
        if (p.window->left && p.window->right) form(" on both sides", true, true);
    }
    return "";
}

std::string empty_row_nan(const Replay& r, Forms& out) { return empty_rows(r, out, EmptyRows::nan); }
std::string empty_row_uniform(const Replay& r, Forms& out) { return empty_rows(r, out, EmptyRows::uniform); }
std::string empty_row_zero(const Replay& r, Forms& out) { return empty_rows(r, out, EmptyRows::zero); }

std::string rope_pairs(const Replay& r, Forms& out) {
    if (r.plan().rope && r.plan().rope->dims == 2) return "a single pair turns";
    out.push_back({"", Stage::rope_keys, false,
                   [](Deviation& d) { d.plan.rope->interleaved = !d.plan.rope->interleaved; }});
    return rope_needed(r);
}

std::string rope_position(const Replay& r, Forms& out) {
    std::string why = rope_needed(r);
    if (!why.empty()) return why;
    const PlannedRope& rope = *r.plan().rope;
    if (rope.query_positions.empty() || rope.key_positions.empty())
        return "cosines and sines are given as tables";
    const auto form = [&](std::string detail, Index queries, Index keys) {
        out.push_back({std::move(detail), Stage::rope_keys, false, [queries, keys](Deviation& d) {
                           for (double& p : d.plan.rope->query_positions) p += static_cast<double>(queries);
                           for (double& p : d.plan.rope->key_positions) p += static_cast<double>(keys);
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
    return "";
}

std::string rope_on_values(const Replay& r, Forms& out) {
    std::string why = rope_needed(r);
    if (!why.empty()) return why;
    if (r.plan().rope->dims > r.plan().value_dim) return "values are narrower than what turns";
    out.push_back({"", Stage::all_values, true, [](Deviation& d) { d.quirks.rope_on_values = true; }});
    return "";
}

}  // namespace attn::forms
