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

/// Types of the numbers of stages. Those of half precision are computed in float32, and each stage is
/// rounded.
enum class DType { float32, float64, bfloat16, float16 };

constexpr const char* name_of(DType t) {
    constexpr const char* names[] = {"float32", "float64", "bfloat16", "float16"};
    return names[idx(t)];
}
/// Held as double while a run is under way, else as float.
constexpr bool is_wide(DType t) { return t == DType::float64; }
constexpr bool is_half(DType t) { return t == DType::bfloat16 || t == DType::float16; }
/// Bytes of a number while a run is under way.
constexpr Index size_of(DType t) { return is_wide(t) ? 8 : 4; }
/// The largest number of the type.
constexpr double largest_of(DType t) {
    constexpr double largest[] = {0x1.fffffep127, 0x1.fffffffffffffp1023, 0x1.fep127, 65504};
    return largest[idx(t)];
}

}  // namespace attn
