#pragma once
#include <optional>
#include <string>

#include "lib/replay/gradient_replay.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// A stage as it comes out of the stages that are given, in double; what is not given is computed as planned.
/// Nothing where the plan has no such stage.
std::optional<WholeStage> replayed(const Replay& replay, Stage stage, const StageSet& given);

/// Somebody's stages of the forward pass, those that are as long as planned.
HeldStages held_of(const Replay& replay, const StageSet& given);
/// Their gradients, by their place in the plan; null where they do not have one of that shape.
HeldGradients held_of(const GradientReplay& replay, const StageSet& gradients);

/// A gradient as it comes out of the stages of the forward pass (GradientReplay::forward) and of gradients
/// that are given, in double. Nothing where the plan has none of that name.
std::optional<WholeStage> replayed(const GradientReplay& replay, const std::string& gradient,
                                   const HeldStages& forward, const StageSet& gradients);

}  // namespace attn
