#pragma once
#include "lib/gradient/backward.hpp"

namespace attn::gradient {

/// From the contexts and the last states to queries, keys, values, decay, beta and past states in use.
void through_states(Backward<double>& backward);

}  // namespace attn::gradient
