#pragma once
#include "lib/replay/replay.hpp"
#include "lib/run/biases.hpp"

namespace attn {

/// One run of a Replay on its way. Internal to the room.
struct Replay::Work {
    const Plan& plan;
    const Quirks& quirks;
    HeldStages given;
    HeldStages made;
    Index calls = 0;                    ///< a number of this run's own
    Held past_keys, past_values, gate;  ///< [batch, kv head, token, dim]; gate: [batch, head, query, dim]
    Held q, k, v;                       ///< as scores and contexts read them
    std::vector<std::uint8_t> hidden;   ///< [batch, head, row of made.rows, keys]
    const Mask<double>* mask = nullptr;
    std::optional<Mask<double>> own_mask;
    std::optional<Biases<double>> biases;

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
    const std::uint8_t* hidden_row(Index b, Index h, Index place) const {
        const auto rows = static_cast<Index>(made.rows.size());
        return hidden.empty() ? nullptr : hidden.data() + ((b * plan.heads + h) * rows + place) * plan.keys;
    }
};

}  // namespace attn
