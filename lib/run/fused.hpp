#pragma once
#include <vector>

#include "lib/run/contexts.hpp"
#include "lib/run/packs.hpp"
#include "lib/run/score_rules.hpp"

namespace attn {

/// The path on which no stage of queries x keys is asked for (Dao et al. 2022, FlashAttention, algorithm 1):
/// blocks of rows by blocks of keys, a running maximum and sum, and no block touched that the mask hides from
/// all its rows. A row's bits depend on that row alone.
template <class T>
class Fused {
  public:
    Fused(const Operands<T>& operands, Arena& arena, Pool& pool);
    /// Computes the shown rows of the operands' heads, and where they are kept the logarithms of their sums.
    void run(Contexts<T>& contexts, LogSums<T>& log_sums);

  private:
    struct Space {
        T *scores, *context, *max;
        double* sum;
        std::vector<Visible> visible;
        const Packs<T>* packs;
    };
    struct Job {
        RowBlock block;
        Index slot = 0;   ///< of the keys' head among those that are packed
        Index cells = 0;  ///< that are seen
    };

    std::vector<Job> jobs_of(std::span<const KeyHead> heads) const;
    void compute(const Job& job, Space& w, Contexts<T>& contexts, LogSums<T>& log_sums) const;
    void key_block(const Job& job, Space& w, Index k0, Index k1) const;
    void step(const Job& job, Space& w, Index first, Index rows, Visible keys) const;
    void fill_uniform(const Job& job, Space& w, T* context) const;
    void finish(const Job& job, Space& w, Contexts<T>& contexts) const;

    const Operands<T>& operands_;
    const Plan& plan_;
    Pool& pool_;
    const kernels::Table<T>& kernel_;
    ScoreRules<T> rules_;
    /// One that all workers read, or one for each worker.
    std::vector<Packs<T>> packs_;
    std::vector<Space> spaces_;
};

}  // namespace attn
