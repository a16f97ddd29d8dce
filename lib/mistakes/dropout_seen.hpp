#pragma once
#include <optional>

#include "lib/mistakes/causes.hpp"

namespace attn {

/// Whether some weights are 0 and the rest ours times one factor above 1. Weights that are not given are
/// solved for, from the context or the output, where a head is at least as wide as the keys that a row sees
/// and the output projection can be undone. Internal to the room.
std::optional<Cause> dropout_seen(const Replay& replay, const StageSet& theirs);

}  // namespace attn
