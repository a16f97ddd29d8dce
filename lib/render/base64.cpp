#include "lib/render/base64.hpp"

#include <cstdint>

namespace attn {

void append_base64(std::string& out, std::string_view bytes) {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t start = out.size();
    out.resize(start + (bytes.size() + 2) / 3 * 4, '=');
    char* to = out.data() + start;
    const auto byte = [&](std::size_t k) {
        return k < bytes.size() ? static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[k])) : 0U;
    };
    for (std::size_t k = 0; k < bytes.size(); k += 3, to += 4) {
        const std::uint32_t three = byte(k) << 16U | byte(k + 1) << 8U | byte(k + 2);
        for (std::size_t n = 0; n < 4 && k + n <= bytes.size(); ++n)
            to[n] = letters[three >> (18U - 6U * n) & 63U];
    }
}

}  // namespace attn
