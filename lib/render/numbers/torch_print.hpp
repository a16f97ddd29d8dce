#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace attn {

/// The text of PyTorch's str(tensor) with its default print options, for a row-major tensor on the CPU.
/// \throws std::logic_error where the values do not fill the shape.
/// Source: torch/_tensor_str.py (_Formatter, _tensor_str_with_formatter, get_summarized_data, _str_intern).
std::string torch_text(std::span<const float> values, std::span<const std::int64_t> shape);
std::string torch_text(std::span<const double> values, std::span<const std::int64_t> shape);
std::string torch_text(std::span<const std::int64_t> values, std::span<const std::int64_t> shape);

enum class TorchType { float32, float64, bfloat16, float16, int64 };

/// The same for values that need not all be at hand: `value(k)` is asked for the elements that the text shows
/// only (of more than 1000 elements, those within 3 of both edges of every axis), k their row-major number.
/// Integers up to 2^53.
std::string torch_text(TorchType type, std::span<const std::int64_t> shape,
                       const std::function<double(std::int64_t)>& value);

/// Whether the text of a tensor of that shape shows element k.
bool torch_shows(std::span<const std::int64_t> shape, std::int64_t k);

}  // namespace attn
