#pragma once
#include "lib/plan/plan.hpp"

namespace attn {

/// What of the backward pass is computed for the gradients that a plan shows, and how.
struct BackwardNeeds {
    bool fused = false;    ///< blocks of rows in the plan's own type, no stage of queries x keys whole
    bool sources = false;  ///< what is before queries, keys and values in use: inputs, parameters
    bool queries = false, keys = false, values = false;  ///< of those in use
    bool streamed = false;     ///< these three are pushed head by head, and never held
    bool at_contexts = false;  ///< fused, and what is given for the contexts is all that they get

    /// All of it, stage by stage.
    static BackwardNeeds whole() { return {false, true, true, true, true, false, false}; }
    /// What goes through the weights, and is a sum over rows or keys.
    bool sums() const { return queries || keys || values || sources; }
};

BackwardNeeds backward_needs(const Plan& plan);
/// Some stage of the forward pass is shown.
bool shows_forward(const Plan& plan);
/// Which path it takes; none where no gradient is shown.
Path backward_path(const Plan& plan);
/// Bytes of the backward pass beside those of the forward pass: what lib/gradient allocates.
double memory_of_gradients(const Plan& plan);
/// Operations of the backward pass.
double flops_of_gradients(const Plan& plan);

}  // namespace attn
