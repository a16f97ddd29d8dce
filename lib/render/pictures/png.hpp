#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "lib/render/pictures/ramp.hpp"
#include "lib/shape.hpp"

namespace attn {

/// An image whose pixels are places in a palette (PNG, third edition: colour type 3, 8 bits). `palette`: at
/// most 256 colours; `clear`: the one of them that is transparent. `pixels`: width x height, row by row.
std::string png(Index width, Index height, std::span<const std::uint8_t> pixels, std::span<const Rgb> palette,
                std::uint8_t clear);

}  // namespace attn
