#include "lib/render/base64.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace attn {
namespace {

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint32_t pairs = 1U << 12U;

/// The two letters of twelve bits.
constexpr auto letter_pairs = [] {
    std::array<char, std::size_t{2} * pairs> out{};
    for (std::uint32_t bits = 0; bits < pairs; ++bits) {
        out[2 * bits] = letters[bits >> 6U];
        out[2 * bits + 1] = letters[bits & 63U];
    }
    return out;
}();

std::uint32_t byte_of(char c) { return static_cast<unsigned char>(c); }

void write_four(char* to, std::uint32_t three_bytes) {
    std::memcpy(to, &letter_pairs[std::size_t{2} * (three_bytes >> 12U)], 2);
    std::memcpy(to + 2, &letter_pairs[std::size_t{2} * (three_bytes & (pairs - 1))], 2);
}

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
    const std::size_t start = out.size(), whole = bytes.size() / 3 * 3, rest = bytes.size() - whole;
    out.resize(start + (bytes.size() + 2) / 3 * 4);
    char* to = out.data() + start;
    for (const char* from = bytes.data(); from != bytes.data() + whole; from += 3, to += 4)
        write_four(to, byte_of(from[0]) << 16U | byte_of(from[1]) << 8U | byte_of(from[2]));
    if (rest == 0) return;
    write_four(to, byte_of(bytes[whole]) << 16U | (rest == 2 ? byte_of(bytes[whole + 1]) << 8U : 0U));
    to[3] = '=';
    if (rest == 1) to[2] = '=';
}

}  // namespace attn
