#include "lib/kernels/sets.hpp"

#if defined(__x86_64__)
#include "lib/kernels/body.hpp"

namespace attn::kernels {
namespace {
template <class T>
constinit const Table<T> set = Body<T, xsimd::default_arch>::make("avx512");
}
template <>
const Table<float>* Sets<float>::avx512() {
    return &set<float>;
}
template <>
const Table<double>* Sets<double>::avx512() {
    return &set<double>;
}
}  // namespace attn::kernels
#endif
