#pragma once
#include <string>

#include "lib/plan/plan.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// Theirs beside a plan of half precision, counted to the last bit, which no tolerance tells: how many
/// numbers are ours, whether they were rounded at all, and where they were not if that gives nearly all of
/// them (kept_in_float32). Empty: all are ours, the plan is of another type, or too large to be held.
std::string rounding_seen(const Plan& plan, const StageSet& theirs);

}  // namespace attn
