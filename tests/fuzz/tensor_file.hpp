#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/tensor_file.hpp"

namespace attn::fuzz {

/// A file of any bytes is refused with an error, or all its numbers can be read.
inline void read_file(const char* name, const std::uint8_t* data, std::size_t size) {
    // Memory of the file's own size, so that a byte behind it is seen by the sanitizer.
    const auto own = std::make_shared<std::vector<std::byte>>(size);
    for (std::size_t k = 0; k < size; ++k) (*own)[k] = static_cast<std::byte>(data[k]);
    try {
        const auto file = read_tensor_file(name, own, *own);
        for (std::size_t k = 0; k < file->tensors().size(); ++k) {
            const Numbers numbers = file->take(k);
            for (Index i = 0; i < numbers.size(); ++i) static_cast<void>(numbers[i]);
        }
    } catch (const Error& error) {
        if (error.code != Exit::input) throw;
    }
}

}  // namespace attn::fuzz
