#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/shape.hpp"

namespace attn {

struct SafetensorsEntry {
    std::string name;
    Shape shape;
    Element element = Element::float32;
    std::size_t begin = 0;  ///< bytes from the start of the file
};

struct SafetensorsHeader {
    std::vector<SafetensorsEntry> entries;  ///< in the order of the header
    bool has_metadata = false;
};

/// The header of a safetensors file, held against all its bytes (safetensors src/tensor.rs): 8 bytes of
/// length, at most 100 000 000; a JSON object; data without holes, overlaps and rest. \throws Error (exit 3)
SafetensorsHeader read_safetensors_header(std::span<const std::byte> file);

}  // namespace attn
