#pragma once
#include <array>
#include <span>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/biases.hpp"
#include "lib/run/mask.hpp"

namespace attn {

/// Numbers [batch, head, token, width] that stand somewhere, the last axis dense.
template <class T>
struct View {
    const T* data = nullptr;
    Index batch = 0, head = 0, token = 0;  ///< strides

    const T* row(Index b, Index h, Index t) const { return data + b * batch + h * head + t * token; }
};

/// Numbers of one stage, row-major [batch, head, row, column]; zeros at first.
template <class T>
struct Stored4 {
    std::array<Index, 4> shape{};
    std::vector<T> values;

    Stored4() = default;
    explicit Stored4(const std::array<Index, 4>& s) : shape(s), values(idx(s[0] * s[1] * s[2] * s[3])) {}
    T* row(Index b, Index h, Index t) {
        return values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    }
    const T* row(Index b, Index h, Index t) const {
        return values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    }
    View<T> view() const {
        return {values.data(), shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3]};
    }
};
using Numbers4 = Stored4<double>;

/// Some consecutive query rows of one head of one batch item, with all their keys: the unit of work.
struct RowBlock {
    Index batch = 0, head = 0;
    Index first = 0;  ///< place of the first row among the shown rows
    Index query = 0;  ///< its original number
    Index rows = 0;
};

/// What every path of a run computes from.
template <class T>
struct Operands {
    const Plan& plan;
    const Mask<T>& mask;
    const Biases<T>& biases;
    View<T> queries;  ///< [batch, head, row, dim]
    bool queries_are_whole =
        true;                     ///< rows of queries are original numbers, else places among the shown ones
    View<T> keys, values;         ///< [batch, kv head or head of values, key, dim]
    std::vector<Index> heads;     ///< that are computed, sorted
    std::span<const T> additive;  ///< v of additive scores: of each head, or for all; else empty

    const T* queries_of(const RowBlock& b) const {
        return queries.row(b.batch, b.head, queries_are_whole ? b.query : b.first);
    }
};

/// Calls f(begin, end) for each unbroken range of a sorted list, given as places in the list.
template <class F>
void for_ranges(std::span<const Index> sorted, F&& f) {
    std::size_t from = 0;
    for (std::size_t k = 1; k <= sorted.size(); ++k) {
        if (k < sorted.size() && sorted[k] == sorted[k - 1] + 1) continue;
        f(static_cast<Index>(from), static_cast<Index>(k));
        from = k;
    }
}

/// The row blocks of one head: shown rows in order, at most `rows` in a block.
template <class F>
void for_blocks(const Plan& plan, Index batch, Index head, Index rows, F&& f) {
    const auto& shown = plan.queries_shown.indices;
    for_ranges(shown, [&](Index from, Index to) {
        for (Index k = from; k < to; k += rows)
            f(RowBlock{batch, head, k, shown[idx(k)], k + rows < to ? rows : to - k});
    });
}

}  // namespace attn
