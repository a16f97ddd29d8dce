#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/shape.hpp"

namespace attn {

struct SafetensorsEntry {
    std::string name;
    Shape shape;
    Element element = Element::float32;
    std::size_t begin = 0;  ///< bytes from the start of the file
    /// The type where its numbers are not read (F8_E4M3, C64, ...): what it is called there, and its bytes.
    std::string unread{};
    Index unread_bytes = 0;
};

struct SafetensorsHeader {
    std::vector<SafetensorsEntry> entries;  ///< in the order of the header
    bool has_metadata = false;
    std::vector<std::pair<std::string, std::string>> metadata;  ///< names and texts of __metadata__
};

/// A tensor whose type is only listed is asked for. \throws Error (exit 3)
[[noreturn]] void refuse_unread(const std::string& name, const std::string& type);

/// The header of a safetensors file, held against all its bytes (safetensors src/tensor.rs): 8 bytes of
/// length, at most 100 000 000; a JSON object; data without holes, overlaps and rest. \throws Error (exit 3)
SafetensorsHeader read_safetensors_header(std::span<const std::byte> file);

}  // namespace attn
