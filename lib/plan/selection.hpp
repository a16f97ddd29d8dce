#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

/// What an axis is called in messages: "--rows", "row", "query rows".
struct AxisWords {
    std::string_view flag, one, many;
};

/// The indices below `n` that a flag asks for: "3", "0,2", "0:8", a token (all that are called so). Not
/// asked: all. \throws Error (exit 2): one that is not there
AxisSelection select_axis(const std::optional<std::string>& asked, Index n,
                          const std::vector<std::string>* tokens, const AxisWords& words);

}  // namespace attn
