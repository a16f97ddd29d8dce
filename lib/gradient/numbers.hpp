#pragma once
#include <array>
#include <vector>

#include "lib/run/operands.hpp"
#include "lib/shape.hpp"

namespace attn::gradient {

/// Gradients of one stage in double, row-major [batch, head, token, width]; zeros at first.
struct Grads {
    std::array<Index, 4> shape{};
    std::vector<double> values;

    Grads() = default;
    explicit Grads(const std::array<Index, 4>& s) : shape(s), values(idx(s[0] * s[1] * s[2] * s[3])) {}
    double* row(Index b, Index h, Index t) {
        return values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    }
    const double* row(Index b, Index h, Index t) const {
        return values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    }
    View<double> view() const {
        return {values.data(), shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3]};
    }
    Index size() const { return static_cast<Index>(values.size()); }
};

}  // namespace attn::gradient
