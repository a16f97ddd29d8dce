#pragma once
#include <array>
#include <vector>

#include "lib/plan/needs.hpp"
#include "lib/run/dropout_rows.hpp"
#include "lib/run/findings.hpp"
#include "lib/run/packs.hpp"

namespace attn {

/// Where a row block's part of each stage goes; null: nowhere.
template <class T>
using StagePlaces = std::array<T*, stage_count>;

/// One worker's buffers for a row block: every stage from the scores to the context. `at` points into them,
/// or to where the sink wants the stage.
template <class T>
struct TraceSpace {
    StagePlaces<T> own{};  ///< [row_block, keys]; context: [row_block, value_dim]
    StagePlaces<T> at{};
    T* rest = nullptr;      ///< [row_block, value_dim]: what the context's roundings have lost
    T* log_sums = nullptr;  ///< [rows], where they are wanted
    std::vector<std::uint8_t> hidden, keep;  ///< [rows, keys]
    std::vector<T> added;                    ///< [keys]
    std::vector<T> row;                      ///< [keys]: masked scores
    std::vector<std::uint8_t> empty;         ///< [rows]
};

/// The path on which stages of queries x keys are asked for: a row block computed once, each of its stages
/// written once.
template <class T>
class Traced {
  public:
    /// `needs`: of the whole run.
    Traced(const Operands<T>& operands, const Needs& needs, const DropoutRows& dropout, Arena& arena,
           Pool& pool);

    std::vector<TraceSpace<T>>& spaces() { return spaces_; }
    /// Heads of batch items whose keys and values are held together.
    struct Group {
        std::vector<KeyHead> keys;
        std::vector<KeyHead> heads;  ///< of queries, in order
    };
    std::vector<Group> groups(const std::vector<Index>& batch) const;
    /// Makes the keys and values of a group ready.
    void hold(const Group& group, bool with_values);
    /// Computes those stages of a block that are needed, a part of the run's needs, into `w.at`. The block's
    /// keys are held. `marks`: hidden[rows, keys] is wanted.
    void compute(const RowBlock& block, const Needs& needs, bool marks, TraceSpace<T>& w) const;
    /// Scores, their masks, weights as such a run computes them, each row in one pass, and all that `past`
    /// has places for written past the caches. False where the stages are others, a row sees no key or a
    /// number is not finite: then compute() has to do it.
    bool compute_past(const RowBlock& block, const Needs& needs, const StagePlaces<T>& past,
                      TraceSpace<T>& w) const;

  private:
    bool is_plain(const Needs& needs, const StagePlaces<T>& past) const;
    void scores(const RowBlock& block, T* out) const;
    void context(const RowBlock& block, const T* weights, T* out, const TraceSpace<T>& w) const;
    void row(const PlannedStage& stage, const RowBlock& block, Index i, const T* in, T* out,
             TraceSpace<T>& w) const;
    Index slot_of(const RowBlock& block) const;

    const Operands<T>& operands_;
    const Plan& plan_;
    const DropoutRows& dropout_;
    Pool& pool_;
    Rounding rounding_;
    const kernels::Table<T>& kernel_;
    std::optional<Packs<T>> packs_;
    std::vector<KeyHead> held_;
    std::vector<TraceSpace<T>> spaces_;
};

}  // namespace attn
