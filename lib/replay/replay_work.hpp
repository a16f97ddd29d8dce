#pragma once
#include "lib/replay/replay.hpp"
#include "lib/run/biases.hpp"

namespace attn {

/// Queries x keys, head by head.
constexpr bool is_cells(const PlannedStage& s) {
    return s.family == StageShape::query_key || s.family == StageShape::paired_cells;
}

/// One run of a Replay on its way. Internal to the room.
struct Replay::Work {
    Work(const Deviation& deviation, const Plan& planned, const HeldStages& held,
         const Tensors<double>& tensors)
        : plan(deviation.plan),
          quirks(deviation.quirks),
          given(held),
          mask(plan, tensors),
          biases(planned, tensors) {}

    const Plan& plan;  ///< as it deviates
    const Quirks& quirks;
    HeldStages given;
    HeldStages made;
    Held past_keys, past_values, gate;  ///< [batch, kv head, token, dim]; gate: [batch, head, query, dim]
    Held q, k, v;                       ///< as scores and contexts read them
    std::vector<std::uint8_t> hidden;   ///< [batch, head, row of made.rows, keys]
    std::vector<std::uint8_t> ones;     ///< the same: a mask of 0 and 1 that is added; empty: none
    Mask<double> mask;
    const Watch* watch = nullptr;
    std::uint64_t told = 0;  ///< the stages that it was told of
    bool ended = false;      ///< by the watch
    Biases<double> biases;   ///< as planned: a mistake of the mask's diagonal moves no distances of ALiBi

    Held& operator[](Stage s) { return made[s]; }
    /// What becomes of a stage's numbers where they are written.
    Rounding rounding_of(Stage s) const {
        const bool product = s == Stage::scores || s == Stage::scaled_scores;
        if (quirks.round_only) return *quirks.round_only == s ? quirks.round : plan.rounding;
        const bool also = info_of(s).phase != Phase::cells ? quirks.round_all
                          : is_weights(s)                  ? quirks.round_weights
                                          : quirks.round_scores || (product && quirks.round_products);
        const bool left = (quirks.unrounded >> static_cast<unsigned>(s) & 1U) != 0;
        return left ? Rounding() : also ? quirks.round : plan.rounding;
    }
    /// The stage as it is given, or as `make` makes it.
    template <class F>
    void take(Stage s, F&& make) {
        made[s] = given[s] ? given[s] : make();
        if (given[s] || !rounding_of(s).changes()) return;
        auto copy = std::make_shared<Numbers4>(*made[s]);
        rounding_of(s)(copy->values.data(), static_cast<Index>(copy->values.size()));
        made[s] = copy;
    }
    /// What a deviation says of a head, or `own`: another one may have changed the number of heads.
    Index chosen(const std::vector<Index>& of, Index head, Index own) const {
        return static_cast<Index>(of.size()) == plan.heads ? of[idx(head)] : own;
    }
    Index kv_head_of(Index head) const { return chosen(quirks.kv_heads, head, plan.kv_head_of(head)); }
    /// The head of values that a head of contexts reads.
    Index values_of(Index context_head) const {
        if (!plan.differential) return kv_head_of(context_head);
        return plan.value_head_of(
            kv_head_of(plan.differential->half_of(context_head, false, plan.context_heads())));
    }
    Index mask_item(Index item, Index head) const {
        return quirks.mask_items.empty() ? item : quirks.mask_items[idx(item * plan.heads + head)];
    }
    const std::uint8_t* hidden_row(Index b, Index h, Index line) const {
        const auto rows = static_cast<Index>(made.rows.size());
        return hidden.empty() ? nullptr : hidden.data() + ((b * plan.heads + h) * rows + line) * plan.keys;
    }
};

}  // namespace attn
