#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/problem.hpp"

namespace attn {

/// \throws Error (exit 3) where it is none; `form` is what was expected
void need_object(const Value& value, const std::string& pointer, std::string_view form);

// Options that are objects of their own. \throws Error (exit 3) with a pointer.
Rope read_rope(const Value& value, const std::string& pointer);
QkNorm read_qk_norm(const Value& value, const std::string& pointer);
ValueNorm read_value_norm(const Value& value, const std::string& pointer);
Clip read_clip(const Value& value, const std::string& pointer);
QueryScale read_query_scale(const Value& value, const std::string& pointer);
/// Empty where it is false.
std::optional<Alibi> read_alibi(const Value& value, const std::string& pointer);
ConcatNorm read_concat_norm(const Value& value, const std::string& pointer);
EmbeddingsNorm read_embeddings_norm(const Value& value, const std::string& pointer);
std::optional<Gate> read_gate(const Value& value, const std::string& pointer);
Conv read_conv(const Value& value, const std::string& pointer);
PerItem read_prefix_keys(const Value& value, const std::string& pointer);
TokenBlocks read_token_blocks(const Value& value, const std::string& pointer);
PositionBias read_position_bias(const Value& value, const std::string& pointer);
GradientInput read_gradient(const Value& value, const std::string& pointer);
std::vector<std::string> read_draws(const Value& value, const std::string& pointer);
/// What a document draws without a seed of its own, in the order of the one generator that manual_seed seeds:
/// as `draws` names the keys, else as they stand; dropout last unless it is named. \throws Error (exit 3)
/// where there is no such seed, or nothing for it
void order_draws(const Value& root, Problem& problem);
/// The slopes of ALiBi for so many heads (Press, Smith and Lewis 2022, section 3).
std::vector<double> paper_slopes(Index heads);
/// Numbers, one per head.
std::vector<double> read_per_head(const Value& value, const std::string& pointer, std::string_view what);

}  // namespace attn
