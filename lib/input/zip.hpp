#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace attn {

/// One file of a zip archive.
struct ZipEntry {
    std::string name;
    bool deflated = false;
    std::uint32_t crc = 0;
    std::size_t begin = 0, stored = 0;  ///< where its bytes stand in the archive
    std::size_t size = 0;               ///< inflated
};

/// The directory of a zip archive, which is held against every local header (PKWARE APPNOTE 6.3.10, zip64
/// included). Names are keys, never paths. \throws Error (exit 3): a damaged archive, encryption, methods
/// other than stored and deflated, names twice, parts that overlap.
std::vector<ZipEntry> read_zip(std::span<const std::byte> archive);

/// Bytes of an entry: in the archive, or inflated.
struct ZipBytes {
    std::shared_ptr<const void> keeper;
    std::span<const std::byte> bytes;
    bool is_mapped = false;
};

/// All of an entry, its size and CRC-32 checked. `keeper` keeps the archive. \throws Error (exit 3)
ZipBytes take(const ZipEntry& entry, const std::shared_ptr<const void>& keeper,
              std::span<const std::byte> archive);

/// At most the first `most` bytes of an entry, unchecked.
std::vector<std::byte> peek(const ZipEntry& entry, std::span<const std::byte> archive, std::size_t most);

}  // namespace attn
