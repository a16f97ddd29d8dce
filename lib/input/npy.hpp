#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "lib/input/numbers.hpp"
#include "lib/shape.hpp"

namespace attn {

/// The header of a .npy file (numpy lib/_format_impl.py, versions 1.0, 2.0, 3.0).
struct NpyHeader {
    Shape shape;
    Element element = Element::float64;
    bool swapped = false;        ///< in the other byte order
    bool fortran = false;        ///< the first axis runs fastest
    std::size_t data_begin = 0;  ///< bytes from the start of the file
    std::string unread{};        ///< a type whose numbers are not read, as the header calls it

    std::size_t data_size() const {
        return static_cast<std::size_t>(*element_count(shape) * size_of(element));
    }
};

/// Reads the header of a file of `total` bytes, of which `bytes` are the first. Whether it is cut is said by
/// an Error; the numbers need not be among `bytes`. Types other than real numbers and booleans are `unread`.
/// \throws Error (exit 3): another version, a dictionary that is none, sizes that do not fit `total`.
NpyHeader read_npy_header(std::span<const std::byte> bytes, std::size_t total);

/// Says which types are read. \throws Error (exit 3)
[[noreturn]] void refuse_unread_type(const std::string& descr);

/// The bytes of a header at the beginning of `bytes`, or 0 where they are too few to tell.
std::size_t npy_header_size(std::span<const std::byte> bytes);

/// The numbers behind a header, row-major: in place but for Fortran order.
Numbers npy_numbers(const NpyHeader& header, std::shared_ptr<const void> keeper,
                    std::span<const std::byte> bytes, bool is_mapped);

}  // namespace attn
