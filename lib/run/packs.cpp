#include "lib/run/packs.hpp"

#include <algorithm>

namespace attn {
namespace {

constexpr Index blocks_of_a_job = 16;

/// More products of a score are cut, so that its rounding does not grow with the width.
constexpr Index longest_sum = 128;

}  // namespace

template <class T>
Packs<T>::Packs(const Operands<T>& operands, Arena& arena, bool one_head)
    : operands_(operands),
      plan_(operands.plan),
      kernel_(kernels::table<T>()),
      units_{plan_.keys, plan_.dim},
      block_size_(blocking::block * blocking::filled(plan_.value_dim)),
      blocks_(blocking::parts(plan_.keys, blocking::block)),
      capacity_(one_head
                    ? 1
                    : blocking::packed_heads(plan_.batch * plan_.kv_heads,
                                             blocking::packed_head(plan_.keys, plan_.dim, plan_.value_dim),
                                             static_cast<Index>(sizeof(T)))),
      keys_(arena.take<T>(capacity_ * blocks_ * blocking::block * plan_.dim)),
      values_(arena.take<T>(capacity_ * blocks_ * block_size_)) {}

template <class T>
void Packs<T>::hold(std::span<const KeyHead> heads, bool with_values, Pool& pool) {
    if (std::equal(heads.begin(), heads.end(), held_.begin(), held_.end()) && (holds_values_ || !with_values))
        return;
    held_.assign(heads.begin(), heads.end());
    holds_values_ = with_values;
    const Index jobs_of_head = (blocks_ + blocks_of_a_job - 1) / blocks_of_a_job;
    pool.run(static_cast<Index>(heads.size()) * jobs_of_head, [&](Index job, int) {
        const Index slot = job / jobs_of_head, first = job % jobs_of_head * blocks_of_a_job;
        pack(heads[idx(slot)], slot, first, std::min(first + blocks_of_a_job, blocks_), with_values);
    });
}

template <class T>
void Packs<T>::hold(const KeyHead& head) {
    pack(head, 0, 0, blocks_, true);
}

template <class T>
void Packs<T>::pack(const KeyHead& head, Index slot, Index first_block, Index end_block, bool with_values) {
    for (Index b = first_block; b < end_block; ++b) {
        units_.pack(operands_.keys.row(head.batch, head.head, 0), operands_.keys.token, b * blocking::block,
                    std::min((b + 1) * blocking::block, plan_.keys),
                    keys_ + slot * blocks_ * blocking::block * plan_.dim);
        if (!with_values) continue;
        const Index k0 = b * blocking::block, n = std::min(blocking::block, plan_.keys - k0);
        kernel_.pack_columns(operands_.values.row(head.batch, plan_.value_head_of(head.head), k0),
                             operands_.values.token, plan_.value_dim, n,
                             values_ + (slot * blocks_ + b) * block_size_);
    }
}

template <class T>
void KeyUnits<T>::pack(const T* x, Index stride, Index k0, Index k1, T* packed) const {
    const auto& kernel = kernels::table<T>();
    for (; k0 < k1; k0 += blocking::unit)
        kernel.pack_rows(x + k0 * stride, stride, of_unit(k0), dim, packed + k0 * dim);
}

template <class T>
void KeyUnits<T>::multiply(const T* packed, Index k0, Index k1, const T* a, Index lda, T* c, Index ldc,
                           Index m) const {
    const auto& kernel = kernels::table<T>();
    for (Index u0 = k0 / blocking::unit * blocking::unit; u0 < k1; u0 += blocking::unit) {
        const Index begin = std::max(k0, u0), end = std::min(k1, u0 + blocking::unit);
        for (Index from = 0; from < dim; from += longest_sum)
            kernel.multiply_packed(
                a + from, lda, packed + u0 * dim, c + (begin - k0), ldc, m,
                {of_unit(u0), dim, from, std::min(from + longest_sum, dim), begin - u0, end - u0}, from > 0);
    }
}

template <class T>
void Packs<T>::scores(Index slot, Index k0, Index k1, const T* a, Index lda, T* c, Index ldc, Index m) const {
    units_.multiply(keys_ + slot * blocks_ * blocking::block * plan_.dim, k0, k1, a, lda, c, ldc, m);
}

template <class T>
void Packs<T>::add_values(Index slot, Index k0, Index k1, const T* weights, Index stride, T* c, T* rest,
                          Index ldc, Index m) const {
    const Index b = k0 / blocking::block, depth = std::min(blocking::block, plan_.keys - b * blocking::block);
    kernel_.add_packed(
        weights, stride, values_ + (slot * blocks_ + b) * block_size_, c, rest, ldc, m,
        kernels::Part::of_depth(plan_.value_dim, depth, k0 - b * blocking::block, k1 - b * blocking::block));
}

template struct KeyUnits<float>;
template struct KeyUnits<double>;
template class Packs<float>;
template class Packs<double>;

}  // namespace attn
