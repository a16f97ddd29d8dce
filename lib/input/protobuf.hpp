#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace attn {

/// How a field of a message stands in its bytes.
enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct WireField {
    std::uint32_t number = 0;
    Wire wire = Wire::varint;
    std::uint64_t value = 0;             ///< of a varint
    std::span<const std::byte> bytes{};  ///< what the field holds; of a varint nothing
};

/// The fields of one message of protocol buffers, in the order of its bytes; none is looked into.
/// Source: protobuf.dev/programming-guides/encoding.
class WireReader {
  public:
    /// `of`: what the message is, for errors: "a tensor".
    WireReader(std::span<const std::byte> message, std::string_view of) : left_(message), of_(of) {}

    /// The next field, or nothing at the end.
    /// \throws Error (exit 3): a field that goes past the end, a varint of more than 64 bits, a group
    std::optional<WireField> next();

    /// One varint of a packed list. There has to be one.
    std::uint64_t varint();
    bool at_end() const { return left_.empty(); }

  private:
    std::span<const std::byte> take(std::uint64_t size);

    std::span<const std::byte> left_;
    std::string_view of_;
};

}  // namespace attn
