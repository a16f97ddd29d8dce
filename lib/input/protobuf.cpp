#include "lib/input/protobuf.hpp"

#include <string>

#include "lib/error.hpp"

namespace attn {

std::uint64_t WireReader::varint() {
    constexpr std::size_t longest = 10;
    std::uint64_t out = 0;
    for (std::size_t k = 0; k < longest; ++k) {
        if (k == left_.size()) fail("", "ends inside a number of " + std::string(of_));
        const auto byte = std::to_integer<std::uint64_t>(left_[k]);
        if (k + 1 == longest && byte > 1) break;
        out |= (byte & 0x7FU) << (7 * k);
        if ((byte & 0x80U) != 0) continue;
        left_ = left_.subspan(k + 1);
        return out;
    }
    fail("", "holds a varint of more than 64 bits (10 bytes) in " + std::string(of_));
}

std::span<const std::byte> WireReader::take(std::uint64_t size) {
    if (size > left_.size())
        fail("", "has a field of " + std::to_string(size) + " bytes in " + std::string(of_) + ", but only " +
                     std::to_string(left_.size()) + " bytes are left to its end");
    const auto out = left_.first(static_cast<std::size_t>(size));
    left_ = left_.subspan(out.size());
    return out;
}

std::optional<WireField> WireReader::next() {
    if (left_.empty()) return std::nullopt;
    const std::uint64_t tag = varint(), number = tag >> 3U, wire = tag & 7U;
    constexpr std::uint64_t most = (std::uint64_t{1} << 29U) - 1;
    if (number == 0 || number > most)
        fail("", "has a field of the number " + std::to_string(number) + " in " + std::string(of_) +
                     ": it is no message of protocol buffers");
    WireField out{static_cast<std::uint32_t>(number), static_cast<Wire>(wire), 0, {}};
    switch (out.wire) {
        case Wire::varint:
            out.value = varint();
            return out;
        case Wire::fixed64:
            out.bytes = take(8);
            return out;
        case Wire::fixed32:
            out.bytes = take(4);
            return out;
        case Wire::bytes:
            out.bytes = take(varint());
            return out;
    }
    fail("", "has field " + std::to_string(number) + " of " + std::string(of_) + " of the wire type " +
                 std::to_string(wire) +
                 (wire == 3 || wire == 4 ? ", a group: not read" : ", which there is not"));
}

}  // namespace attn
