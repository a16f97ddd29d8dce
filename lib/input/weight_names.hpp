#pragma once
#include <span>
#include <string>
#include <string_view>

#include "lib/input/problem.hpp"

namespace attn {

/// What a weight is for. `packed` holds query, key and value one below the other.
/// From bias_k on they are vectors that stand alone.
enum class WeightRole {
    query,
    key,
    value,
    output,
    packed,
    gate,
    bias_k,
    bias_v,
    query_norm,
    key_norm,
    context_norm
};
constexpr std::size_t weight_role_count = 11;

/// Families of names: the name says the layout, as in the code that the numbers come from.
enum class WeightFamily {
    mathematics,  ///< W_query ... : [d_in, d_out], x · W
    linear,       ///< W_query.weight, q_proj.weight ...: nn.Linear keeps [d_out, d_in], x · Wᵀ
    multihead,    ///< in_proj_weight, q_proj_weight ...: nn.MultiheadAttention, [d_out, d_in]
    gpt2,         ///< c_attn.weight ...: [E, 3E] in GPT-2, [3E, E] in nanoGPT, told apart by shape
    lens          ///< W_Q ...: TransformerLens, [head, d_model, d_head]
};

struct WeightName {
    std::string_view name;
    WeightRole role;
    WeightFamily family;
    bool bias;

    bool out_in() const { return family == WeightFamily::linear || family == WeightFamily::multihead; }
};

/// THE TABLE of weight names.
std::span<const WeightName> all_weight_names();
const WeightName* weight_named(std::string_view name);

/// Reads `weights`: literal tensors by name, {"init": ...}, or a list with one object per head.
void read_weights(const Value& value, const std::string& pointer, Problem& problem);

}  // namespace attn
