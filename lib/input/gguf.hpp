#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/gguf_blocks.hpp"
#include "lib/input/numbers.hpp"
#include "lib/shape.hpp"

namespace attn {

/// A key of the metadata and its value: a number or a text, or an array of them.
struct GgufPair {
    std::string key;
    bool is_array = false;
    bool is_text = false;
    Numbers numbers{};                      ///< one, or those of an array, where the file holds them
    std::vector<std::string_view> texts{};  ///< in the file's own bytes
};

struct GgufTensor {
    std::string name;
    Shape shape;  ///< as numpy has it: the file has it in reverse
    const GgufType* type = nullptr;
    std::size_t begin = 0;  ///< bytes from the start of the file
    Index bytes = 0;
};

struct GgufHeader {
    std::vector<GgufPair> pairs;
    std::vector<GgufTensor> tensors;  ///< in the order of the file
};

/// Everything in a GGUF file but its numbers, held against all its bytes, which `keeper` keeps (ggml
/// docs/gguf.md, src/gguf.cpp): versions 2 and 3, little endian; no key and no name twice; no array of
/// arrays; data at multiples of the alignment, without holes, overlaps and rest. \throws Error (exit 3)
GgufHeader read_gguf_header(const std::shared_ptr<const void>& keeper, std::span<const std::byte> file);

/// The numbers of a tensor: in place, or calculated from blocks, as float32.
/// \throws Error (exit 3): a type that is only listed
Numbers gguf_numbers(const GgufTensor& tensor, const std::shared_ptr<const void>& keeper,
                     std::span<const std::byte> file);

}  // namespace attn
