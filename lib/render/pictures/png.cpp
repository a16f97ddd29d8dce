#include "lib/render/pictures/png.hpp"

#include <zlib.h>

#include <new>
#include <string_view>
#include <vector>

namespace attn {
namespace {

/// Noise does not become smaller by trying harder, and a mask or a diagonal is small at once.
constexpr int effort = 2;

void put_32(std::string& out, std::size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(static_cast<unsigned char>(value >> static_cast<unsigned>(shift) & 0xFFU));
}

void put_chunk(std::string& out, std::string_view name, std::string_view data) {
    put_32(out, data.size());
    const std::size_t from = out.size();
    out.append(name).append(data);
    put_32(out,
           crc32(0, reinterpret_cast<const Bytef*>(out.data() + from), static_cast<uInt>(out.size() - from)));
}

/// Each row behind a byte that says how it is filtered (0: not; neighbours of a palette have no order).
std::string deflated(Index width, Index height, std::span<const std::uint8_t> pixels) {
    std::vector<std::uint8_t> raw;
    raw.reserve(pixels.size() + idx(height));
    for (Index i = 0; i < height; ++i) {
        raw.push_back(0);
        const auto row = pixels.subspan(idx(i * width), idx(width));
        raw.insert(raw.end(), row.begin(), row.end());
    }
    uLongf size = compressBound(static_cast<uLong>(raw.size()));
    std::string out(size, '\0');
    if (compress2(reinterpret_cast<Bytef*>(out.data()), &size, raw.data(), static_cast<uLong>(raw.size()),
                  effort) != Z_OK)
        throw std::bad_alloc();  // the only way in which it can fail
    out.resize(size);
    return out;
}

}  // namespace

std::string png(Index width, Index height, std::span<const std::uint8_t> pixels, std::span<const Rgb> palette,
                std::uint8_t clear) {
    std::string out("\x89PNG\r\n\x1a\n", 8), header, colours;
    put_32(header, idx(width));
    put_32(header, idx(height));
    header.append("\x08\x03\x00\x00\x00", 5);
    for (const Rgb c : palette)
        for (const std::uint8_t channel : {c.red, c.green, c.blue}) colours += static_cast<char>(channel);
    std::string opaque(std::size_t{clear} + 1, '\xFF');
    opaque.back() = '\0';
    put_chunk(out, "IHDR", header);
    put_chunk(out, "PLTE", colours);
    put_chunk(out, "tRNS", opaque);
    put_chunk(out, "IDAT", deflated(width, height, pixels));
    put_chunk(out, "IEND", {});
    return out;
}

}  // namespace attn
