#include <algorithm>
#include <array>
#include <utility>

#include "lib/input/choices.hpp"
#include "lib/plan/builder.hpp"

namespace attn {
namespace {

std::string signed_term(Index n) {
    if (n == 0) return {};
    return n > 0 ? " + " + std::to_string(n) : " - " + std::to_string(-n);
}

/// Offsets beyond every row and column mean the same as these: i + offset stays far from overflow.
Index within(Index offset, Index reach) { return std::clamp(offset, -reach, reach); }

void resolve_causal(Builder& b) {
    Plan& plan = b.plan;
    const Causal causal = b.problem.causal.value_or(
        Causal{plan.variant->causal ? Causal::Kind::cache : Causal::Kind::none, {}, false});
    const auto items = static_cast<std::size_t>(plan.batch);
    plan.offsets.assign(items, causal.kind == Causal::Kind::top_left ? 0 : plan.past);
    plan.causal = causal.kind != Causal::Kind::none;
    const Index reach = 2 * (plan.queries + plan.keys);
    if (causal.kind == Causal::Kind::bottom_right)
        plan.offsets.assign(items, plan.given_keys() - plan.queries);
    if (causal.kind == Causal::Kind::offset) {
        if (causal.per_item && causal.offsets.size() != items)
            fail("/causal/offset", "has " + std::to_string(causal.offsets.size()) +
                                       " offsets, but there are " + std::to_string(items) + " batch items");
        for (std::size_t k = 0; k < items; ++k)
            plan.offsets[k] = within(causal.offsets[causal.per_item ? k : 0], reach);
    }
    const bool same =
        std::all_of(plan.offsets.begin(), plan.offsets.end(), [&](Index o) { return o == plan.offsets[0]; });
    std::string offset = same ? signed_term(plan.offsets[0]) : " + offset";
    std::string list;
    if (!same) {
        for (const Index o : plan.offsets) list += (list.empty() ? "" : ", ") + std::to_string(o);
        list = ", offset by batch item: " + list;
    }
    // The offsets of the items are said once, by the first rule that has them.
    const auto say = [&](const std::string& words) {
        plan.mask_words.push_back(words + std::exchange(list, ""));
    };
    if (plan.causal) say("key j is visible to query i when j ≤ i" + offset);
    if (b.problem.chunk) {
        plan.chunk = *b.problem.chunk;
        const std::string by = " / " + std::to_string(*plan.chunk) + ")";
        const std::string place = offset.empty() ? "i" : "(i" + offset + ")";
        say("chunks: floor(j" + by + " = floor(" + place + by);
    }
    if (!b.problem.window) return;
    plan.window = *b.problem.window;
    std::string words = "window: ";
    if (plan.window->left) {
        plan.window->left = within(*plan.window->left, reach);
        words += "i" + offset + signed_term(-*plan.window->left) + " ≤ ";
    }
    words += "j";
    if (plan.window->right) {
        plan.window->right = within(*plan.window->right, reach);
        words += " ≤ i" + offset + signed_term(*plan.window->right);
    }
    say(words);
}

/// What is seen whatever causal, window and chunk say.
void resolve_prefix(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.prefix_keys) return;
    const PerItem& given = *b.problem.prefix_keys;
    if (given.is_list && static_cast<Index>(given.numbers.size()) != plan.batch)
        fail("/prefix_keys", "has " + std::to_string(given.numbers.size()) + " numbers, but there are " +
                                 std::to_string(plan.batch) + " batch items");
    std::string list;
    for (std::size_t k = 0; k < given.numbers.size(); ++k) {
        if (given.numbers[k] > plan.given_keys())
            fail(given.is_list ? child("/prefix_keys", static_cast<Index>(k)) : "/prefix_keys",
                 "is " + std::to_string(given.numbers[k]) + ", but there are " +
                     std::to_string(plan.given_keys()) + " keys");
        list += (list.empty() ? "" : ", ") + std::to_string(given.numbers[k]);
    }
    plan.prefix = given.numbers;
    if (!given.is_list) plan.prefix.assign(static_cast<std::size_t>(plan.batch), given.numbers[0]);
    plan.mask_words.push_back(given.numbers.size() == 1
                                  ? "every query sees the keys before " + list
                                  : "every query sees the keys before a number, by batch item: " + list);
}

void resolve_token_blocks(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.token_blocks) return;
    const TokenBlocks& given = *b.problem.token_blocks;
    if (given.is_list && static_cast<Index>(given.items.size()) != plan.batch)
        fail("/token_blocks", "has " + std::to_string(given.items.size()) +
                                  " lists of blocks, but there are " + std::to_string(plan.batch) +
                                  " batch items");
    std::string words;
    for (std::size_t item = 0; item < given.items.size(); ++item) {
        const std::string at =
            given.is_list ? child("/token_blocks", static_cast<Index>(item)) : "/token_blocks";
        if (item > 0) words += "; ";
        std::string list;
        for (std::size_t k = 0; k < given.items[item].size(); ++k) {
            const TokenBlock& block = given.items[item][k];
            if (block.to > plan.given_keys())
                fail(child(child(at, static_cast<Index>(k)), Index{1}),
                     "is " + std::to_string(block.to) + ", but there are " +
                         std::to_string(plan.given_keys()) + " keys");
            list += (list.empty() ? "" : ", ") + std::to_string(block.from) + " to " +
                    std::to_string(block.to - 1);
        }
        words += list.empty() ? "none" : list;
    }
    plan.token_blocks = given.items;
    if (!given.is_list) plan.token_blocks.assign(static_cast<std::size_t>(plan.batch), given.items[0]);
    plan.mask_words.push_back(std::string("tokens of a block see each other") +
                              (given.items.size() == 1 ? ": " : ", by batch item: ") + words);
}

