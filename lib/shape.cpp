#include "lib/shape.hpp"

namespace attn {

std::string to_string(const Shape& shape) {
    std::string out = "[";
    for (std::size_t k = 0; k < shape.size(); ++k) out += (k ? ", " : "") + std::to_string(shape[k]);
    return out + "]";
}

std::optional<Index> element_count(const Shape& shape) {
    Index n = 1;
    for (const Index axis : shape)
        if (axis < 0 || __builtin_mul_overflow(n, axis, &n)) return std::nullopt;
    return n;
}

}  // namespace attn
