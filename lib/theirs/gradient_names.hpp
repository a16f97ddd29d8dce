#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/theirs/names.hpp"

namespace attn {

/// The gradients of a plan, in the order of the backward pass.
std::vector<OwnGradient> own_gradients(const Plan& plan);
/// The name of a trace of ours as a gradient of it; nothing: it is not that of a stage.
std::optional<OwnGradient> own_gradient_named(std::string_view name);

/// What somebody's name means as a gradient.
struct GradientMeaning {
    std::vector<std::string> among;  ///< gradients of ours, likeliest first: the first whose shape fits
    Layout layout = Layout::unknown;
};
/// Of "d_scores", "W_query.weight.grad", "dq", "dO", "grad_output" and their like; nothing: it is no
/// gradient's name. `among` is empty where ours has no such gradient. \param path SplitName::path
std::optional<GradientMeaning> gradient_meaning(NameMap map, std::string_view path,
                                                std::span<const OwnGradient> own);

/// Whether a parameter of ours is called so: a file of gradients may keep the names of what they are of.
std::optional<std::string> gradient_of_parameter(std::string_view path, std::span<const OwnGradient> own);

/// Whether a name is that of a gradient, of whatever.
bool is_gradient_name(std::string_view path);

/// Takes gradients of queries, keys and values apart that stand in one array ("dqkv" of flash-attention,
/// "dqkvr" and "dinp" of llm.c): [3, ...], [batch, token, 3, head, dim], [batch, token, 3 * width].
void unpack_gradients(Dump& dump);

}  // namespace attn
