#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "lib/input/file_tensors.hpp"

namespace attn {

/// The types that numbers can be converted to.
inline constexpr std::array float_elements{Element::float16, Element::bfloat16, Element::float32,
                                           Element::float64};

/// The nearest binary16 and bfloat16, ties to even, rounded once. Too large: infinity. NaN: a quiet NaN.
std::uint16_t to_float16(double v);
std::uint16_t to_bfloat16(double v);

/// What a conversion of types cost.
struct Losses {
    Index numbers = 0;   ///< all that were converted
    Index changed = 0;   ///< have another value now
    Index infinite = 0;  ///< of those: too large for the new type
};

/// Appends numbers [from, from + count) of a tensor to `out` as they are stored in a file, little-endian, in
/// type `to`: the tensor's own, or a floating-point type.
void store(const FileTensor& tensor, Index from, Index count, Element to, std::string& out, Losses& losses);

}  // namespace attn
