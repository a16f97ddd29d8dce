#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attn {

using Index = std::int64_t;
using Shape = std::vector<Index>;

/// "[6, 3]"
std::string to_string(const Shape& shape);

/// The number of elements (1 for rank 0), or nothing where an axis is negative or the product leaves 63 bits.
std::optional<Index> element_count(const Shape& shape);

/// The last axes of `shape`, with axes of 1 before them up to four.
Shape four_axes(const Shape& shape);

/// from, from + 1, ...: `n` of them.
std::vector<Index> counted(Index n, Index from = 0);

enum class DType { float32, float64 };

constexpr const char* name_of(DType t) { return t == DType::float32 ? "float32" : "float64"; }
constexpr Index size_of(DType t) { return t == DType::float32 ? 4 : 8; }

}  // namespace attn
