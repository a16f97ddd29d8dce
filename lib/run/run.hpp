#pragma once
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// Computes what `plan` shows and pushes it into `sink`: begin, rows, end. Returns the warnings (those of
/// planning first), one of a kind. Memory grows with (queries + keys) x width and the row block, not with
/// queries x keys.
std::vector<std::string> run(const Plan& plan, Sink& sink);

}  // namespace attn
