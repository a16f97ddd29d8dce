#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/shape.hpp"

namespace attn {

/// What a file says of one tensor.
struct TensorHeader {
    std::string name;
    Shape shape;
    Element element = Element::float32;

    Index bytes() const { return *element_count(shape) * size_of(element); }
};

/// The bytes of a file of tensors but for the numbers. Where the numbers stand follows from names, shapes and
/// types alone, so that they can be written first, in any order.
struct TensorLayout {
    struct Part {
        std::string before;    ///< ends where the numbers begin
        Index data_begin = 0;  ///< bytes from the start of the file
    };
    std::vector<Part> parts;         ///< one for each tensor
    std::vector<std::size_t> order;  ///< of the parts in the file
    std::string after;
    Index after_begin = 0;
};

/// Whether numpy has this type: all but bfloat16.
bool has_numpy_type(Element e);

/// numpy.lib.format 1.0. The numbers begin at a multiple of 64 bytes.
TensorLayout npy_layout(const TensorHeader& tensor);

/// A zip of stored NAME.npy with a fixed date, and one more entry behind them (none without a name). Numbers
/// begin at multiples of 64 bytes, so they can be mapped. `crcs`: CRC-32 of the numbers of each tensor.
/// Zip64 only where a size or a place is beyond 4 GiB, or for more than 65535 entries (APPNOTE 6.3.10).
TensorLayout npz_layout(const std::vector<TensorHeader>& tensors, const std::vector<std::uint32_t>& crcs,
                        std::string_view extra_name, std::string_view extra);

/// safetensors 0.4: a JSON header, then the numbers without holes. Wider types come first, so that each
/// tensor is aligned. The header takes at least `least_header` bytes, padded with spaces.
/// `metadata`: the value of the name "attn_calc.json" in __metadata__; none where it is empty.
TensorLayout safetensors_layout(const std::vector<TensorHeader>& tensors, std::string_view metadata,
                                Index least_header);

/// CRC-32 of numbers that arrive in pieces, in any order.
class Crc32 {
  public:
    /// `after`: how many bytes follow the piece.
    void add(std::string_view piece, Index after);
    std::uint32_t value() const { return value_; }

  private:
    std::uint32_t value_ = 0;
};

}  // namespace attn
