#pragma once
#include <functional>
#include <vector>

#include "lib/mistakes/mistakes.hpp"

namespace attn {

/// What is left between theirs and a plan whose Tunable has this number, one difference after another; empty
/// where they cannot be compared.
using Residuals = std::function<std::vector<double>(const Tunable& tunable, double number)>;

/// Mistakes that are one wrong number, with the number that comes nearest to theirs; not those that another
/// mistake's name is for. Internal to the room.
std::vector<Mistake> tuned_mistakes(const Replay& replay, const Residuals& residuals);

}  // namespace attn
