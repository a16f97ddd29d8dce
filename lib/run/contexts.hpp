#pragma once
#include <mutex>
#include <vector>

#include "lib/run/arena.hpp"
#include "lib/run/findings.hpp"
#include "lib/run/operands.hpp"

namespace attn {

/// The contexts of the shown rows, heads side by side: [batch, row, head, value_dim].
template <class T>
class Contexts {
  public:
    Contexts(const Plan& plan, Arena& arena, Findings& findings)
        : plan_(plan),
          findings_(findings),
          rows_(static_cast<Index>(plan.queries_shown.indices.size())),
          data_(arena.take<T>(plan.batch * rows_ * plan.heads * plan.value_dim)) {}

    T* row(Index batch, Index place, Index head) {
        return data_ + ((batch * rows_ + place) * plan_.heads + head) * plan_.value_dim;
    }
    /// Elements from row to row.
    Index stride() const { return plan_.heads * plan_.value_dim; }

    /// A row that sees no key; may be called by several threads at once.
    void is_empty(Index batch, Index head, Index query) {
        const std::lock_guard lock(mutex_);
        findings_.empty_row(batch, head, query);
    }

  private:
    const Plan& plan_;
    Findings& findings_;
    Index rows_;
    T* data_;
    std::mutex mutex_;
};

}  // namespace attn
