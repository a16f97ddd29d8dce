#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/input/problem.hpp"

namespace attn {

/// What a weight is for: matrices first, each a projection of its own; `packed` holds query, key and value
/// one below the other; from bias_k on they are vectors that stand alone.
enum class WeightRole {
    query,
    key,
    value,
    output,
    gate,
    score,         ///< between queries and keys: Luong et al. 2015, "general"
    query_latent,  ///< these six: DeepSeek-V2 2024, section 2.1
    query_up,
    latent,
    key_up,
    value_up,
    rope_key,
    decay,
    beta,
    packed,
    bias_k,
    bias_v,
    query_norm,
    key_norm,
    context_norm,
    additive,  ///< v of v · tanh(q + k): Bahdanau et al. 2015
    decay_log_rate,
    decay_bias,
    query_conv,  ///< taps of convolutions, with biases
    key_conv,
    value_conv,
    packed_conv,
    query_norm_bias,
    key_norm_bias,
    value_norm,
    concat_norm,
    concat_norm_bias,
    packed_rates,  ///< beta and decay, key head by key head
    lambda_q1,     ///< vectors that lambda is made of: Ye et al. 2024, equation 3
    lambda_k1,
    lambda_q2,
    lambda_k2,
    latent_and_rope,    ///< of the latent, then of the rotary keys, one below the other
    key_value_up,       ///< keys and values from the latent, head by head
    query_latent_norm,  ///< weights of norms of latents
    latent_norm
};
constexpr std::size_t weight_role_count = 41, projection_count = 14;

/// A set of roles.
using WeightRoles = std::uint64_t;
constexpr WeightRoles set_of(std::initializer_list<WeightRole> roles) {
    WeightRoles out = 0;
    for (const WeightRole r : roles) out |= WeightRoles{1} << static_cast<unsigned>(r);
    return out;
}
constexpr bool has(WeightRoles set, WeightRole r) { return (set & set_of({r})) != 0; }

/// Families of names: the name says the layout, as in the code that the numbers come from.
enum class WeightFamily {
    mathematics,  ///< W_query ... : [d_in, d_out], x · W
    linear,       ///< W_query.weight, q_proj.weight ...: nn.Linear keeps [d_out, d_in], x · Wᵀ
    multihead,    ///< in_proj_weight, q_proj_weight ...: nn.MultiheadAttention, [d_out, d_in]
    gpt2,         ///< c_attn.weight ...: [E, 3E] in GPT-2, [3E, E] in nanoGPT, told apart by shape
    lens,         ///< W_Q ...: TransformerLens, [head, d_model, d_head]
    keras         ///< query/kernel ...: Keras and Flax, [d_in, d_out], or [d_in, head, d_head]
};

struct WeightName {
    std::string_view name;
    WeightRole role;
    WeightFamily family;
    bool bias;
    /// Of the same family, names that one code uses together; empty where the family has one name for a role.
    std::string_view style{};
    PackedLayout packed_layout = PackedLayout::stacked;  ///< of packed ones, where the document says nothing
    bool with_gate = false;                              ///< it holds the gate behind the values

    bool out_in() const { return family == WeightFamily::linear || family == WeightFamily::multihead; }
};

/// THE TABLE of weight names.
std::span<const WeightName> all_weight_names();
const WeightName* weight_named(std::string_view name);
/// The fewest and the most axes that a weight may have.
std::pair<std::size_t, std::size_t> weight_axes(const WeightName& name);

/// Masks and tables that modules keep among their weights, and that are made anew here: a causal mask ("bias"
/// [1, 1, n, n] of GPT-2, "mask" [n, n]), its fill, the angles of rotary embeddings, decays of a fixed rule.
bool is_mask_or_table(std::string_view name, const Shape& shape);
/// The members of an object of weights that are no tensors.
std::span<const std::string_view> weight_settings();
/// Of `names`, an object of weights' names and what they are called there: (ours, theirs). \throws Error
std::vector<std::pair<std::string, std::string>> read_weight_aliases(const Value& value,
                                                                     const std::string& pointer);
/// What to do about a tensor of an attention that no weight is called by, or "".
std::string hint_for_unread(std::string_view name);

/// Reads `weights`: literal tensors by name, {"init": ...}, or a list with one object per head.
void read_weights(const Value& value, const std::string& pointer, Problem& problem);

}  // namespace attn
