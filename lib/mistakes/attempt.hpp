#pragma once
#include <optional>
#include <vector>

#include "lib/mistakes/trial.hpp"

namespace attn {

/// What is left of what differs, after a mistake that gives theirs.
struct Left {
    double rms = 0;          ///< the largest of a stage
    bool all_stages = true;  ///< also those that agree with ours are theirs
};

/// One try of a mistake: it is judged stage by stage, as these are made. Internal to the room.
class Attempt {
  public:
    /// `ours`: how far ours are from theirs, on the same rows; has to outlive this. Stages of which it counts
    /// no number are not judged. `rounding`: numbers come near theirs only.
    Attempt(const Trials& trials, const std::vector<Distance>& ours, bool rounding);

    /// Whether stage k of theirs may come out so.
    bool allows(std::size_t k, const Distance& now) const;
    /// For a Replay: ends it at the first stage that is not allowed. `base`: our stages, of which what is
    /// given to the run is as far from theirs as `ours` says.
    Watch watch(const HeldStages& base);
    /// What is left; nothing where some stage is not allowed, or nothing was to be explained. Of a run with
    /// watch(), or of any other.
    std::optional<Left> left(const HeldStages& held) const;
    std::optional<Left> left(const std::vector<Distance>& now) const;

  private:
    const Trials& trials_;
    const std::vector<Distance>& ours_;
    bool rounding_;
    std::size_t first_different_;
    std::vector<std::optional<Distance>> seen_;
    bool failed_ = false;
};

}  // namespace attn
