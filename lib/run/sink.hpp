#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

/// Some consecutive rows of one stage, as shown: rows of one batch item and head, all shown columns.
/// Valid only during the call.
struct Rows {
    const PlannedStage* stage = nullptr;
    Index batch = 0, head = 0;  ///< original numbers; head is 0 where the stage has no head axis
    bool has_head = true;
    Index token = 0;                   ///< states: the key after which it stands
    Index row_begin = 0, row_end = 0;  ///< original numbers of query or key rows, unbroken
    std::span<const Index> columns;    ///< original numbers of the columns shown
    DType dtype = DType::float32;
    const void* data = nullptr;  ///< (row_end - row_begin) x columns.size(), dense: doubles where
                                 ///< is_wide(dtype), else floats
    const std::uint8_t* hidden =
        nullptr;  ///< query x key stages under a mask: 1 where the mask hides the cell; else null

    Index row_count() const { return row_end - row_begin; }
    Index column_count() const { return static_cast<Index>(columns.size()); }
    template <class T>
    std::span<const T> values() const {
        return {static_cast<const T*>(data), static_cast<std::size_t>(row_count() * column_count())};
    }
    double at(Index row, Index column) const {
        const auto k = static_cast<std::size_t>(row * column_count() + column);
        return is_wide(dtype) ? values<double>()[k] : static_cast<double>(values<float>()[k]);
    }
};

/// Receives what a run computes. Every member is empty by default: a sink takes what it needs.
class Sink {
  public:
    virtual ~Sink() = default;
    /// One stage after another (true), each over batch, head, rows in order; or all stages of a row block as
    /// they are computed (false).
    virtual bool stage_by_stage() const { return true; }
    /// Either will do, and rows of a stage need not be in order.
    virtual bool takes_any_order() const { return false; }
    /// After end(): the same run has to be pushed once more.
    virtual bool wants_again() const { return false; }
    virtual void begin(const Plan&) {}
    /// Before the first and after the last rows of a stage; only where stage_by_stage().
    virtual void begin_stage(const Plan&, const PlannedStage&) {}
    virtual void rows(const Rows&) {}
    /// True: rows of stages from the scores to the context are computed where memory_of() says and not pushed
    /// by rows(), as long as all keys are shown; only where not stage_by_stage().
    virtual bool gives_memory() const { return false; }
    /// The memory of `rows.row_count()` dense rows of a stage; rows.data is null. Called by several threads
    /// at once.
    virtual void* memory_of(const Rows& /*rows*/) { return nullptr; }
    virtual void end_stage(const PlannedStage&) {}
    /// Now and then while contexts are computed that no rows tell of: the share that is done, 0 to 1.
    virtual void working(Stage /*stage*/, double /*share*/) {}
    /// After everything, with the warnings of planning and of the run.
    virtual void end(const std::vector<std::string>& /*warnings*/) {}
};

}  // namespace attn
