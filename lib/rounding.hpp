#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "lib/shape.hpp"

namespace attn {

/// The nearest bfloat16, ties to even. NaN stays NaN; above the largest: infinity.
inline float nearest_bfloat16(float v) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t up = bits + 0x7FFFU + (bits >> 16U & 1U);
    return std::isnan(v) ? v : std::bit_cast<float>(up & 0xFFFF0000U);
}

/// The nearest binary16, ties to even. NaN stays NaN; above the largest: infinity.
inline float nearest_float16(float v) {
    constexpr float least_normal = 0x1p-14F, largest = 65504;
    const float size = std::abs(v);
    const auto bits = std::bit_cast<std::uint32_t>(size);
    const auto normal = std::bit_cast<float>((bits + 0xFFFU + (bits >> 13U & 1U)) & 0xFFFFE000U);
    // Below the normal numbers steps are those of a float between 1/2 and 1.
    const float small = (size + 0.5F) - 0.5F;
    const float near = size < least_normal ? small : normal;
    const float kept = near > largest ? std::numeric_limits<float>::infinity() : near;
    return std::isnan(v) ? v : std::copysign(kept, v);
}

/// What becomes of a number where it is written: the nearest of a type of half precision (IEEE 754, ties to
/// even), or itself where the type is that of the arithmetic.
class Rounding {
  public:
    Rounding() = default;
    explicit Rounding(DType to) : to_(to) {}

    bool changes() const { return is_half(to_); }
    bool operator==(const Rounding& other) const = default;
    /// T is float wherever something changes: a double is rounded to float first, as PyTorch's kernels do.
    template <class T>
    T operator()(T v) const {
        if (to_ == DType::bfloat16) return static_cast<T>(nearest_bfloat16(static_cast<float>(v)));
        if (to_ == DType::float16) return static_cast<T>(nearest_float16(static_cast<float>(v)));
        return v;
    }
    /// n numbers in place.
    template <class T>
    void operator()(T* x, Index n) const {
        if (to_ == DType::bfloat16)
            for (Index k = 0; k < n; ++k) x[k] = static_cast<T>(nearest_bfloat16(static_cast<float>(x[k])));
        if (to_ == DType::float16)
            for (Index k = 0; k < n; ++k) x[k] = static_cast<T>(nearest_float16(static_cast<float>(x[k])));
    }

  private:
    DType to_ = DType::float32;
};

}  // namespace attn
