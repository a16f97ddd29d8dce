#pragma once
#include <string>

#include "lib/plan/plan.hpp"

namespace attn {

/// What a stage sends back to one that it reads: a term of the gradient of `to`. Empty: nothing.
std::string sent_back(const Plan& plan, const PlannedStage& by, Stage to);

}  // namespace attn
