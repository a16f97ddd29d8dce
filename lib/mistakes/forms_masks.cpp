// Masks: left out, shifted, inverted, transposed; rows that see no key.
#include <algorithm>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/mask_parts.hpp"

namespace attn {
namespace {

/// Each side reaches so many tokens further. In a pair the other mistake may have dropped the window.
void widen_window(Plan& plan, Index left, Index right) {
    if (!plan.window) return;
    if (plan.window->left) *plan.window->left += left;
    if (plan.window->right) *plan.window->right += right;
}

bool mask_hides_keys(const Plan& p) { return p.mask_at != MaskAt::weights; }
Stage weights_of(const Replay& r) {
    return mask_hides_keys(r.plan()) ? Stage::weights : Stage::renormalized_weights;
}

/// Windows and chunks are counted from places, prefixes and blocks only show: nothing of them is transposed.
bool has_a_shape(const MaskPart& part) {
    using Kind = MaskPart::Kind;
    return part.kind == Kind::causal || part.kind == Kind::key_lengths || part.kind == Kind::rule;
}

/// The causal diagonal moves, the window stays where it is.
Forms shifted(const Replay& r, Index by) {
    Forms out;
    make::empty_rows_too(r,
                         {"", first_of_mask(r.plan()), false,
                          [by](Deviation& d) {
                              for (Index& offset : d.plan.offsets) offset += by;
                              widen_window(d.plan, by, -by);
                          }},
                         out, by < 0);
    return out;
}

/// Where the causal diagonal may begin by mistake.
std::vector<Index> other_corners(const Plan& p) {
    std::vector<Index> out;
    for (const Index corner : {Index{0}, p.given_keys() - p.queries}) {
        const bool there =
            std::all_of(p.offsets.begin(), p.offsets.end(), [&](Index o) { return o == corner; });
        if (!there && (out.empty() || out.front() != corner)) out.push_back(corner);
    }
    return out;
}

/// Some row of the plan sees no key.
bool has_empty_rows(const Replay& r) {
    const Plan& p = r.plan();
    if (!p.masked || p.has_appended()) return false;
    const Mask<double> mask(p, r.tensors());
    const Index heads = mask.has_cells() ? p.heads : 1;
    for (Index b = 0; b < p.batch; ++b)
        for (Index h = 0; h < heads; ++h)
            for (Index i = 0; i < p.queries; ++i)
                if (mask.hides_all(b, h, i)) return true;
    return false;
}

std::string empty_rows_needed(const Replay& r, EmptyRows policy) {
    std::string why = applies::masked(r);
    if (!why.empty()) return why;
    if (r.plan().empty_rows == policy) return "it is what the document asks for";
    return has_empty_rows(r) ? "" : "every row sees a key";
}
Forms other_empty_rows(const Replay& r, EmptyRows policy) {
    return {{"", weights_of(r), false, [policy](Deviation& d) { d.plan.empty_rows = policy; }}};
}

}  // namespace

Stage first_of_mask(const Plan& plan) {
    return mask_hides_keys(plan) ? Stage::masked_scores : Stage::masked_weights;
}
std::vector<MaskPartName> mask_parts(const Plan& p) {
    std::vector<MaskPartName> out;
    using Kind = MaskPart::Kind;
    if (p.causal) out.push_back({{Kind::causal}, ":causal", "the causal mask", false});
    if (p.window) out.push_back({{Kind::window}, ":window", "the window", false});
    if (p.chunk) out.push_back({{Kind::chunk}, ":chunk", "the chunks", false});
    if (!p.prefix.empty())
        out.push_back({{Kind::prefix_keys}, ":prefix_keys", "the prefix that all see", false});
    if (!p.token_blocks.empty())
        out.push_back({{Kind::token_blocks}, ":token_blocks", "the blocks of tokens", false});
    if (p.key_lengths) out.push_back({{Kind::key_lengths}, ":key_lengths", "the lengths of the keys", true});
    for (std::size_t k = 0; k < p.masks.size(); ++k) {
        const Shape& shape = p.tensors[p.masks[k].tensor].shape;
        const bool padding = p.queries > 1 && (shape.size() < 2 || shape[shape.size() - 2] == 1);
        out.push_back({{Kind::rule, k},
                       ":" + std::to_string(k),
                       p.masks.size() == 1 ? "\"mask\"" : "mask " + std::to_string(k),
                       padding});
    }
    return out;
}

namespace applies {

std::string masked(const Replay& r) {
    if (r.plan().state) return "there are no scores that a mask could hide";
    return r.plan().masked ? "" : "there is no mask";
}
std::string masked_scores(const Replay& r) {
    std::string why = masked(r);
    return why.empty() && !mask_hides_keys(r.plan()) ? "the mask is applied to the weights" : why;
}
std::string causal(const Replay& r) {
    std::string why = masked(r);
    return why.empty() && !r.plan().causal ? "there is no causal mask" : why;
}
std::string square_mask(const Replay& r) {
    std::string why = masked(r);
    return why.empty() && r.plan().queries != r.plan().given_keys()
               ? "the mask is not square: queries and keys differ in number"
               : why;
}
std::string causal_of_other_corner(const Replay& r) {
    std::string why = causal(r);
    return why.empty() && other_corners(r.plan()).empty() ? "there are as many queries as keys" : why;
}
std::string windowed(const Replay& r) {
    return r.plan().state || !r.plan().window ? "there is no window" : "";
}
std::string empty_row_nan(const Replay& r) { return empty_rows_needed(r, EmptyRows::nan); }
std::string empty_row_uniform(const Replay& r) { return empty_rows_needed(r, EmptyRows::uniform); }
std::string empty_row_zero(const Replay& r) { return empty_rows_needed(r, EmptyRows::zero); }

}  // namespace applies

namespace make {

void empty_rows_too(const Replay& r, const Form& form, Forms& out, bool may_be_empty) {
    out.push_back(form);
    for (const EmptyRows policy : {EmptyRows::nan, EmptyRows::uniform, EmptyRows::zero}) {
        if (!may_be_empty || policy == r.plan().empty_rows) continue;
        Form other = form;
        other.make = [change = form.make, policy](Deviation& d) {
            change(d);
            d.plan.empty_rows = policy;
        };
        other.detail = (form.detail.empty() ? "" : form.detail + "; ") +
                       (policy == EmptyRows::nan       ? "rows without a key are NaN"
                        : policy == EmptyRows::uniform ? "rows without a key have equal weights"
                                                       : "rows without a key have the weights 0");
        out.push_back(std::move(other));
    }
}

Forms no_mask(const Replay& r) {
    Forms out;
    const auto form = [&](const std::string& of, std::string detail, std::vector<MaskPart> parts) {
        out.push_back({std::move(detail), first_of_mask(r.plan()), false,
                       [parts = std::move(parts)](Deviation& d) {
                           // From the last to the first: a rule that goes shifts those after it.
                           for (auto p = parts.rbegin(); p != parts.rend(); ++p) drop(d.plan, *p);
                       },
                       of});
    };
    const std::vector<MaskPartName> parts = mask_parts(r.plan());
    std::vector<MaskPart> all;
    for (const MaskPartName& p : parts) all.push_back(p.part);
    form("", "", all);
    for (std::size_t k = 0; k < parts.size() && parts.size() > 1; ++k)
        form(parts[k].of, parts[k].words, {parts[k].part});
    return out;
}

Forms mask_after_softmax(const Replay& r) {
    return {{"", first_of_mask(r.plan()), false, [](Deviation& d) { d.quirks.masks_weights = true; }}};
}
Forms mask_fill_zero(const Replay& /*r*/) {
    return {{"", Stage::masked_scores, false, [](Deviation& d) { d.quirks.fill = 0; }}};
}
Forms mask_strict(const Replay& r) { return shifted(r, -1); }
Forms mask_one_future(const Replay& r) { return shifted(r, 1); }

Forms mask_inverted(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    empty_rows_too(r,
                   {"", first_of_mask(r.plan()), false, [](Deviation& d) { d.quirks.mask_inverted = true; }},
                   out, true);
    const bool explicit_one = std::any_of(p.masks.begin(), p.masks.end(),
                                          [](const MaskRule& m) { return m.kind != MaskKind::add; });
    if (explicit_one && mask_parts(p).size() > 1)
        empty_rows_too(r,
                       {"\"mask\" alone", first_of_mask(r.plan()), false,
                        [](Deviation& d) {
                            for (MaskRule& m : d.plan.masks)
                                if (m.kind != MaskKind::add)
                                    m.kind = m.kind == MaskKind::keep ? MaskKind::drop : MaskKind::keep;
                        }},
                       out, true);
    return out;
}

Forms mask_transposed(const Replay& r) {
    const std::vector<MaskPartName> parts = mask_parts(r.plan());
    Forms out;
    const auto form = [&](const std::string& words, const MaskPart& part, bool padding, bool may_be_empty) {
        Form f{words, first_of_mask(r.plan()), false,
               [part](Deviation& d) { d.quirks.mask_transposed = part; }};
        if (padding) {
            f.detail +=
                (words.empty() ? "" : ": ") + std::string("rows of queries are hidden, not columns of keys");
            f.hint = "a padding mask hides keys: its shape is [batch, 1, 1, key]";
        }
        empty_rows_too(r, f, out, may_be_empty);
    };
    const bool all_padding =
        std::all_of(parts.begin(), parts.end(), [](const MaskPartName& p) { return p.padding; });
    const bool only_causal = parts.size() == 1 && r.plan().causal;
    form("", {MaskPart::Kind::all}, all_padding, !only_causal);
    for (std::size_t k = 0; k < parts.size() && parts.size() > 1; ++k)
        if (has_a_shape(parts[k].part))
            form(parts[k].words + " alone", parts[k].part, parts[k].padding, true);
    return out;
}

Forms causal_alignment(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    for (const Index corner : other_corners(p)) {
        const auto moved = [corner](Deviation& d, bool with_window) {
            if (!with_window && !d.plan.offsets.empty())
                widen_window(d.plan, corner - d.plan.offsets[0], d.plan.offsets[0] - corner);
            d.plan.offsets.assign(d.plan.offsets.size(), corner);
        };
        const std::string detail = corner == 0 ? "at the top left" : "at the bottom right";
        empty_rows_too(r, {detail, first_of_mask(r.plan()), false, [moved](Deviation& d) { moved(d, true); }},
                       out, true);
        if (p.window)
            empty_rows_too(r,
                           {detail + ", the window left where it is", first_of_mask(r.plan()), false,
                            [moved](Deviation& d) { moved(d, false); }},
                           out, true);
    }
    return out;
}

Forms window_off_by_one(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    for (const Index by : {Index{-1}, Index{1}}) {
        const std::string detail = by < 0 ? "one token fewer" : "one token more";
        const auto form = [&](const std::string& side, bool left, bool right) {
            empty_rows_too(
                r,
                {detail + side, first_of_mask(r.plan()), false,
                 [by, left, right](Deviation& d) { widen_window(d.plan, left ? by : 0, right ? by : 0); }},
                out, by < 0);
        };
        if (p.window->left) form(" to the left", true, false);
        if (p.window->right) form(" to the right", false, true);
        if (p.window->left && p.window->right) form(" on both sides", true, true);
    }
    return out;
}

Forms empty_row_nan(const Replay& r) { return other_empty_rows(r, EmptyRows::nan); }
Forms empty_row_uniform(const Replay& r) { return other_empty_rows(r, EmptyRows::uniform); }
Forms empty_row_zero(const Replay& r) { return other_empty_rows(r, EmptyRows::zero); }

}  // namespace make
}  // namespace attn
