#pragma once
#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace attn {

using Index = std::int64_t;
using Shape = std::vector<Index>;

/// A number that counts from 0 as what containers count with; looked at in debug builds.
constexpr std::size_t idx(Index k) {
    assert(k >= 0);
    return static_cast<std::size_t>(k);
}

/// A place in a table that has a row for each enumerator.
template <class E>
requires std::is_enum_v<E>
constexpr std::size_t idx(E e) { return static_cast<std::size_t>(e); }

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
