#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace attn {

/// The bytes of a regular file, mapped and kept until the last copy of `keeper` goes.
struct MappedFile {
    std::shared_ptr<const void> keeper;
    std::span<const std::byte> bytes;
};

/// \throws Error (exit 3) for what is no regular file or cannot be read; its message follows the file's name.
MappedFile map_file(const std::string& path);

/// The whole pages among these bytes of a mapped file leave memory until they are read again.
void let_go(std::span<const std::byte> mapped);

}  // namespace attn
