#include "lib/render/traces/store.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

namespace attn {
namespace {

/// `fraction`: bits of the fraction; the exponent takes the rest but the sign.
template <int fraction>
std::uint16_t narrowed(double v) {
    constexpr int exponent_bits = 15 - fraction, bias = (1 << (exponent_bits - 1)) - 1, wide = 52;
    constexpr std::uint64_t infinity = ((std::uint64_t{1} << exponent_bits) - 1) << fraction;
    const auto bits = std::bit_cast<std::uint64_t>(v);
    const auto sign = static_cast<std::uint16_t>(bits >> 63U << 15U);
    const auto with_sign = [&](std::uint64_t size) { return static_cast<std::uint16_t>(sign | size); };
    if (std::isnan(v)) return with_sign(infinity | 1U << (fraction - 1));
    if (std::isinf(v)) return with_sign(infinity);
    const int wide_exponent = static_cast<int>(bits >> wide & 0x7FF);
    if (wide_exponent == 0) return sign;  // far below half of the least number
    const int exponent = wide_exponent - 1023 + bias;
    // Below exponent 1 numbers are subnormal: fewer digits are kept.
    const int shift = wide - fraction + (exponent < 1 ? 1 - exponent : 0);
    if (shift > wide + 1) return sign;
    const std::uint64_t digits = (bits & ((std::uint64_t{1} << wide) - 1)) | std::uint64_t{1} << wide;
    const std::uint64_t half = std::uint64_t{1} << (shift - 1), rest = digits & (2 * half - 1);
    std::uint64_t size = digits >> shift;
    if (rest > half || (rest == half && (size & 1U) != 0)) ++size;
    // The first digit counts in the exponent, so a carry out of the fraction does what it should.
    if (exponent > 1) size += static_cast<std::uint64_t>(exponent - 1) << fraction;
    return with_sign(std::min(size, infinity));
}

/// An integer as a double whose last bit tells whether anything was cut off ("round to odd"): rounding it to
/// fewer digits is rounding the integer. (Boldo and Melquiond, When double rounding is odd, 2005.)
template <class Int>
double odd_double(Int v) {
    const auto d = static_cast<double>(v);
    const auto exact = static_cast<long double>(v);
    if (static_cast<long double>(d) == exact) return d;
    const bool above = std::fabs(static_cast<long double>(d)) > std::fabs(exact);
    const double cut = above ? std::nextafter(d, 0.0) : d;
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(cut) | 1U);
}

template <class T>
T loaded(const std::byte* at) {
    T v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

template <class T>
void put(std::string& out, T v) {
    char bytes[sizeof v];
    std::memcpy(bytes, &v, sizeof v);
    out.append(bytes, sizeof v);
}

/// Appends v as `to`; returns what a reader will find.
double put_as(std::string& out, double v, Element to) {
    switch (to) {
        case Element::float16: {
            const std::uint16_t bits = to_float16(v);
            put(out, bits);
            return static_cast<double>(from_float16(bits));
        }
        case Element::bfloat16: {
            const std::uint16_t bits = to_bfloat16(v);
            put(out, bits);
            return static_cast<double>(from_bfloat16(bits));
        }
        case Element::float32:
            put(out, static_cast<float>(v));
            return static_cast<double>(static_cast<float>(v));
        default:
            put(out, v);
            return v;
    }
}

}  // namespace

std::uint16_t to_float16(double v) { return narrowed<10>(v); }
std::uint16_t to_bfloat16(double v) { return narrowed<7>(v); }

void store(const FileTensor& tensor, Index from, Index count, Element to, std::string& out, Losses& losses) {
    const Element element = tensor.element();
    const auto size = static_cast<std::size_t>(size_of(element));
    std::vector<std::byte> raw(static_cast<std::size_t>(count) * size);
    tensor.numbers.copy_stored(from, raw);
    if (element == to) {
        out.append(reinterpret_cast<const char*>(raw.data()), raw.size());
        return;
    }
    losses.numbers += count;
    const auto tell = [&](double before, double after) {
        const bool same = before == after || (std::isnan(before) && std::isnan(after));
        losses.changed += !same;
        losses.infinite += !same && std::isinf(after);
    };
    for (Index k = 0; k < count; ++k) {
        const std::byte* at = raw.data() + static_cast<std::size_t>(k) * size;
        if (to == Element::float32) {
            float v = 0;
            (tensor.float32.empty() ? tensor.numbers : tensor.float32)
                .copy(std::span<float>(&v, 1), from + k);
            put(out, v);
            tell(tensor.numbers[from + k], static_cast<double>(v));
        } else if (element == Element::int64 || element == Element::uint64) {
            const double v = element == Element::int64 ? odd_double(loaded<std::int64_t>(at))
                                                       : odd_double(loaded<std::uint64_t>(at));
            // To float64 the odd bit would be wrong: there the plain conversion rounds once.
            const double plain = element == Element::int64 ? static_cast<double>(loaded<std::int64_t>(at))
                                                           : static_cast<double>(loaded<std::uint64_t>(at));
            tell(v, put_as(out, to == Element::float64 ? plain : v, to));
        } else {
            const double v = tensor.numbers[from + k];
            tell(v, put_as(out, v, to));
        }
    }
}

}  // namespace attn
