#pragma once
#include "lib/shape.hpp"

namespace attn {

/// Bytes that this process may still take: the machine's, its cgroup's and its limits', whichever is least.
Index memory_available();
/// Processors that this process may use (affinity and cgroup quota).
int processors_available();

}  // namespace attn
