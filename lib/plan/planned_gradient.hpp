#pragma once
#include <cstddef>
#include <optional>

#include "lib/input/problem.hpp"
#include "lib/plan/stage.hpp"

namespace attn {

/// What a planned stage is: one of the forward pass, the gradient of one, of an input, of a parameter.
enum class StageOf { forward, gradient, input, parameter };

/// What enters the backward pass, and where: tensors.
struct PlannedGradient {
    std::optional<std::size_t> output, context, state;
    Loss loss = Loss::none;
    std::optional<std::size_t> target;  ///< of the loss
    Stage result = Stage::output;       ///< where output and loss enter
};

}  // namespace attn
