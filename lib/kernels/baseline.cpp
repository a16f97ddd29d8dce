#include "lib/kernels/body.hpp"

namespace attn::kernels {
namespace {

/// What every processor of the platform has: SSE2 on x86-64, NEON on aarch64.
using Baseline = xsimd::default_arch;

template <class T>
constinit const Table<T> baseline = Body<T, Baseline>::make("baseline");

}  // namespace

template <class T>
const Table<T>& table() {
    return baseline<T>;
}

template const Table<float>& table<float>();
template const Table<double>& table<double>();

}  // namespace attn::kernels
