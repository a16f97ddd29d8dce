// Rotary embeddings of a replay, and the wrong ways to turn.
#include <algorithm>
#include <cmath>

#include "lib/replay/replay_work.hpp"
#include "lib/run/sources.hpp"

namespace attn {
namespace {

/// x [batch, head, token, dim] with heads and tokens exchanged.
Held heads_and_tokens(const Numbers4& x) {
    auto out =
        std::make_shared<Numbers4>(std::array<Index, 4>{x.shape[0], x.shape[2], x.shape[1], x.shape[3]});
    for (Index b = 0; b < x.shape[0]; ++b)
        for (Index h = 0; h < x.shape[1]; ++h)
            for (Index t = 0; t < x.shape[2]; ++t) std::copy_n(x.row(b, h, t), x.shape[3], out->row(b, t, h));
    return out;
}

/// The same numbers with other axes.
Held reshaped(const Numbers4& x, const std::array<Index, 4>& shape) {
    auto out = std::make_shared<Numbers4>(x);
    out->shape = shape;
    return out;
}

Held rotated(const Plan& plan, const Tensors<double>& tensors, const Numbers4& x, Index first,
             const std::vector<Index>& tokens, const Places& positions) {
    Arena arena;
    const View<double> v = Sources<double>(plan, tensors, arena)
                               .rotated(x.view(), x.shape[1], x.shape[3], first, tokens, positions);
    auto out = std::make_shared<Numbers4>(x.shape);
    std::copy_n(v.data, out->values.size(), out->values.begin());
    return out;
}

}  // namespace

/// Columns of the joined heads that stand in another order, as a conversion of the weights leaves them.
void Replay::permute_keys(Work& w) const {
    const Numbers4& x = *w[Stage::keys];
    auto out = std::make_shared<Numbers4>(x.shape);
    const Index dim = x.shape[3];
    for (Index b = 0; b < x.shape[0]; ++b)
        for (Index t = 0; t < x.shape[2]; ++t)
            for (Index c = 0; c < x.shape[1] * dim; ++c) {
                const Index from = w.quirks.key_columns[idx(c)];
                out->row(b, c / dim, t)[c % dim] = x.row(b, from / dim, t)[from % dim];
            }
    w[Stage::keys] = out;
}

/// Queries or keys, turned as the deviation says.
Held Replay::turned(const Work& w, const Held& x, Index first, const Places& positions) const {
    const Quirks& quirks = w.quirks;
    const Index items = x->shape[0], heads = x->shape[1], tokens = x->shape[2], dim = x->shape[3];
    if (quirks.rope_other_layout) return turned_by_columns(w, x, first, positions);
    if (quirks.rope_along == RopeAlong::heads) {
        const std::vector<Index> places = counted(heads);
        const Places along{{places.begin(), places.end()}, 1};
        return heads_and_tokens(*rotated(w.plan, tensors_, *heads_and_tokens(*x), first, places, along));
    }
    if (quirks.rope_along == RopeAlong::items) {
        Places along{{}, items};
        for (Index b = 0; b < items; ++b)
            along.numbers.insert(along.numbers.end(), static_cast<std::size_t>(tokens),
                                 static_cast<double>(b));
        return rotated(w.plan, tensors_, *x, first, counted(tokens), along);
    }
    if (quirks.rope_unsplit) {
        Plan whole = w.plan;
        whole.rope->dims = heads * dim;
        // Factors of the frequencies are one number here: see the row of the table.
        if (!whole.rope->frequency_factors.empty())
            whole.rope->frequency_factors.assign(static_cast<std::size_t>(whole.rope->pairs()),
                                                 whole.rope->frequency_factors.front());
        const Held joined = reshaped(*heads_and_tokens(*x), {items, 1, tokens, heads * dim});
        const Held out = rotated(whole, tensors_, *joined, 0, counted(tokens), positions);
        return heads_and_tokens(*reshaped(*out, {items, tokens, heads, dim}));
    }
    return rotated(w.plan, tensors_, *x, first, counted(tokens), positions);
}

/// Cosines and sines that are laid out for pairs 2n, 2n + 1 where halves turn, or the reverse: the two
/// columns of a pair turn by different angles.
Held Replay::turned_by_columns(const Work& w, const Held& x, Index first, const Places& positions) const {
    const PlannedRope& rope = *w.plan.rope;
    auto out = std::make_shared<Numbers4>(*x);
    const double sense = rope.reverse ? -1 : 1;
    for (Index b = 0; b < x->shape[0]; ++b)
        for (Index t = 0; t < x->shape[2]; ++t) {
            const auto turn = [&](Index column) {
                const Index pair = rope.interleaved ? column % rope.pairs() : column / 2;
                if (!rope.cos) {
                    const double angle = positions.at(b, t) * rope.frequency(pair);
                    return std::pair(rope.amplitude * std::cos(angle),
                                     sense * rope.amplitude * std::sin(angle));
                }
                const Shape& s = w.plan.tensors[*rope.cos].shape;
                const Index row = (s.size() == 3 && s[0] > 1 ? b : 0) * s[s.size() - 2] + t;
                const std::size_t cell = idx(row * s.back() + pair);
                return std::pair(tensors_[*rope.cos][cell], sense * tensors_[*rope.sin][cell]);
            };
            for (Index n = 0; n < rope.pairs(); ++n) {
                const Index i = rope.first_of(n), j = rope.second_of(n);
                const auto [cos_i, sin_i] = turn(i);
                const auto [cos_j, sin_j] = turn(j);
                for (Index h = 0; h < x->shape[1]; ++h) {
                    const double u = x->row(b, h, t)[first + i], v = x->row(b, h, t)[first + j];
                    out->row(b, h, t)[first + i] = u * cos_i - v * sin_i;
                    out->row(b, h, t)[first + j] = u * sin_j + v * cos_j;
                }
            }
        }
    return out;
}

/// The cache, which holds rotated keys, turned once more by the positions before those of the new keys.
Held Replay::past_turned(const Work& w) const {
    const Places& own = w.plan.rope->key_positions;
    Places before{{}, own.items};
    for (Index item = 0; item < own.items; ++item)
        for (Index t = 0; t < plan_.past; ++t)
            before.numbers.push_back(own.at(item, 0) + static_cast<double>(t - plan_.past));
    return rotated(w.plan, tensors_, *w.past_keys, 0, counted(plan_.past), before);
}

}  // namespace attn
