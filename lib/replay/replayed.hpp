#pragma once
#include <optional>

#include "lib/replay/replay.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// A stage as it comes out of the stages that are given, in double; what is not given is computed as planned.
/// Nothing where the plan has no such stage.
std::optional<WholeStage> replayed(const Replay& replay, Stage stage, const StageSet& given);

}  // namespace attn
