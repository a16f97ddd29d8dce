#include "lib/run/mask.hpp"

#include <algorithm>
#include <limits>

namespace attn {

template <class T>
Mask<T>::Mask(const Plan& plan, const Tensors<T>& tensors) : plan_(plan) {
    for (Index item = 0; item < static_cast<Index>(plan.token_blocks.size()); ++item) {
        std::vector<TokenBlock>& own = own_blocks_.emplace_back();
        for (Index t = 0; t < plan.given_keys(); ++t) own.push_back(plan.own_block(item, t));
    }
    for (const MaskRule& m : plan.masks) {
        const Shape& shape = plan.tensors[m.tensor].shape;
        if (m.kind == MaskKind::add) {
            added_.push_back(aligned<T>(shape, tensors[m.tensor]));
        } else {
            rules_.push_back({static_cast<std::uint8_t>(m.kind == MaskKind::drop),
                              aligned<std::uint8_t>(shape, tensors[m.tensor])});
        }
    }
}

template <class T>
Visible Mask<T>::visible(Index batch, Index query) const {
    const Index diagonal = query + plan_.offsets[idx(batch)];
    Index from = 0, to = plan_.given_keys();
    if (plan_.causal) to = std::min(to, diagonal + 1);
    if (plan_.window && plan_.window->left) from = std::max(from, diagonal - *plan_.window->left);
    if (plan_.window && plan_.window->right) to = std::min(to, diagonal + *plan_.window->right + 1);
    if (plan_.chunk) {
        const Index begin = floor_of(diagonal, *plan_.chunk) * *plan_.chunk;
        from = std::max(from, begin);
        to = std::min(to, begin + *plan_.chunk);
    }
    if (!own_blocks_.empty() && diagonal >= 0 && diagonal < plan_.given_keys()) {
        // Both hold the query's own place, so that together they are one range as well.
        const TokenBlock& own = own_blocks_[idx(batch)][idx(diagonal)];
        if (own.from < own.to) {
            from = std::min(from, own.from);
            to = std::max(to, own.to);
        }
    }
    const Index end = plan_.key_lengths ? (*plan_.key_lengths)[idx(batch)] : plan_.given_keys();
    to = std::clamp(to, Index{0}, end);
    from = std::min(from, to);
    if (plan_.prefix.empty()) return {from, to};
    const Index prefix = std::min(plan_.prefix[idx(batch)], end);
    if (prefix == 0) return {from, to};
    if (from <= prefix) return {0, std::max(prefix, to)};
    return {0, to, prefix, from};
}

template <class T>
void Mask<T>::hide(Index batch, Index head, Index query, std::uint8_t* hidden) const {
    const Index keys = plan_.given_keys();
    const Visible seen = visible(batch, query);
    const Index from = seen.from, to = seen.to;
    std::fill(hidden, hidden + from, std::uint8_t{1});
    std::fill(hidden + from, hidden + to, std::uint8_t{0});
    std::fill(hidden + seen.hole_from, hidden + seen.hole_to, std::uint8_t{1});
    std::fill(hidden + to, hidden + keys, std::uint8_t{1});
    std::fill(hidden + keys, hidden + plan_.keys, std::uint8_t{0});
    for (const Rule& r : rules_) {
        const std::uint8_t* cells = row(r.cells, batch, head, query);
        const auto step = static_cast<Index>(r.cells.strides()[3]);
        for (Index j = from; j < to; ++j)
            hidden[j] |= static_cast<std::uint8_t>(cells[j * step] == r.hides_when);
    }
    for (const Tensor4<T>& a : added_) {
        const T* cells = row(a, batch, head, query);
        const auto step = static_cast<Index>(a.strides()[3]);
        for (Index j = from; j < to; ++j)
            hidden[j] |= static_cast<std::uint8_t>(cells[j * step] == -std::numeric_limits<T>::infinity());
    }
}

template <class T>
bool Mask<T>::hides_all(Index batch, Index head, Index query) const {
    const Visible seen = visible(batch, query);
    if (!has_cells()) return seen.from >= seen.to;
    std::vector<std::uint8_t> hidden(static_cast<std::size_t>(plan_.keys));
    hide(batch, head, query, hidden.data());
    return std::all_of(hidden.begin() + seen.from, hidden.begin() + seen.to,
                       [](std::uint8_t h) { return h != 0; });
}

template <class T>
void Mask<T>::add(Index batch, Index head, Index query, T* added) const {
    std::fill(added, added + plan_.keys, T{0});
    for (const Tensor4<T>& a : added_) {
        const T* cells = row(a, batch, head, query);
        const auto step = static_cast<Index>(a.strides()[3]);
        for (Index j = 0; j < plan_.given_keys(); ++j) added[j] += cells[j * step];
    }
    plan_.rounding(added, plan_.keys);
}

template <class T>
void Mask<T>::hide_scores(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const {
    constexpr T hidden = -std::numeric_limits<T>::infinity();
    const Visible seen = visible(batch, query);
    const Index given = std::clamp(plan_.given_keys(), k0, k1);
    const Index from = std::clamp(seen.from, k0, given), to = std::clamp(seen.to, from, given);
    std::fill(scores, scores + (from - k0), hidden);
    const Index hole = std::clamp(seen.hole_from, from, to);
    std::fill(scores + (hole - k0), scores + (std::clamp(seen.hole_to, hole, to) - k0), hidden);
    std::fill(scores + (to - k0), scores + (given - k0), hidden);
    for (const Rule& r : rules_) {
        const std::uint8_t* cells = row(r.cells, batch, head, query);
        const auto step = static_cast<Index>(r.cells.strides()[3]);
        for (Index j = from; j < to; ++j)
            if (cells[j * step] == r.hides_when) scores[j - k0] = hidden;
    }
}

template <class T>
void Mask<T>::add_to_scores(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const {
    for (const Tensor4<T>& a : added_) {
        const T* cells = row(a, batch, head, query);
        const auto step = static_cast<Index>(a.strides()[3]);
        for (Index j = k0; j < std::min(k1, plan_.given_keys()); ++j) scores[j - k0] += cells[j * step];
    }
}

template class Mask<float>;
template class Mask<double>;

}  // namespace attn
