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

enum class DType { float32, float64 };

constexpr const char* name_of(DType t) { return t == DType::float32 ? "float32" : "float64"; }
constexpr Index size_of(DType t) { return t == DType::float32 ? 4 : 8; }

}  // namespace attn
