#pragma once
#include "lib/replay/replay.hpp"
#include "lib/run/biases.hpp"

namespace attn {

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
    Mask<double> mask;
    Biases<double> biases;  ///< as planned: a mistake of the mask's diagonal moves no distances of ALiBi

    Held& operator[](Stage s) { return made[s]; }
    Held rounded_copy(const Numbers4& x) const {
        auto copy = std::make_shared<Numbers4>(x);
        for (double& number : copy->values) number = rounded(number, quirks.round);
        return copy;
    }
    /// The stage as it is given, or as `make` makes it.
    template <class F>
    void take(Stage s, F&& make) {
        made[s] = given[s] ? given[s] : make();
        if (quirks.round_all && !given[s]) made[s] = rounded_copy(*made[s]);
    }
    const std::uint8_t* hidden_row(Index b, Index h, Index line) const {
        const auto rows = static_cast<Index>(made.rows.size());
        return hidden.empty() ? nullptr : hidden.data() + ((b * plan.heads + h) * rows + line) * plan.keys;
    }
};

}  // namespace attn
