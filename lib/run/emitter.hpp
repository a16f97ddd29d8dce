#pragma once
#include <vector>

#include "lib/pool.hpp"
#include "lib/run/contexts.hpp"
#include "lib/run/findings.hpp"
#include "lib/run/recurrence.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// Pushes numbers that are computed to a sink: the shown rows and columns of a stage, dense, looked at on
/// their way.
template <class T>
class Emitter {
  public:
    /// \param pool its workers push many rows at once to a sink that has places for them
    Emitter(const Plan& plan, Findings& findings, Pool& pool);

    /// Rows without numbers: where they stand, with the columns that are shown.
    Rows rows_of(const PlannedStage& stage, Index batch, Index head, Index row_begin, Index rows) const;
    /// Rows `stride` apart that hold all columns, or only the shown ones; `hidden` has their stride, or is
    /// null.
    void push(Sink& sink, Rows rows, const T* data, Index stride, const std::uint8_t* hidden = nullptr);

    /// A stage of Phase::source. `rows_are_shown`: queries of which only the shown rows are there.
    void source(Sink& sink, const PlannedStage& stage, const View<T>& from, bool rows_are_shown);
    /// Contexts of the shown heads; `in_place`: the sink has them already.
    void contexts(Sink& sink, const PlannedStage& stage, const Contexts<T>& from, bool in_place);
    void log_sums(Sink& sink, const PlannedStage& stage, const LogSums<T>& from);
    /// The last states, or those after each shown token.
    void states(Sink& sink, const PlannedStage& stage, Recurrence<T>& from);

  private:
    void place(Sink& sink, const Rows& rows);

    const Plan& plan_;
    Findings& findings_;
    Pool& pool_;
    std::vector<Index> dims_;  ///< 0, 1, 2, ... as column numbers
    std::vector<T> gathered_;
    std::vector<std::uint8_t> gathered_hidden_;
};

}  // namespace attn
