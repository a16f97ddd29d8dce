#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/input/numbers.hpp"
#include "lib/shape.hpp"

namespace attn {

/// A type of numbers of GGUF files. Numbers stand in blocks, which run along a row.
struct GgufType {
    std::uint32_t number;
    std::string_view name;
    Index numbers = 0, bytes = 0;    ///< of a block; 0: no file may hold it
    std::optional<Element> plain{};  ///< what it is read as where it is stored
    /// Writes the numbers of the block that begins there, each product and sum rounded to float32 once.
    void (*block)(const std::byte*, float*) = nullptr;
    std::string_view refused{};  ///< why its numbers are not read

    bool is_read() const { return plain.has_value() || block != nullptr; }
};

/// The row of a number in the table of types (ggml include/ggml.h, enum ggml_type), or null.
const GgufType* gguf_type(std::uint32_t number);

/// In words, for those who have another.
std::string gguf_types_read();

/// All `count` numbers of a type that has a function for its blocks; `bytes` holds those blocks.
Numbers numbers_of_blocks(const GgufType& type, std::span<const std::byte> bytes, Index count);

}  // namespace attn
