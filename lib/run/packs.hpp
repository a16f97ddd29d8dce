#pragma once
#include <span>
#include <vector>

#include "lib/kernels/kernels.hpp"
#include "lib/plan/blocking.hpp"
#include "lib/pool.hpp"
#include "lib/run/arena.hpp"
#include "lib/run/operands.hpp"

namespace attn {

/// A head of keys and values of one batch item.
struct KeyHead {
    Index batch = 0, head = 0;
    bool operator==(const KeyHead&) const = default;
};

/// Rows of `dim` numbers, one a key, packed as columns in units: what scores are made of.
template <class T>
struct KeyUnits {
    Index keys, dim;

    /// Packs keys k0 ... k1 - 1, k0 a multiple of 64, to where they belong among all of them. \param x rows
    /// of all keys, `stride` apart
    void pack(const T* x, Index stride, Index k0, Index k1, T* packed) const;
    /// c[m, k1 - k0] = a[m, dim] · keysᵀ of keys k0 ... k1 - 1, k0 a multiple of 16.
    void multiply(const T* packed, Index k0, Index k1, const T* a, Index lda, T* c, Index ldc, Index m) const;

  private:
    Index of_unit(Index k0) const { return k0 + blocking::unit <= keys ? blocking::unit : keys - k0; }
};

/// Keys and values of some heads as the kernels read them: keys as columns, in units; values in blocks of
/// keys (lib/plan/blocking.hpp).
template <class T>
class Packs {
  public:
    /// Room for as many heads as fit into 64 MB, or for one.
    Packs(const Operands<T>& operands, Arena& arena, bool one_head);

    /// Heads that are held at once: all of them, or as many as fit into 64 MB.
    Index capacity() const { return capacity_; }
    /// Packs these heads (no more than capacity()), unless they are held already.
    void hold(std::span<const KeyHead> heads, bool with_values, Pool& pool);
    /// Packs one head, by the caller alone.
    void hold(const KeyHead& head);

    /// c[m, k1 - k0] = a[m, dim] · keysᵀ of keys k0 ... k1 - 1, k0 a multiple of 16; `slot` of the head
    /// among those held.
    void scores(Index slot, Index k0, Index k1, const T* a, Index lda, T* c, Index ldc, Index m) const;
    /// c[m, value_dim] + rest += weights[m, k1 - k0] · values of keys k0 ... k1 - 1, all of one block: see
    /// kernels::Table::add_packed.
    void add_values(Index slot, Index k0, Index k1, const T* weights, Index stride, T* c, T* rest, Index ldc,
                    Index m) const;

  private:
    void pack(const KeyHead& head, Index slot, Index first_block, Index end_block, bool with_values);
    const Operands<T>& operands_;
    const Plan& plan_;
    const kernels::Table<T>& kernel_;
    KeyUnits<T> units_;
    Index block_size_, blocks_, capacity_;
    T *keys_, *values_;
    std::vector<KeyHead> held_;
    bool holds_values_ = false;
};

}  // namespace attn
