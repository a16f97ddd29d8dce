// The softmax made twice, out of range, block by block; sinks, the soft cap, dropout, a padded cache.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <utility>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/mistakes/seen.hpp"
#include "lib/text.hpp"

namespace attn {
namespace of_softmax {
namespace {

Forms softmax_twice(const Replay& r) {
    Forms out{{"", Stage::weights, false, [](Deviation& d) { d.quirks.softmax_twice = true; }}};
    if (r.plan().masked && r.plan().mask_at != MaskAt::weights)
        out.push_back({"masked both times", Stage::weights, false,
                       [](Deviation& d) { d.quirks.softmax_twice = d.quirks.masked_twice = true; }});
    return out;
}
Forms softmax_without_maximum(const Replay& /*r*/) {
    return {{"", Stage::weights, false,
             [](Deviation& d) {
                 d.quirks.maximum = Maximum::none;
                 d.quirks.no_sum_is_nan = true;
             }},
            {"rows whose exponentials are all 0 get the weights 0", Stage::weights, false,
             [](Deviation& d) { d.quirks.maximum = Maximum::none; }}};
}
Forms softmax_maximum_zero(const Replay& /*r*/) {
    return {{"", Stage::weights, false, [](Deviation& d) { d.quirks.maximum = Maximum::not_below_zero; }},
            {"rows whose exponentials are all 0 become NaN", Stage::weights, false, [](Deviation& d) {
                 d.quirks.maximum = Maximum::not_below_zero;
                 d.quirks.no_sum_is_nan = true;
             }}};
}

std::string blocks(const Replay& r) {
    std::string why = applies::softmax(r);
    if (!why.empty()) return why;
    if (!r.plan().sinks.empty()) return "there are sinks";
    return unless(r.plan().keys > 1, "there is one key");
}
/// Widths of blocks that codes use, or that cut the keys evenly.
std::vector<Index> block_widths(Index keys) {
    std::vector<Index> out;
    for (Index w = 1; w < keys && w <= 8; ++w) out.push_back(w);
    for (Index w = 16; w < keys; w *= 2) out.push_back(w);
    for (const Index parts : {Index{2}, Index{3}, Index{4}, Index{8}})
        out.push_back((keys + parts - 1) / parts);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    std::erase_if(out, [&](Index w) { return w >= keys; });
    return out;
}
/// A way in which blocks go wrong, and its words.
using BlockWay = std::pair<BlockFault::Kind, std::string_view>;
constexpr std::array not_rescaled{
    BlockWay{BlockFault::Kind::contexts_not_rescaled, ""},
    BlockWay{BlockFault::Kind::sums_not_rescaled, "the sum of exponentials alone"},
    BlockWay{BlockFault::Kind::neither_rescaled, "nor the sum of exponentials"}};
constexpr std::array averaged{BlockWay{BlockFault::Kind::averaged, ""},
                              BlockWay{BlockFault::Kind::added, "added up"}};

Forms of_blocks(const Replay& r, std::span<const BlockWay> ways) {
    Forms out;
    for (const auto& [kind, words] : ways)
        for (const Index width : block_widths(r.plan().keys))
            out.push_back({(words.empty() ? "" : std::string(words) + ", ") + "blocks of " +
                               how_many(width, "key", "keys"),
                           Stage::weights, false, [kind = kind, width](Deviation& d) {
                               d.quirks.blocks = BlockFault{kind, width};
                           }});
    return out;
}
/// The other widths, where they are few.
std::vector<Tunable> blocks_tuned(const Replay& r, std::span<const BlockWay> ways) {
    const Index keys = r.plan().keys;
    constexpr Index few = 64;
    std::vector<double> others;
    const std::vector<Index> tried = block_widths(keys);
    for (Index w = 1; w < keys && keys <= few; ++w)
        if (!std::binary_search(tried.begin(), tried.end(), w)) others.push_back(static_cast<double>(w));
    std::vector<Tunable> out;
    for (const auto& [kind, words] : ways) {
        if (others.empty()) break;
        out.push_back(
            {others[0], Stage::weights,
             [kind = kind](Deviation& d, double width) {
                 d.quirks.blocks = BlockFault{kind, static_cast<Index>(width)};
             },
             [words = words](double width) {
                 return Measurement{
                     (words.empty() ? "" : std::string(words) + ", ") + "keys of a block", {width}, {}};
             },
             others});
    }
    return out;
}
Forms blocks_not_rescaled(const Replay& r) { return of_blocks(r, not_rescaled); }
Forms blocks_averaged(const Replay& r) { return of_blocks(r, averaged); }
std::vector<Tunable> blocks_not_rescaled_tuned(const Replay& r) { return blocks_tuned(r, not_rescaled); }
std::vector<Tunable> blocks_averaged_tuned(const Replay& r) { return blocks_tuned(r, averaged); }

std::string sinks(const Replay& r) { return unless(!r.plan().sinks.empty(), "there are no sinks"); }
std::string scaled_sinks(const Replay& r) {
    std::string why = sinks(r);
    return why.empty() ? applies::scaled(r) : why;
}
Forms no_sinks(const Replay& /*r*/) {
    return {{"", Stage::weights, false, [](Deviation& d) { d.plan.sinks.clear(); }}};
}
Forms sinks_scaled(const Replay& r) {
    const double scale = r.plan().scale;
    return {{"", Stage::weights, false, [scale](Deviation& d) {
                 for (double& s : d.plan.sinks) s *= scale;
             }}};
}

std::string softcap_and_scale(const Replay& r) {
    std::string why = applies::softcap(r);
    return why.empty() ? applies::scaled(r) : why;
}
Forms softcap_before_scale(const Replay& /*r*/) {
    return {{"", Stage::scaled_scores, false, [](Deviation& d) { d.quirks.cap_before_scale = true; }}};
}
Forms softcap_not_multiplied(const Replay& r) {
    const double cap = *r.plan().softcap;
    return {{"", Stage::capped_scores, false, [cap](Deviation& d) { d.quirks.cap_outside = 1 / cap; }},
            {"multiplied, and not divided before", Stage::capped_scores, false,
             [cap](Deviation& d) { d.quirks.cap_inside = cap; }}};
}

std::string unwritten_slots(const Replay& r) {
    std::string why = applies::softmax(r);
    if (!why.empty()) return why;
    if (!r.plan().sinks.empty()) return "there are sinks";
    return unless(!r.plan().has_appended(), "keys are appended");
}
/// Keys of zeros, which have the score 0 and values 0, are a sink of the logarithm of their number.
void attend_to_zeros(Deviation& d, double count) {
    d.plan.sinks.assign(static_cast<std::size_t>(d.plan.heads), std::log(count));
}
Form zeros(Index count) {
    return {how_many(count, "slot", "slots"), Stage::weights, false,
            [count](Deviation& d) { attend_to_zeros(d, static_cast<double>(count)); }};
}
Forms cache_zeros(const Replay& r) {
    Forms out;
    const auto keys = static_cast<std::size_t>(r.plan().keys);
    for (std::size_t slots = std::bit_ceil(keys + 1), k = 0; k < 4; slots *= 2, ++k)
        out.push_back(zeros(static_cast<Index>(slots - keys)));
    for (Index count = 1; count <= 16; ++count)
        if (!std::has_single_bit(keys + static_cast<std::size_t>(count))) out.push_back(zeros(count));
    return out;
}

std::vector<Tunable> cache_zeros_tuned(const Replay& r) {
    return {{static_cast<double>(r.plan().keys), Stage::weights, attend_to_zeros,
             [](double count) -> std::optional<Measurement> {
                 constexpr double of_rounding = 0.01;
                 if (count < 0.5 || std::abs(count - std::round(count)) > of_rounding * count)
                     return std::nullopt;
                 return Measurement{"slots", {std::round(count)}, {}};
             }}};
}

std::string dropped(const Replay& r) {
    if (!r.plan().dropout) return "there is no dropout";
    return unless(r.plan().dropout->p > 0 && r.plan().dropout->p < 1, "dropout keeps all or nothing");
}
Forms dropout_factor(const Replay& r) {
    const double p = r.plan().dropout->p;
    Forms out;
    const auto form = [&](std::string detail, double factor) {
        out.push_back({std::move(detail), Stage::dropped_weights, false,
                       [factor](Deviation& d) { d.quirks.dropout_factor = factor; }});
    };
    form("none", 1);
    form("1/p", 1 / p);
    form("1 - p", 1 - p);
    return out;
}

// clang-format off
constexpr std::string_view more_keys = "rows that see two keys or more";
constexpr std::array twice_blind{Blind{"each row sees one key, whose weight is 1 whatever its score", blind::one_key, more_keys},
    Blind{"all scores of a row are equal", blind::equal_scores}, Blind{"a second softmax gives the same weights"}};
constexpr std::array range_blind{Blind{"all scores are within the range of exp"}};
constexpr std::array blocks_blind{Blind{"each row sees one key, whose weight is 1 whatever its score", blind::one_key, more_keys},
    Blind{"no block has a larger maximum than those before it"}};
constexpr std::array averaged_blind{Blind{"each block has the same share of the weights"}};
constexpr std::array sinks_blind{Blind{"the sinks are far below the scores"}};
constexpr std::array scaled_sinks_blind{Blind{"the scale is 1", blind::scale_is_one}, Blind{"the sinks are 0, or far below the scores"}};
constexpr std::array cap_scale_blind{Blind{"the scale is 1", blind::scale_is_one}, Blind{"all scores are 0", blind::scores_are_zero}, Blind{"the scores are far below the cap"}};
constexpr std::array cap_blind{Blind{"all scores are 0", blind::scores_are_zero}, Blind{"the cap is 1"}};
constexpr std::array zeros_blind{Blind{"the scores are so high that keys of zeros get no weight"}};
constexpr std::array dropout_blind{Blind{"dropout leaves no weight"}};

constexpr std::array table{
    MistakeRow{"softmax_twice", "", "the softmax is applied to the weights once more", "weights nearly equal, hidden keys have weights",
     "", "one softmax: a loss or a layer after it may have its own",
     twice_blind, "scores that differ", applies::softmax, softmax_twice, Pairs::never},
    MistakeRow{"softmax_without_maximum", "", "the softmax does not subtract the largest score", "rows with scores above 88 are NaN",
     "", "exp(scores - max): float32 ends at e^88.7",
     range_blind, "scores above 89", applies::softmax, softmax_without_maximum, Pairs::never},
    MistakeRow{"softmax_maximum_zero", "", "the running maximum begins at 0, or is not let below it", "rows whose scores are all below -87 are 0",
     "Dao-AILab/flash-attention#2082, flashinfer-ai/flashinfer#4267", "begin with -inf: a row's largest score may be far below 0",
     range_blind, "a row whose scores are all below -90", applies::softmax, softmax_maximum_zero, Pairs::never, "softmax_without_maximum, cache_zeros"},
    MistakeRow{"blocks_not_rescaled", "", "block by block, what was summed is not scaled down when a larger maximum comes", "rows of weights sum to more than 1; the first block is right alone",
     "TileFusion#31, CUDATutorial#69, flash-sparse#106", "multiply both the sum and the context by exp(old max - new max)",
     blocks_blind, "scores that grow from block to block", blocks, blocks_not_rescaled, Pairs::never, {}, nullptr, blocks_not_rescaled_tuned},
    MistakeRow{"blocks_averaged", "", "each block of keys has a softmax of its own, and their contexts are averaged", "keys of every block have the same share",
     "", "weigh each block by its sum of exponentials: exp(lse of the block - lse of all)",
     averaged_blind, "blocks whose scores differ", blocks, blocks_averaged, Pairs::never, {}, nullptr, blocks_averaged_tuned},
    MistakeRow{"no_sinks", "", "the sinks are left out", "rows of weights sum to 1",
     "", "add exp(sink) to the sum of each row", sinks_blind, "sinks as large as the scores", sinks, no_sinks},
    MistakeRow{"sinks_scaled", "", "the sinks are multiplied by the scale", "rows of weights sum to less than they should",
     "", "sinks join the scores after the scale", scaled_sinks_blind, "sinks that are not 0", scaled_sinks, sinks_scaled},
    MistakeRow{"softcap_before_scale", "", "the cap is applied before the scale", "scores are bounded by cap times scale",
     "", "scale, then c * tanh(scores / c)", cap_scale_blind, "scores as large as the cap", softcap_and_scale, softcap_before_scale},
    MistakeRow{"softcap_not_multiplied", "", "tanh(scores / c) is not multiplied by c", "scores lie between -1 and 1",
     "", "c * tanh(scores / c)", cap_blind, "a cap that is not 1", applies::softcap, softcap_not_multiplied},
    MistakeRow{"cache_zeros", "", "slots of the cache that nothing was written to are attended to", "rows of weights sum to less than 1; the ratio is one number a row",
     "", "hide the keys after the last written one", zeros_blind, "scores near 0", unwritten_slots, cache_zeros, Pairs::never, {}, nullptr, cache_zeros_tuned},
    MistakeRow{"dropout_factor", "", "what dropout keeps is not divided by 1 - p", "kept weights are ours times one number",
     "", "kept weights are multiplied by 1 / (1 - p)", dropout_blind, "a p that is neither 0 nor 1", dropped, dropout_factor},
};
// clang-format on

}  // namespace
}  // namespace of_softmax

std::span<const MistakeRow> rows_of_softmax() { return of_softmax::table; }

}  // namespace attn
