#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lib/gradient/backward.hpp"
#include "lib/gradient/in_turn.hpp"
#include "lib/kernels/kernels.hpp"
#include "lib/run/packs.hpp"
#include "lib/run/score_rules.hpp"

namespace attn::gradient {

/// Where gradients of queries, keys and values go, in the order of the heads: rows in order, dense. What is
/// empty is not computed.
template <class T>
struct Takers {
    std::function<void(const RowBlock&, const T*)> queries;      ///< [block.rows, dim]
    std::function<void(const KeyHead&, const T*)> keys, values;  ///< [keys, dim], [keys, value_dim]
};

/// The backward pass where no stage of queries x keys is shown. Blocks of rows: powers of 2 of all scores of
/// a block and the gradients of its weights, key block by key block with a running maximum, sum and D
/// (Milakov and Gimelshein 2018); then, with the last of these, weights and gradients of scores, each key
/// block's at once added to what queries, keys and values get. Nothing grows with queries x keys. D is the
/// row sum of dP ∘ P in double; sums over rows keep what their roundings lose.
template <class T>
class FusedBack {
  public:
    /// \param operands of all queries and keys
    FusedBack(const Operands<T>& operands, Pool& pool);
    /// \param d_context [batch, head, query, value_dim] \param rows a plan that shows the rows that are
    /// computed \param heads of keys \param readers which heads of queries are computed
    void run(const View<T>& d_context, const Plan& rows, std::span<const KeyHead> heads,
             std::span<const Index> readers, const Takers<T>& takers);

  private:
    /// Sums over rows, by key block: [dim, keys of a block], and what their roundings have lost.
    struct Sums {
        T *keys = nullptr, *keys_rest = nullptr, *values = nullptr, *values_rest = nullptr;
    };
    /// What of a key block some rows see.
    struct Seen {
        Index row_begin = 0, row_end = 0, keys = 0;
        bool all = false;  ///< all of these rows see all of these keys
    };
    struct Space {
        KeyHead held{-1, -1};
        T *keys = nullptr, *values = nullptr;              ///< packed as columns
        T* key_rows = nullptr;                             ///< packed as rows, by key block
        T *powers = nullptr, *d = nullptr;                 ///< [key block, row, key of the block]
        T* maxima = nullptr;                               ///< [key block, row]: of the powers
        T *max = nullptr, *old_max = nullptr;              ///< [row]
        double *sum = nullptr, *shared = nullptr;          ///< [row]
        T *weights = nullptr, *d_scores = nullptr;         ///< of one key block, packed
        T *turned_queries = nullptr, *turned_d = nullptr;  ///< [dim, row], of queries and of d_context
        T *dq = nullptr, *dq_rest = nullptr;               ///< [row, dim]
        std::vector<T> queries;                            ///< finished, of a job
        std::vector<T> block;                              ///< of keys on their way
        std::vector<kernels::SentBack<T>> rows;
        std::vector<std::uint8_t> empty;  ///< [row]
        std::vector<Visible> visible;
        std::vector<Seen> seen;  ///< by key block
        Sums sums;
    };
    struct Job {
        KeyHead head;
        bool is_first = false, is_last = false;  ///< of its head
        std::vector<RowBlock> blocks;
    };

    std::vector<Job> jobs_of(const Plan& rows, std::span<const KeyHead> heads,
                             std::span<const Index> readers) const;
    void prepare(Space& w);
    void take(Sums& sums);
    /// Calls f(number of a sum, its rest, how many) for those that are made.
    template <class F>
    void each_sum(const Sums& sums, const F& f) const;
    void finish(const Sums& sums, std::vector<T>& block) const;
    void finish(T* sum, const T* rest, Index dim, double factor, std::vector<T>& block) const;
    static T finished(T sum, T rest, double factor);
    void add(const T* sum, const T* rest, T* to, T* to_rest, Index dim) const;
    void hold(const KeyHead& head, Space& w) const;
    void compute(const RowBlock& block, Space& w) const;
    void key_block(const RowBlock& block, Index b, Space& w) const;
    void step(const RowBlock& block, Index b, Index first, Index rows, Visible keys, Space& w) const;
    const T* only_key(Index row, Index begin, Index end, const Space& w) const;
    void send_back(Index b, Space& w) const;
    void empty_rows(const RowBlock& block, Space& w) const;
    void finish_queries(const RowBlock& block, Space& w) const;
    Index keys_of(Index b) const { return std::min(blocking::block, plan_.keys - b * blocking::block); }

    const Operands<T>& operands_;
    const Plan& plan_;
    Pool& pool_;
    const kernels::Table<T>& kernel_;
    ScoreRules<T> rules_;
    KeyUnits<T> key_units_, value_units_;
    Index rows_, blocks_, key_block_size_;
    Arena arena_;
    View<T> d_context_;
    bool for_queries_ = false, for_keys_ = false, for_values_ = false;
    std::vector<Space> spaces_;
    Sums together_;
};

/// From the contexts to queries, keys and values in use.
template <class T>
void through_fused(Backward<T>& backward);

}  // namespace attn::gradient
