#include "lib/input/gguf_blocks.hpp"

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace attn {
namespace {

// Layouts: ggml src/ggml-common.h; their values: dequantize_row_* of src/ggml-quants.c. Offsets in the code
// below are those of a block's fields. The build never fuses a product with a sum (-ffp-contract=off).

unsigned byte_of(const std::byte* at, std::size_t k) { return std::to_integer<unsigned>(at[k]); }
int signed_byte(const std::byte* at, std::size_t k) { return std::to_integer<std::int8_t>(at[k]); }
unsigned two_bytes(const std::byte* at) { return byte_of(at, 0) | byte_of(at, 1) << 8U; }
unsigned four_bytes(const std::byte* at) { return two_bytes(at) | two_bytes(at + 2) << 16U; }
float half_at(const std::byte* at) { return from_float16(static_cast<std::uint16_t>(two_bytes(at))); }
float real(unsigned q) { return static_cast<float>(q); }
/// A number that is stored with something added to it.
float less(unsigned q, int by) { return static_cast<float>(static_cast<int>(q) - by); }

/// Byte j holds number j (its low nibble) and number j + n / 2: calls value(number, nibble) for all n.
template <class Value>
void nibbles(const std::byte* at, std::size_t n, float* out, Value value) {
    for (std::size_t j = 0; j < n / 2; ++j) {
        out[j] = value(j, byte_of(at, j) & 15U);
        out[j + n / 2] = value(j + n / 2, byte_of(at, j) >> 4U);
    }
}

void q4_0(const std::byte* in, float* out) {
    const float d = half_at(in);
    nibbles(in + 2, 32, out, [=](std::size_t, unsigned q) { return less(q, 8) * d; });
}

void q4_1(const std::byte* in, float* out) {
    const float d = half_at(in), m = half_at(in + 2);
    nibbles(in + 4, 32, out, [=](std::size_t, unsigned q) { return real(q) * d + m; });
}

/// A nibble with its fifth bit.
unsigned fifth(unsigned bits, std::size_t k, unsigned q) { return q | (bits >> k & 1U) << 4U; }

void q5_0(const std::byte* in, float* out) {
    const float d = half_at(in);
    const unsigned bits = four_bytes(in + 2);
    nibbles(in + 6, 32, out, [=](std::size_t k, unsigned q) { return less(fifth(bits, k, q), 16) * d; });
}

void q5_1(const std::byte* in, float* out) {
    const float d = half_at(in), m = half_at(in + 2);
    const unsigned bits = four_bytes(in + 4);
    nibbles(in + 8, 32, out, [=](std::size_t k, unsigned q) { return real(fifth(bits, k, q)) * d + m; });
}

void q8_0(const std::byte* in, float* out) {
    const float d = half_at(in);
    for (std::size_t k = 0; k < 32; ++k) out[k] = static_cast<float>(signed_byte(in + 2, k)) * d;
}

void q1_0(const std::byte* in, float* out) {
    const float d = half_at(in);
    for (std::size_t k = 0; k < 128; ++k) out[k] = (byte_of(in + 2, k / 8) >> k % 8 & 1U) != 0 ? d : -d;
}

void q2_0(const std::byte* in, float* out) {
    const float d = half_at(in);
    for (std::size_t k = 0; k < 64; ++k) out[k] = less(byte_of(in + 2, k / 4) >> 2 * (k % 4) & 3U, 1) * d;
}

// Blocks of 256: eight groups of 32, or sixteen of 16.
constexpr std::size_t super = 256;

/// Two bits of number k in planes: each 32 bytes hold 128 numbers, bits 0 and 1 the first 32 of them.
unsigned plane(const std::byte* at, std::size_t k) {
    return byte_of(at, 32 * (k / 128) + k % 32) >> 2 * (k % 128 / 32) & 3U;
}

void q2_k(const std::byte* in, float* out) {
    const float d = half_at(in + 80), dmin = half_at(in + 82);
    for (std::size_t k = 0; k < super; ++k) {
        const unsigned both = byte_of(in, k / 16);
        out[k] = d * real(both & 15U) * real(plane(in + 16, k)) - dmin * real(both >> 4U);
    }
}

void q3_k(const std::byte* in, float* out) {
    const float d = half_at(in + 108);
    const std::byte* const scales = in + 96;
    for (std::size_t k = 0; k < super; ++k) {
        const std::size_t i = k / 16;
        const unsigned low = i < 8 ? byte_of(scales, i) & 15U : byte_of(scales, i - 8) >> 4U;
        const unsigned upper = byte_of(scales, 8 + i % 4) >> 2 * (i / 4) & 3U;
        const bool high = (byte_of(in, k % 32) >> k / 32 & 1U) != 0;
        out[k] = d * less(low | upper << 4U, 32) * less(plane(in + 32, k), high ? 0 : 4);
    }
}

/// Eight pairs of a scale and a minimum, of 6 bits each, in 12 bytes.
std::pair<unsigned, unsigned> scale_and_minimum(const std::byte* at, std::size_t i) {
    if (i < 4) return {byte_of(at, i) & 63U, byte_of(at, i + 4) & 63U};
    return {(byte_of(at, i + 4) & 15U) | byte_of(at, i - 4) >> 6U << 4U,
            byte_of(at, i + 4) >> 4U | byte_of(at, i) >> 6U << 4U};
}

/// The nibbles of two groups of 32 stand in 32 bytes, the first group's below.
unsigned nibble_of_group(const std::byte* at, std::size_t g, std::size_t k) {
    return byte_of(at, 32 * (g / 2) + k) >> 4 * (g % 2) & 15U;
}

/// Q4_K, and Q5_K, which has 32 bytes of fifth bits.
template <bool has_fifth>
void q4_or_q5_k(const std::byte* in, float* out) {
    const float d = half_at(in), dmin = half_at(in + 2);
    const std::byte* const bits = in + 16;
    const std::byte* const low = has_fifth ? bits + 32 : bits;
    for (std::size_t g = 0; g < 8; ++g) {
        const auto [scale, minimum] = scale_and_minimum(in + 4, g);
        const float step = d * real(scale), below = dmin * real(minimum);
        for (std::size_t k = 0; k < 32; ++k) {
            const unsigned q = nibble_of_group(low, g, k);
            out[32 * g + k] = step * real(has_fifth ? q | (byte_of(bits, k) >> g & 1U) << 4U : q) - below;
        }
    }
}

void q6_k(const std::byte* in, float* out) {
    const float d = half_at(in + 208);
    for (std::size_t k = 0; k < super; ++k) {
        const std::size_t part = k / 128, g = k % 128 / 32, i = k % 32;
        const unsigned low = byte_of(in, 64 * part + 32 * (g % 2) + i) >> 4 * (g / 2) & 15U;
        const unsigned q = low | plane(in + 128, k) << 4U;
        out[k] = d * static_cast<float>(signed_byte(in + 192, k / 16)) * less(q, 32);
    }
}

constexpr std::array<int, 16> uneven{-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

void iq4_nl(const std::byte* in, float* out) {
    const float d = half_at(in);
    nibbles(in + 2, 32, out, [=](std::size_t, unsigned q) { return d * static_cast<float>(uneven[q]); });
}

void iq4_xs(const std::byte* in, float* out) {
    const float d = half_at(in);
    const unsigned upper = two_bytes(in + 2);
    for (std::size_t g = 0; g < 8; ++g) {
        const unsigned scale = (byte_of(in + 4, g / 2) >> 4 * (g % 2) & 15U) | (upper >> 2 * g & 3U) << 4U;
        const float step = d * less(scale, 32);
        nibbles(in + 8 + 16 * g, 32, out + 32 * g,
                [=](std::size_t, unsigned q) { return step * static_cast<float>(uneven[q]); });
    }
}

void tq1_0(const std::byte* in, float* out) {
    struct Run {
        std::size_t bytes, digits;
    };
    constexpr std::array<Run, 3> runs{{{32, 5}, {16, 5}, {4, 4}}};
    const float d = half_at(in + 52);
    for (const Run& run : runs) {
        unsigned power = 1;
        for (std::size_t n = 0; n < run.digits; ++n, power *= 3)
            for (std::size_t k = 0; k < run.bytes; ++k)
                *out++ = less((byte_of(in, k) * power & 255U) * 3 >> 8U, 1) * d;
        in += run.bytes;
    }
}

void tq2_0(const std::byte* in, float* out) {
    const float d = half_at(in + 64);
    for (std::size_t k = 0; k < super; ++k) out[k] = less(plane(in, k), 1) * d;
}

/// Twice the numbers of E2M1; minus zero is zero.
constexpr std::array<int, 16> doubled{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void mxfp4(const std::byte* in, float* out) {
    const float scale = std::ldexp(1.0F, static_cast<int>(byte_of(in, 0)) - 128);
    nibbles(in + 1, 32, out, [=](std::size_t, unsigned q) { return static_cast<float>(doubled[q]) * scale; });
}

/// Half of an E4M3 without its sign; the bits of its NaN are 0 here.
float half_of_e4m3(unsigned bits) {
    if (bits == 127) return 0;
    const unsigned exponent = bits >> 3U & 15U, fraction = bits & 7U;
    return exponent == 0 ? std::ldexp(real(fraction), -10)
                         : std::ldexp(real(8 + fraction), static_cast<int>(exponent) - 11);
}

void nvfp4(const std::byte* in, float* out) {
    for (std::size_t g = 0; g < 4; ++g) {
        const float scale = half_of_e4m3(byte_of(in, g));
        nibbles(in + 4 + 8 * g, 16, out + 16 * g,
                [=](std::size_t, unsigned q) { return static_cast<float>(doubled[q]) * scale; });
    }
}

constexpr std::string_view grid = "which is not read: its values are points of tables";
constexpr std::string_view only_between = "which is only made between operations";
constexpr std::string_view removed = "which was removed from the format";

/// THE TABLE of types.
constexpr GgufType gguf_types[] = {
    {0, "F32", 1, 4, Element::float32},
    {1, "F16", 1, 2, Element::float16},
    {2, "Q4_0", 32, 18, {}, q4_0},
    {3, "Q4_1", 32, 20, {}, q4_1},
    {4, "Q4_2", 0, 0, {}, nullptr, removed},
    {5, "Q4_3", 0, 0, {}, nullptr, removed},
    {6, "Q5_0", 32, 22, {}, q5_0},
    {7, "Q5_1", 32, 24, {}, q5_1},
    {8, "Q8_0", 32, 34, {}, q8_0},
    {9, "Q8_1", 0, 0, {}, nullptr, only_between},
    {10, "Q2_K", super, 84, {}, q2_k},
    {11, "Q3_K", super, 110, {}, q3_k},
    {12, "Q4_K", super, 144, {}, q4_or_q5_k<false>},
    {13, "Q5_K", super, 176, {}, q4_or_q5_k<true>},
    {14, "Q6_K", super, 210, {}, q6_k},
    {15, "Q8_K", 0, 0, {}, nullptr, only_between},
    {16, "IQ2_XXS", super, 66, {}, nullptr, grid},
    {17, "IQ2_XS", super, 74, {}, nullptr, grid},
    {18, "IQ3_XXS", super, 98, {}, nullptr, grid},
    {19, "IQ1_S", super, 50, {}, nullptr, grid},
    {20, "IQ4_NL", 32, 18, {}, iq4_nl},
    {21, "IQ3_S", super, 110, {}, nullptr, grid},
    {22, "IQ2_S", super, 82, {}, nullptr, grid},
    {23, "IQ4_XS", super, 136, {}, iq4_xs},
    {24, "I8", 1, 1, Element::int8},
    {25, "I16", 1, 2, Element::int16},
    {26, "I32", 1, 4, Element::int32},
    {27, "I64", 1, 8, Element::int64},
    {28, "F64", 1, 8, Element::float64},
    {29, "IQ1_M", super, 56, {}, nullptr, grid},
    {30, "BF16", 1, 2, Element::bfloat16},
    {31, "Q4_0_4_4", 0, 0, {}, nullptr, removed},
    {32, "Q4_0_4_8", 0, 0, {}, nullptr, removed},
    {33, "Q4_0_8_8", 0, 0, {}, nullptr, removed},
    {34, "TQ1_0", super, 54, {}, tq1_0},
    {35, "TQ2_0", super, 66, {}, tq2_0},
    {36, "IQ4_NL_4_4", 0, 0, {}, nullptr, removed},
    {37, "IQ4_NL_4_8", 0, 0, {}, nullptr, removed},
    {38, "IQ4_NL_8_8", 0, 0, {}, nullptr, removed},
    {39, "MXFP4", 32, 17, {}, mxfp4},
    {40, "NVFP4", 64, 36, {}, nvfp4},
    {41, "Q1_0", 128, 18, {}, q1_0},
    {42, "Q2_0", 64, 18, {}, q2_0},
};

}  // namespace

const GgufType* gguf_type(std::uint32_t number) {
    for (const GgufType& type : gguf_types)
        if (type.number == number) return &type;
    return nullptr;
}

std::string gguf_types_read() {
    std::string out = "types that are read:";
    for (const GgufType& type : gguf_types)
        if (type.is_read()) out.append(" ").append(type.name);
    return out;
}

Numbers numbers_of_blocks(const GgufType& type, std::span<const std::byte> bytes, Index count) {
    std::vector<float> out(idx(count));
    const std::byte* in = bytes.data();
    for (std::size_t k = 0; k < out.size(); k += idx(type.numbers), in += type.bytes)
        type.block(in, out.data() + k);
    return Numbers(std::move(out));
}

}  // namespace attn
