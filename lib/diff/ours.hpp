#pragma once
#include <span>
#include <string>
#include <vector>

#include "lib/diff/compare.hpp"
#include "lib/plan/plan.hpp"

namespace attn {

/// Our side before any number: its stages in order.
std::vector<Stage> order_of(const Plan& plan);

/// The gradients of a layer of a trace.
std::vector<OwnGradient> gradients_of(const Layer& layer);

/// Computes what the plan shows. Memory: 8 bytes for each number of it.
Ours computed(const Plan& plan, std::vector<std::string>& warnings);

/// The same as a trace of it is read: for a document in the place of THEIRS.
Dump dumped(const Plan& plan, std::vector<std::string>& warnings);

/// The stages of a layer of a trace, in its order.
std::vector<Stage> order_of(const Layer& layer);

/// A layer of a trace in our own names; its numbers are moved out of it. \throws Error (exit 3): a shape that
/// is not a stage's
Ours traced(const Layer& layer);

}  // namespace attn