void resolve_lengths(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.key_lengths) return;
    const auto& lengths = *b.problem.key_lengths;
    if (static_cast<Index>(lengths.size()) != plan.batch)
        fail("/key_lengths", "has " + std::to_string(lengths.size()) + " lengths, but there are " +
                                 std::to_string(plan.batch) + " batch items");
    std::string list;
    for (std::size_t k = 0; k < lengths.size(); ++k) {
        if (lengths[k] > plan.given_keys())
            fail(child("/key_lengths", static_cast<Index>(k)),
                 "is " + std::to_string(lengths[k]) + ", but there are " + std::to_string(plan.given_keys()) +
                     " keys");
        list += (list.empty() ? "" : ", ") + std::to_string(lengths[k]);
    }
    plan.key_lengths = lengths;
    plan.mask_words.push_back(lengths.size() == 1
                                  ? "keys at and past " + list + " are hidden"
                                  : "keys at and past the length are hidden, by batch item: " + list);
}

/// Each axis, from the right, is 1 or as long as its axis of [batch, head, query, key].
void check_alignment(const TensorSource& t, const Plan& plan, Index keys) {
    const std::array<Index, 4> whole{plan.batch, plan.heads, plan.queries, keys};
    const std::size_t skip = 4 - t.shape.size();
    for (std::size_t k = 0; k < t.shape.size(); ++k) {
        if (t.shape[k] == 1 || t.shape[k] == whole[skip + k]) continue;
        fail(t.pointer,
             "is " + to_string(t.shape) + ", which does not align from the right with [batch " +
                 std::to_string(plan.batch) + ", head " + std::to_string(plan.heads) + ", query " +
                 std::to_string(plan.queries) + ", key " + std::to_string(keys) + "]",
             "every axis is 1 or as long as the axis that it stands for");
    }
}

}  // namespace

void resolve_masks(Builder& b) {
    Plan& plan = b.plan;
    Problem& p = b.problem;
    resolve_causal(b);
    resolve_prefix(b);
    resolve_token_blocks(b);
    resolve_lengths(b);
    bool adds = false;
    for (MaskInput& m : p.masks) {
        check_alignment(m.tensor, plan, plan.given_keys());
        adds = adds || m.kind == MaskKind::add;
        plan.mask_words.push_back("mask: " + std::string(choice_name(m.kind)) + " " +
                                  to_string(m.tensor.shape));
        plan.masks.push_back({m.kind, b.add_tensor(std::move(m.tensor))});
    }
    plan.masked = !plan.state &&
                  (plan.places_queries() || !plan.prefix.empty() || plan.key_lengths || !plan.masks.empty());
    plan.mask_at = p.mask_at.value_or(MaskAt::scaled_scores);
    plan.normalize = p.normalize.value_or(Normalize::softmax);
    plan.empty_rows = p.empty_rows.value_or(EmptyRows::zero);
    if (plan.mask_at == MaskAt::weights && adds)
        fail("/mask_at",
             "is \"weights\", but a mask adds numbers to the scores: those are applied before the softmax");
    if (plan.mask_at == MaskAt::scores && plan.scaled && !(plan.scale > 0))
        fail("/mask_at", "is \"scores\", but the scale " + plan.scale_text +
                             " is not above 0: it would turn hidden scores over");
    if (p.dropout) {
        plan.dropout = std::move(*p.dropout);
        if (plan.dropout->keep) {
            check_alignment(*plan.dropout->keep, plan, plan.keys);
            plan.dropout_keep = b.add_tensor(std::move(*plan.dropout->keep));
            plan.dropout->keep.reset();
        }
        plan.heads_first_dropout = plan.variant->weights_list;
    }
}

}  // namespace attn
