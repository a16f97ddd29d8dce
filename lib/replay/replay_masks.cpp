// What the mask of a replay hides.
#include <algorithm>

#include "lib/replay/replay_work.hpp"

namespace attn {
namespace {

/// The plan with one rule of its mask and no other.
Plan alone(Plan plan, const MaskPart& part) {
    using Kind = MaskPart::Kind;
    if (part.kind != Kind::causal) plan.causal = false;
    if (part.kind != Kind::window) plan.window.reset();
    if (part.kind != Kind::chunk) plan.chunk.reset();
    if (part.kind != Kind::prefix_keys) plan.prefix.clear();
    if (part.kind != Kind::token_blocks) plan.token_blocks.clear();
    if (part.kind != Kind::key_lengths) plan.key_lengths.reset();
    std::vector<MaskRule> kept;
    if (part.kind == Kind::rule && part.rule < plan.masks.size()) kept.push_back(plan.masks[part.rule]);
    plan.masks = std::move(kept);
    return plan;
}

}  // namespace

void drop(Plan& plan, const MaskPart& part) {
    using Kind = MaskPart::Kind;
    if (part.kind == Kind::all || part.kind == Kind::causal) plan.causal = false;
    if (part.kind == Kind::all || part.kind == Kind::window) plan.window.reset();
    if (part.kind == Kind::all || part.kind == Kind::chunk) plan.chunk.reset();
    if (part.kind == Kind::all || part.kind == Kind::prefix_keys) plan.prefix.clear();
    if (part.kind == Kind::all || part.kind == Kind::token_blocks) plan.token_blocks.clear();
    if (part.kind == Kind::all || part.kind == Kind::key_lengths) plan.key_lengths.reset();
    if (part.kind == Kind::all) plan.masks.clear();
    if (part.kind == Kind::rule && part.rule < plan.masks.size())
        plan.masks.erase(plan.masks.begin() + static_cast<std::ptrdiff_t>(part.rule));
    if (!plan.places_queries() && plan.prefix.empty() && !plan.key_lengths && plan.masks.empty())
        plan.masked = false;
}

/// What the mask hides, for the rows that are computed.
void Replay::hide(Work& w) const {
    const Plan& plan = w.plan;
    if (!plan.masked) return;
    const auto rows = static_cast<Index>(w.made.rows.size());
    const Index given = plan.given_keys();
    w.hidden.resize(static_cast<std::size_t>(plan.batch * plan.heads * rows * plan.keys));
    const auto each_head = [&](auto&& f) {
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.heads; ++h)
                f(b, h, w.hidden.data() + (b * plan.heads + h) * rows * plan.keys);
    };
    std::vector<std::uint8_t> line(static_cast<std::size_t>(plan.keys));
    const auto add = [&](const Mask<double>& mask) {
        each_head([&](Index b, Index h, std::uint8_t* to) {
            b = w.mask_item(b, h);
            for (Index i = 0; i < rows; ++i) {
                mask.hide(b, h, w.made.rows[idx(i)], line.data());
                for (Index j = 0; j < plan.keys; ++j) to[i * plan.keys + j] |= line[idx(j)];
            }
        });
    };
    const auto add_transposed = [&](const Mask<double>& mask) {
        each_head([&](Index b, Index h, std::uint8_t* to) {
            b = w.mask_item(b, h);
            for (Index j = 0; j < given; ++j) {
                mask.hide(b, h, j, line.data());
                for (Index i = 0; i < rows; ++i) to[i * plan.keys + j] |= line[idx(w.made.rows[idx(i)])];
            }
        });
    };
    if (w.quirks.mask_numbers) {
        const MaskPart& part = w.quirks.mask_numbers->part;
        Plan rest = plan;
        drop(rest, part);
        const Plan numbers = part.kind == MaskPart::Kind::all ? plan : alone(plan, part);
        add(Mask<double>(numbers, tensors_));
        w.ones = w.hidden;
        if (!w.quirks.mask_numbers->ones_hide)
            for (std::uint8_t& one : w.ones) one ^= 1;
        std::fill(w.hidden.begin(), w.hidden.end(), std::uint8_t{0});
        if (rest.masked) add(Mask<double>(rest, tensors_));
    } else if (w.quirks.window_offset) {
        // Prefix and blocks of tokens show keys whatever the window says.
        Plan rest = plan, window = plan;
        drop(rest, {MaskPart::Kind::window});
        window.causal = false;
        window.chunk.reset();
        window.key_lengths.reset();
        window.masks.clear();
        window.offsets.assign(window.offsets.size(), *w.quirks.window_offset);
        if (rest.masked) add(Mask<double>(rest, tensors_));
        add(Mask<double>(window, tensors_));
    } else if (!w.quirks.mask_transposed) {
        add(w.mask);
    } else if (w.quirks.mask_transposed->kind == MaskPart::Kind::all) {
        add_transposed(w.mask);
    } else {
        Plan rest = plan;
        drop(rest, *w.quirks.mask_transposed);
        const Plan part = alone(plan, *w.quirks.mask_transposed);
        add(Mask<double>(rest, tensors_));
        add_transposed(Mask<double>(part, tensors_));
    }
    if (!w.quirks.mask_inverted) return;
    each_head([&](Index /*b*/, Index /*h*/, std::uint8_t* to) {
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < given; ++j) to[i * plan.keys + j] ^= 1;
    });
}

}  // namespace attn
