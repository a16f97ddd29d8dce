#pragma once
#include <utility>

#include "lib/input/problem.hpp"

namespace attn::test {

/// Normal numbers of PyTorch's generator.
inline TensorSource drawn(Shape shape, std::uint64_t seed) {
    TensorSource t;
    t.kind = TensorSource::Kind::randn;
    t.shape = std::move(shape);
    t.seed = seed;
    return t;
}

}  // namespace attn::test
