#pragma once
#include "lib/kernels/kernels.hpp"

namespace attn::kernels {

// One instantiation of the body for each instruction set, each in a file with flags of its own.
template <class T>
struct Sets {
    static const Table<T>* sse2();
    static const Table<T>* avx2();
    static const Table<T>* avx512();
    static const Table<T>* neon();
};

}  // namespace attn::kernels
