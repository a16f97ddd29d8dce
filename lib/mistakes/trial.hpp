#pragma once
#include <cmath>

#include "lib/mistakes/causes.hpp"

namespace attn {

/// How far computed stages are from somebody's.
struct Distance {
    double squares = 0, most = 0;  ///< of the differences, where both are finite
    Index count = 0, outside = 0;  ///< cells; those that are not close
    Index far = 0;                 ///< cells that are not even close by the size of their row
    Index strange = 0;             ///< NaN and infinities that differ
    Index worst_row = 0, worst_item = 0;

    void add(const Distance& other);
    double rms() const { return count > 0 ? std::sqrt(squares / static_cast<double>(count)) : 0; }
    bool close() const { return outside == 0; }
    /// As near as float sums of a row's size may come: what a cause has to reach.
    bool reached() const { return far == 0; }
};

/// Somebody's stages, and trials of deviations against them. Internal to the room.
class Trials {
  public:
    Trials(const Replay& replay, const StageSet& theirs, const Tolerance& tolerance);

    const std::vector<const PlannedStage*>& stages() const { return stages_; }
    /// The stages of which a run has to keep cells.
    std::uint64_t kept() const { return kept_; }
    /// One distance for each stage, of those rows that `held` has.
    std::vector<Distance> distances(const HeldStages& held) const;
    /// The same of all rows, computed in pieces where they are many.
    std::vector<Distance> whole(const Deviation& deviation) const;
    Index rows_at_once() const;

  private:
    Distance distance(std::size_t k, const Numbers4& ours, const std::vector<Index>* rows) const;

    const Replay& replay_;
    Tolerance tolerance_;
    std::vector<const PlannedStage*> stages_;
    std::vector<const WholeStage*> theirs_;
    std::uint64_t kept_ = 0;
};

}  // namespace attn
