#pragma once
#include <string_view>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

struct Builder;

/// A plan of half precision rounds every stage once. These are the numbers on the way to a stage that it
/// rounds as well, because PyTorch computes them with an operation of their own. Empty: none, or another
/// type.
std::vector<std::string_view> rounded_steps(const Plan& plan);

/// What half precision has not. \throws Error (exit 3), with the key that asks for it
void refuse_in_half(Builder& b);

/// A plan of half precision where \p what works out, or weighs, each number without rounding it.
/// \throws Error (exit 3)
void refuse_half(const Plan& plan, std::string_view what);

}  // namespace attn
