// Masks and windows of another rule, masks that are added, masks of another batch item.
#include <algorithm>
#include <array>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/mask_parts.hpp"
#include "lib/mistakes/measures.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/mistakes/seen.hpp"

namespace attn {
namespace of_windows {
namespace {

/// A form that may leave rows without a key.
Forms with_empty_rows(const Replay& r, const std::vector<Form>& forms) {
    Forms out;
    for (const Form& f : forms) make::empty_rows_too(r, f, out, true);
    return out;
}

std::string window_and_cache(const Replay& r) {
    std::string why = applies::windowed(r);
    return why.empty() && r.plan().past == 0 ? "there is no cache" : why;
}
/// The window is placed where the new tokens begin to count, as if there were none before them.
Forms window_forgets_cache(const Replay& r) {
    return with_empty_rows(
        r, {{"", first_of_mask(r.plan()), false, [](Deviation& d) { d.quirks.window_offset = 0; }}});
}

void set_side(Plan& plan, bool left, Index width) {
    if (!plan.window) return;
    std::optional<Index>& side = left ? plan.window->left : plan.window->right;
    if (side) side = width;
}
/// "keys i-7 to i+4".
std::string keys_of(const Window& w) {
    const auto end = [](const std::optional<Index>& side, const char* sign, const char* open) {
        if (!side) return std::string(open);
        return *side == 0 ? std::string("i") : "i" + (sign + std::to_string(*side));
    };
    return "keys " + end(w.left, "-", "0") + " to " + end(w.right, "+", "the last");
}
/// All of them, or where there are many, those up to 256 and the powers of two, and one less and one more.
std::vector<double> widths_below(Index keys) {
    constexpr Index all = 256;
    std::vector<double> out;
    for (Index w = 0; w < std::min(keys, all); ++w) out.push_back(static_cast<double>(w));
    for (Index w = 2 * all; w - 1 < keys; w *= 2)
        for (const Index by : {-1, 0, 1}) out.push_back(static_cast<double>(w + by));
    return out;
}
Measurement measured_side(bool left, Index theirs, Index ours) {
    return {left ? "left" : "right", {static_cast<double>(theirs)}, {static_cast<double>(ours)}};
}
/// Half of it, or twice as many.
Forms window_width(const Replay& r) {
    const Window& w = *r.plan().window;
    Forms out;
    for (const bool left : {true, false}) {
        const std::optional<Index>& side = left ? w.left : w.right;
        if (!side) continue;
        for (const Index width : {*side / 2, 2 * *side + 1}) {
            if (width == *side) continue;
            out.push_back({{}, first_of_mask(r.plan()), false, [left, width](Deviation& d) {
                               set_side(d.plan, left, width);
                           }});
            out.back().measured = measured_side(left, width, *side);
        }
    }
    return out;
}
std::optional<Forms> window_width_measured(const Replay& r, const Measures& m) {
    const Window ours = *r.plan().window;
    const std::optional<Window> theirs = m.window();
    if (!theirs) return std::nullopt;
    Forms out;
    if (theirs->left == ours.left && theirs->right == ours.right) return out;
    Form form{keys_of(*theirs), first_of_mask(r.plan()), false,
              [window = *theirs](Deviation& d) { d.plan.window = window; }};
    if (theirs->left && ours.left && theirs->right == ours.right)
        form.measured = measured_side(true, *theirs->left, *ours.left);
    else if (theirs->right && ours.right && theirs->left == ours.left)
        form.measured = measured_side(false, *theirs->right, *ours.right);
    make::empty_rows_too(r, form, out, true);
    return out;
}
std::vector<Tunable> window_width_tuned(const Replay& r) {
    const Plan& p = r.plan();
    std::vector<Tunable> out;
    for (const bool left : {true, false}) {
        const std::optional<Index>& side = left ? p.window->left : p.window->right;
        if (!side) continue;
        out.push_back({static_cast<double>(*side), first_of_mask(p),
                       [left](Deviation& d, double x) { set_side(d.plan, left, static_cast<Index>(x)); },
                       [left, ours = *side](double x) -> std::optional<Measurement> {
                           const auto width = static_cast<Index>(x);
                           if (width == ours) return std::nullopt;
                           return measured_side(left, width, ours);
                       },
                       widths_below(p.keys)});
    }
    return out;
}

std::string not_causal(const Replay& r) {
    const Plan& p = r.plan();
    if (p.state) return "there are no scores that a mask could hide";
    if (p.normalize != Normalize::softmax) return "weights are made without a softmax";
    return unless(!p.causal, "the mask is causal");
}
/// Also where there is no mask: decoders are causal by default.
Forms causal_for_mask(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    const auto form = [&](std::string detail, Index corner) {
        out.push_back({std::move(detail), first_of_mask(p), false, [corner](Deviation& d) {
                           drop(d.plan, {MaskPart::Kind::all});
                           d.plan.masked = d.plan.causal = true;
                           d.plan.offsets.assign(d.plan.offsets.size(), corner);
                       }});
    };
    const Index corner = p.given_keys() - p.queries;
    const std::string none = p.masked ? "" : "where there is no mask";
    form(none, corner == p.past ? p.past : 0);
    if (corner != 0)
        form(corner == p.past ? "from the top left" : "from the bottom right", corner == p.past ? 0 : corner);
    return out;
}

std::string window_or_chunk(const Replay& r) {
    const Plan& p = r.plan();
    if (p.state || !p.masked) return "there is no mask";
    return unless(p.chunk || (p.window && p.window->left && p.causal), "there are no chunks");
}
Forms window_for_chunk(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    const auto form = [&](std::string detail, auto change) {
        out.push_back({std::move(detail), first_of_mask(p), false, change});
    };
    if (!p.chunk) {
        form("chunks for a window", [](Deviation& d) {
            if (!d.plan.window || !d.plan.window->left) return;
            d.plan.chunk = *d.plan.window->left + 1;
            d.plan.window.reset();
        });
        return out;
    }
    for (const Index more : {Index{0}, Index{1}})
        form(more == 0 ? "" : "a window of one token more", [more](Deviation& d) {
            if (!d.plan.chunk) return;
            d.plan.window =
                Window{*d.plan.chunk - 1 + more,
                       d.plan.causal ? std::nullopt : std::optional<Index>(*d.plan.chunk - 1 + more)};
            d.plan.chunk.reset();
        });
    return out;
}

/// Each mask by itself, and all of them: 1 where they show, or where they hide.
Forms mask_added_as_numbers(const Replay& r) {
    const std::vector<MaskPartName> parts = mask_parts(r.plan());
    Forms out;
    const auto form = [&](const std::string& words, const MaskPart& part) {
        for (const bool hide : {false, true})
            out.push_back({(words.empty() ? "" : words + ": ") +
                               (hide ? "1 stands where it hides" : "1 stands where it shows"),
                           Stage::masked_scores, false, [part, hide](Deviation& d) {
                               d.quirks.mask_numbers = MaskNumbers{part, hide};
                           }});
    };
    form("", {MaskPart::Kind::all});
    for (std::size_t k = 0; k < parts.size() && parts.size() > 1; ++k) form(parts[k].words, parts[k].part);
    return out;
}

/// Some rule differs between batch items.
bool differs_by_item(const Plan& p) {
    if (p.key_lengths || !p.prefix.empty() || !p.token_blocks.empty()) return true;
    if (p.places_queries() &&
        std::any_of(p.offsets.begin(), p.offsets.end(), [&](Index o) { return o != p.offsets[0]; }))
        return true;
    return std::any_of(p.masks.begin(), p.masks.end(), [&](const MaskRule& m) {
        const Shape& shape = p.tensors[m.tensor].shape;
        return shape.size() == 4 && shape[0] > 1;
    });
}
std::string masks_of_items(const Replay& r) {
    std::string why = applies::masked(r);
    if (!why.empty()) return why;
    if (r.plan().batch == 1) return "there is one batch item";
    return unless(differs_by_item(r.plan()), "all batch items have the same mask");
}
Forms mask_other_item(const Replay& r) {
    const Index items = r.plan().batch, heads = r.plan().heads;
    std::vector<Form> forms;
    const auto form = [&](std::string detail, auto item_of) {
        std::vector<Index> list;
        for (Index b = 0; b < items; ++b)
            for (Index h = 0; h < heads; ++h) list.push_back(item_of(b, h));
        forms.push_back({std::move(detail), first_of_mask(r.plan()), false,
                         [list](Deviation& d) { d.quirks.mask_items = list; }});
    };
    if (heads > 1)
        form("tiled over [batch * heads] where each item's is repeated",
             [=](Index b, Index h) { return (b * heads + h) % items; });
    form("that of the first item for all", [](Index, Index) { return Index{0}; });
    form("that of the last item for all", [=](Index, Index) { return items - 1; });
    if (items > 2) form("items in reverse", [=](Index b, Index) { return items - 1 - b; });
    if (items == 2) form("the two items exchanged", [](Index b, Index) { return 1 - b; });
    return with_empty_rows(r, forms);
}

/// Numbers for -inf that scores may come near to, set or added.
Forms mask_fill_small(const Replay& r) {
    Forms out;
    for (const double fill : {-1.0, -10.0, -100.0, -1e3, -1e4, -65504.0})
        out.push_back({"set to " + std::to_string(static_cast<Index>(fill)), Stage::masked_scores, false,
                       [fill](Deviation& d) { d.quirks.fill = fill; }});
    for (const double fill : {-10.0, -100.0, -1e3, -1e4, -65504.0})
        out.push_back({std::to_string(static_cast<Index>(-fill)) + " subtracted", Stage::masked_scores, false,
                       [fill](Deviation& d) {
                           d.quirks.fill = fill;
                           d.quirks.fill_is_added = true;
                       }});
    (void)r;
    return out;
}

bool wide_enough(const Seen& seen, const Mistake& /*m*/) {
    const Plan& p = seen.plan();
    return p.window && p.window->left && *p.window->left >= p.past + p.queries;
}

// clang-format off
constexpr std::array cache_blind{Blind{"the window is wider than the input", wide_enough}, Blind{"the window hides no key that it would not hide without a cache"}};
constexpr std::array width_blind{Blind{"the window is wider than the input", blind::wide_window}, Blind{"the keys between the two windows are hidden by another mask"}};
constexpr std::array causal_blind{Blind{"the mask hides what a causal one hides"}};
constexpr std::array chunk_blind{Blind{"chunks and window leave the same keys"}};
constexpr std::array items_blind{Blind{"all batch items have the same mask"}};
constexpr std::array fill_blind{Blind{"nothing is hidden", blind::nothing_hidden}, Blind{"all scores are far above the fill, and every row sees a key"}};
constexpr std::array numbers_blind{Blind{"each row sees one key, whose weight is 1 whatever its score", blind::one_key, "rows that see two keys or more"}, Blind{"the mask is the same for all keys of a row"}};
constexpr std::string_view mask_cure = "a mask that hides a key";

constexpr std::array table{
    MistakeRow{"window_forgets_cache", "", "the window is placed without the cache", "keys before the window have weights",
     "trymirai/lalamo#200", "the first new token's place is the length of the cache, for the window as for the causal mask",
     cache_blind, "a window that ends within the cache", window_and_cache, window_forgets_cache, Pairs::never, "no_mask, window_width"},
    MistakeRow{"window_width", "", "the window has another width", "the pattern of zeros is that of another window: it is measured",
     "", "take the width that the model's configuration says (sliding_window), in tokens before the token itself",
     width_blind, "more tokens than both windows hold", applies::windowed, window_width, Pairs::never, "no_mask", window_width_measured, window_width_tuned},
    MistakeRow{"causal_for_mask", "", "a plain causal mask in place of the mask", "the pattern of zeros is the upper triangle",
     "", "check that is_causal is not set beside (or in place of) attn_mask",
     causal_blind, "a query that sees a key after it", not_causal, causal_for_mask, Pairs::never},
    MistakeRow{"window_for_chunk", "", "a sliding window for chunks, or the reverse", "keys of the chunk before have weights, or those of the window have none",
     "", "chunks begin at multiples of their width; a window moves with its token",
     chunk_blind, "more tokens than a chunk holds", window_or_chunk, window_for_chunk, Pairs::never, "window_width"},
    MistakeRow{"mask_added_as_numbers", "", "a mask of 0 and 1 is added to the scores and hides nothing", "hidden keys have weights; the ratio of weights is e",
     "huggingface/transformers#24897, pytorch/pytorch#163026", "a float mask is added: 0 keeps and -inf hides; or pass a boolean one",
     numbers_blind, mask_cure, applies::masked_scores, mask_added_as_numbers, Pairs::never},
    MistakeRow{"mask_other_item", "", "heads and batch items get the mask of another item", "the pattern of zeros is that of another batch item",
     "sooftware/attentions#4", "repeat each item's mask for its heads: repeat_interleave(heads, 0), not repeat(heads, 1, 1)",
     items_blind, "batch items with different masks", masks_of_items, mask_other_item, Pairs::never},
    MistakeRow{"mask_fill_small", "", "masked scores get a finite number that is too near to the others", "hidden keys have small weights",
     "", "fill masked scores with -inf, or with the lowest number of the type",
     fill_blind, "scores far below 0 beside hidden keys", applies::masked_scores, mask_fill_small, Pairs::never},
};
// clang-format on

}  // namespace
}  // namespace of_windows

std::span<const MistakeRow> rows_of_windows() { return of_windows::table; }

}  // namespace attn
