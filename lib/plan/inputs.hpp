#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"

namespace attn {

/// One tensor that a document gives or draws and that is no weight, for the plan that is printed.
struct PlannedInput {
    std::string name;  ///< its pointer without the first "/": "embeddings", "mask/keep"
    Shape shape;       ///< as given
    std::string axes;  ///< "[query, d_in]": what the axes of `shape` are
    std::string from;  ///< "torch.rand, seed 1", or a file; empty: literal numbers
};

/// In the order in which a run reads them. Axes of masks and biases are aligned from the right.
std::vector<PlannedInput> inputs_of(const Plan& plan);

/// "seed 1", or "manual_seed 1" for what has no seed of its own.
std::string seed_words(const Plan& plan, bool shared, std::uint64_t seed);

/// What a gradient that is the same everywhere does not show; nothing where it is not.
std::optional<std::string> hidden_by_gradient(const Plan& plan);

/// One sentence on the weights whose transpose would fit as well, where no "weight_layout" settles it.
std::optional<std::string> transpose_warning(const Plan& plan);

}  // namespace attn
