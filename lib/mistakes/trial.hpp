#pragma once
#include <cmath>
#include <optional>
#include <vector>

#include "lib/mistakes/causes.hpp"

namespace attn {

/// How far computed stages are from somebody's.
struct Distance {
    double squares = 0, most = 0;  ///< of the differences, where both are finite
    Index count = 0, outside = 0;  ///< cells; those that are not close
    Index above = 0;               ///< of those outside: ours is the larger
    Index far = 0;                 ///< cells that are not even close by the size of their row
    Index strange = 0;             ///< NaN and infinities that differ
    Index worst_row = 0, worst_item = 0;

    void add(const Distance& other);
    /// One cell; `size`: of the largest number of its row.
    void add(double theirs, double ours, double slack, const Tolerance& tolerance, double size = 0);
    double rms() const { return count > 0 ? std::sqrt(squares / static_cast<double>(count)) : 0; }
    bool close() const { return outside == 0; }
    /// As near as float sums of a row's size may come: what a cause has to reach.
    bool reached() const { return far == 0; }
    /// Many cells differ, in both directions, as they do after rounding: not a mistyped cell or two.
    bool looks_rounded() const;
};

/// Somebody's stages, and trials of deviations against them. Internal to the room.
class Trials {
  public:
    Trials(const Replay& replay, const StageSet& theirs, const Tolerance& tolerance);

    const std::vector<const PlannedStage*>& stages() const { return stages_; }
    /// Theirs holds some finite number: from NaN alone no cause is told.
    bool is_finite(std::size_t k) const { return finite_[k]; }
    /// The stages of which a run has to keep cells.
    std::uint64_t kept() const { return kept_; }
    /// Where a stage stands among stages(); nothing where theirs do not have it.
    std::optional<std::size_t> place(Stage stage) const;
    /// The distance of stage k, of those rows that `held` has; of a stage that it does not have, far.
    Distance distance(std::size_t k, const HeldStages& held) const;
    /// One for each stage.
    std::vector<Distance> distances(const HeldStages& held) const;
    /// Differences of all numbers that `held` has, one after another; 0 where either is not finite. Empty
    /// where stages are missing or of other widths.
    std::vector<double> residuals(const HeldStages& held) const;
    /// The same of all rows, computed in pieces where they are many.
    std::vector<Distance> whole(const Deviation& deviation) const;
    Index rows_at_once() const;

  private:
    Distance distance(std::size_t k, const Numbers4& ours, const std::vector<Index>* rows) const;

    const Replay& replay_;
    Tolerance tolerance_;
    std::vector<const PlannedStage*> stages_;
    std::vector<const WholeStage*> theirs_;
    std::vector<bool> finite_;
    std::uint64_t kept_ = 0;
};

}  // namespace attn
