#pragma once
#include <array>
#include <bit>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <system_error>

#include "lib/shape.hpp"

namespace attn {

/// A JSON number (RFC 8259 section 6), rounded once to the nearest T, ties to even; infinite where it is
/// above the largest T. Eight digits at a time (Lemire, "Number parsing at a gigabyte per second", 2021),
/// then one multiplication or division by an exact power of ten (Clinger 1990) where that is sure to round
/// right, else std::from_chars.
template <class T>
class NumberText {
  public:
    T value{};
    bool is_integer = false;  ///< neither fraction nor exponent

    /// Reads at `begin`, in a text whose byte at `end` may be read and is no digit.
    /// Returns the byte after the number; null where there is none, and `fault` is the byte at fault.
    [[gnu::always_inline]] inline const char* read(const char* begin, const char* end);

    const char* fault = nullptr;

  private:
    static constexpr int eight = 8;
    static constexpr std::array<std::uint64_t, eight> tens{1,     10,     100,     1000,
                                                           10000, 100000, 1000000, 10000000};

    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    /// Appends the digits at `p` to `w`, which wraps above 19 of them.
    static const char* digits(const char* p, const char* end, std::uint64_t& w);
    /// The value of eight bytes 0 to 9, the first digit in the lowest byte.
    static std::uint64_t number_of(std::uint64_t bytes) {
        constexpr std::uint64_t pairs = 0x000000FF000000FF;
        bytes = bytes * 10 + (bytes >> 8U);
        return ((bytes & pairs) * 0x000F424000000064 + ((bytes >> 16U) & pairs) * 0x0000271000000001) >> 32U;
    }
    /// w * 10^exponent where a short way is sure of its rounding.
    static bool convert(std::uint64_t w, std::int64_t exponent, T& out);
    [[gnu::noinline, gnu::cold]] static T convert_slowly(const char* begin, const char* end);
};

/// Powers of ten that a double, and an extended double, hold exactly.
inline constexpr std::array<double, 23> exact_tens{1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/// 10^-least_ten ... 10^19, each the nearest double.
inline constexpr std::int64_t least_ten = 22;
inline constexpr std::array<double, 42> near_tens{
    1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9,
    1e-8,  1e-7,  1e-6,  1e-5,  1e-4,  1e-3,  1e-2,  1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,
    1e6,   1e7,   1e8,   1e9,   1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18,  1e19};

template <class T>
inline const char* NumberText<T>::digits(const char* p, const char* end, std::uint64_t& w) {
    if constexpr (std::endian::native == std::endian::little) {
        while (end - p >= eight) {
            std::uint64_t bytes;
            std::memcpy(&bytes, p, sizeof bytes);
            bytes ^= 0x3030303030303030;
            // The high bit of each byte that is no digit.
            const std::uint64_t others =
                (((bytes & 0x7F7F7F7F7F7F7F7F) + 0x7676767676767676) | bytes) & 0x8080808080808080;
            const int n = std::countr_zero(others) / eight;
            if (n == eight) {
                w = w * 100000000 + number_of(bytes);
                p += eight;
                continue;
            }
            // n digits in the highest bytes, zeros below, which are digits in front.
            w = w * tens[idx(n)] + number_of(bytes << static_cast<unsigned>(eight * (eight - 1 - n)) << 8U);
            return p + n;
        }
    }
    for (; is_digit(*p); ++p) w = w * 10 + static_cast<std::uint64_t>(*p - '0');
    return p;
}

template <class T>
inline bool NumberText<T>::convert(std::uint64_t w, std::int64_t exponent, T& out) {
    if constexpr (sizeof(T) == sizeof(double)) {
        const auto size = static_cast<std::size_t>(std::abs(exponent));
        if (size >= exact_tens.size()) return false;
        if (w <= std::uint64_t{1} << DBL_MANT_DIG) {
            const auto d = static_cast<double>(w);
            out = exponent < 0 ? d / exact_tens[size] : d * exact_tens[size];
            return true;
        }
        // Of 64 bits, rounded once; to round those again to 53 goes wrong only from the very middle.
        if constexpr (LDBL_MANT_DIG == 64 && std::endian::native == std::endian::little) {
            const auto x = static_cast<long double>(w), by = static_cast<long double>(exact_tens[size]);
            const long double y = exponent < 0 ? x / by : x * by;
            std::uint64_t mantissa;
            std::memcpy(&mantissa, &y, sizeof mantissa);
            out = static_cast<double>(y);
            return (mantissa & 0x7FF) != 0x400;
        }
        return false;
    } else {
        // Neither infinite nor subnormal.
        const auto place = static_cast<std::uint64_t>(exponent + least_ten);
        if (place >= near_tens.size()) return false;
        // Less than 3 units in the last place of a double from the number: w, the power and the product are
        // each rounded. Narrowing can only go wrong near the middle of two floats.
        const double d = static_cast<double>(w) * near_tens[place];
        out = static_cast<float>(d);
        constexpr std::uint64_t rest = 0x1FFFFFFF, middle = 0x10000000, near = 4;
        return ((std::bit_cast<std::uint64_t>(d) - middle + near) & rest) > 2 * near;
    }
}

template <class T>
T NumberText<T>::convert_slowly(const char* begin, const char* end) {
    T v{};
    if (std::from_chars(begin, end, v).ec == std::errc{}) return v;
    // Above the largest T, or below the smallest: from_chars does not say which.
    const std::string text(begin, end);
    if constexpr (sizeof(T) == sizeof(double))
        return std::strtod(text.c_str(), nullptr);
    else
        return std::strtof(text.c_str(), nullptr);
}

template <class T>
inline const char* NumberText<T>::read(const char* begin, const char* end) {
    const char* p = begin;
    const bool negative = *p == '-';
    p += negative ? 1 : 0;
    std::uint64_t w = 0;
    std::int64_t count = 0, exponent = 0;
    is_integer = true;
    fault = p;
    if (*p == '0') {
        if (is_digit(*++p)) return nullptr;
    } else {
        const char* const first = p;
        for (; is_digit(*p); ++p) w = w * 10 + static_cast<std::uint64_t>(*p - '0');
        count = p - first;
        if (count == 0) return nullptr;
    }
    if (*p == '.') {
        is_integer = false;
        const char* const first = fault = ++p;
        p = digits(p, end, w);
        if (p == first) return nullptr;
        exponent = first - p;
        count -= exponent;
    }
    if (*p == 'e' || *p == 'E') {
        is_integer = false;
        const bool down = *++p == '-';
        p += down || *p == '+' ? 1 : 0;
        fault = p;
        if (!is_digit(*p)) return nullptr;
        constexpr std::int64_t enough = 1 << 20;
        std::int64_t given = 0;
        for (; is_digit(*p); ++p) given = given < enough ? given * 10 + (*p - '0') : given;
        exponent += down ? -given : given;
    }
    constexpr std::int64_t most_digits = std::numeric_limits<std::uint64_t>::digits10;
    if (count <= most_digits && convert(w, exponent, value)) {
        value = negative ? -value : value;
    } else {
        value = convert_slowly(begin, p);
    }
    return p;
}

}  // namespace attn
