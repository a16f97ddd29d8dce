#pragma once
#include <span>
#include <string>
#include <string_view>

#include "lib/input/problem.hpp"

namespace attn {

/// What a weight is for. `packed` holds query, key and value one below the other.
enum class WeightRole { query, key, value, output, packed };

/// Families of names: the name says the layout, as in the code that the numbers come from.
enum class WeightFamily {
    mathematics,  ///< W_query ... : [d_in, d_out], x · W
    linear,       ///< W_query.weight, q_proj.weight ...: nn.Linear keeps [d_out, d_in], x · Wᵀ
    multihead     ///< in_proj_weight, q_proj_weight ...: nn.MultiheadAttention, [d_out, d_in]
};

struct WeightName {
    std::string_view name;
    WeightRole role;
    WeightFamily family;
    bool bias;

    bool out_in() const { return family != WeightFamily::mathematics; }
};

/// THE TABLE of weight names.
std::span<const WeightName> all_weight_names();
const WeightName* weight_named(std::string_view name);

/// Reads `weights`: literal tensors by name, {"init": ...}, or a list with one object per head.
void read_weights(const Value& value, const std::string& pointer, Problem& problem);

}  // namespace attn
