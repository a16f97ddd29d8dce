#pragma once
#include <mutex>
#include <vector>

#include "lib/run/arena.hpp"
#include "lib/run/findings.hpp"
#include "lib/run/operands.hpp"

namespace attn {

/// Contexts of the shown rows, of so many heads: heads side by side, [batch, row, head, value_dim], where
/// stages after them need it so; otherwise head by head, [batch, head, row, value_dim].
template <class T>
class Contexts {
  public:
    Contexts(const Plan& plan, Findings& findings, bool side_by_side, Index heads)
        : plan_(plan),
          findings_(findings),
          rows_(static_cast<Index>(plan.queries_shown.indices.size())),
          count_(heads),
          stride_(side_by_side ? heads * plan.value_dim : plan.value_dim),
          heads_(static_cast<std::size_t>(plan.batch * heads)) {}

    /// Memory for all of them.
    void take(Arena& arena) {
        T* data = arena.take<T>(plan_.batch * rows_ * count_ * plan_.value_dim);
        const bool side_by_side = stride_ != plan_.value_dim;
        for (Index b = 0; b < plan_.batch; ++b)
            for (Index h = 0; h < count_; ++h)
                set_place(b, h,
                          side_by_side ? data + (b * rows_ * count_ + h) * plan_.value_dim
                                       : data + (b * count_ + h) * rows_ * plan_.value_dim);
    }
    /// The rows of a head go here.
    void set_place(Index batch, Index head, T* at) { heads_[idx(batch * count_ + head)] = at; }

    T* row(Index batch, Index line, Index head) const {
        return heads_[idx(batch * count_ + head)] + line * stride_;
    }
    /// Elements from row to row.
    Index stride() const { return stride_; }

    /// A row that sees no key; may be called by several threads at once.
    void is_empty(Index batch, Index head, Index query) {
        const std::lock_guard lock(mutex_);
        findings_.empty_row(batch, head, query);
    }

  private:
    const Plan& plan_;
    Findings& findings_;
    Index rows_, count_, stride_;
    std::vector<T*> heads_;
    std::mutex mutex_;
};

/// The logarithm of the sum of exponentials of each shown row, [batch, head, row], where it is needed.
template <class T>
class LogSums {
  public:
    void take(const Plan& plan, Arena& arena) {
        heads_ = plan.heads;
        rows_ = static_cast<Index>(plan.queries_shown.indices.size());
        data_ = arena.take<T>(plan.batch * heads_ * rows_);
    }
    void reset() { data_ = nullptr; }
    /// The rows of a head; null where they are not kept.
    T* of(Index batch, Index head) const { return data_ ? data_ + (batch * heads_ + head) * rows_ : nullptr; }

  private:
    T* data_ = nullptr;
    Index heads_ = 0, rows_ = 0;
};

}  // namespace attn
