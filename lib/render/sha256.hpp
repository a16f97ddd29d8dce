#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace attn {

/// SHA-256 of some bytes (FIPS 180-4, section 6.2).
std::array<std::uint8_t, 32> sha256(std::string_view bytes);

/// The same as the 32 bytes of a string.
std::string sha256_bytes(std::string_view bytes);

}  // namespace attn
