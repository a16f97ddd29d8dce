#include "lib/shape.hpp"

#include <numeric>

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

Shape four_axes(const Shape& shape) {
    Shape four(4 - shape.size(), 1);
    four.insert(four.end(), shape.begin(), shape.end());
    return four;
}

std::vector<Index> counted(Index n, Index from) {
    std::vector<Index> numbers(static_cast<std::size_t>(n));
    std::iota(numbers.begin(), numbers.end(), from);
    return numbers;
}

}  // namespace attn
