#include "lib/kernels/sets.hpp"

#if defined(__aarch64__)
#include "lib/kernels/body.hpp"

namespace attn::kernels {
namespace {
template <class T>
constinit const Table<T> set = Body<T, xsimd::default_arch>::make("neon");
}
template <>
const Table<float>* Sets<float>::neon() {
    return &set<float>;
}
template <>
const Table<double>* Sets<double>::neon() {
    return &set<double>;
}
}  // namespace attn::kernels
#endif
