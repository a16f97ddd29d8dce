#pragma once
#include <cstdint>

namespace attn::kernels {

using Index = std::int64_t;

/// The kernels of one instruction set. Matrices are row-major with a leading dimension (elements from row to
/// row). Every result depends on its own row and column only, never on how many rows are asked for at once.
template <class T>
struct Table {
    const char* name;
    /// c[m, n] = a[m, depth] · b[n, depth]ᵀ. Partial sums of 512 products are added in double.
    void (*dot_rows)(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                     Index depth);
    /// c[m, n] = a[m, depth] · b[depth, n]. Partial sums of 128 products are added in double.
    void (*multiply)(const T* a, Index lda, const T* b, Index ldb, T* c, Index ldc, Index m, Index n,
                     Index depth);
};

/// The kernels in use.
template <class T>
const Table<T>& table();

extern template const Table<float>& table<float>();
extern template const Table<double>& table<double>();

}  // namespace attn::kernels
