#pragma once
#include "lib/kernels/kernels.hpp"
#include "lib/pool.hpp"
#include "lib/run/contexts.hpp"
#include "lib/run/score_rules.hpp"

namespace attn {

/// The path for few queries on many keys (decoding from a cache): keys and values are read once, where they
/// stand, for all rows that share them. Long rows are cut into pieces that workers share; how they are cut
/// depends on the number of keys alone, and the pieces are put together in order.
template <class T>
class SingleRows {
  public:
    SingleRows(const Operands<T>& operands, Arena& arena, Pool& pool);
    /// Computes the shown rows of the operands' heads, and where they are kept the logarithms of their sums.
    void run(Contexts<T>& contexts, LogSums<T>& log_sums);

  private:
    /// Rows of one head of keys: which query heads read it.
    struct Group {
        Index batch = 0, kv_head = 0;
        std::vector<RowBlock> rows;  ///< each of one row
        T* queries = nullptr;        ///< [rows, dim]
    };
    /// The running softmax of a group's rows over one piece.
    struct Piece {
        T* max;
        T* context;  ///< per row the sum [value_dim], then what its roundings have lost
        double* sum;
    };
    struct Space {
        T* scores;   ///< [rows, keys of a block]
        T* context;  ///< [rows, value_dim], what one block adds
    };
    void compute(const Group& group, Index k0, Index k1, const Space& w, const Piece& piece) const;
    void merge(const Group& group, const Piece* pieces, Contexts<T>& contexts, LogSums<T>& log_sums) const;

    const Operands<T>& operands_;
    const Plan& plan_;
    Pool& pool_;
    const kernels::Table<T>& kernel_;
    ScoreRules<T> rules_;
    std::vector<Group> groups_;
    std::vector<Piece> pieces_;  ///< of the first group, then of the second ...
    Index pieces_of_group_;
    std::vector<Space> spaces_;  ///< of each worker
};

}  // namespace attn
