#pragma once
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "lib/kernels/dispatch.hpp"
#include "lib/kernels/sets.hpp"

// What the tests of kernels have in common: the sets that this processor has, sizes, numbers, tolerances.

namespace attn::test {

using kernels::Index;

template <class T>
std::vector<const kernels::Table<T>*> tables() {
    std::vector<const kernels::Table<T>*> out;
#if defined(__x86_64__)
    for (const auto* t : {kernels::Sets<T>::sse2(), kernels::Sets<T>::avx2(), kernels::Sets<T>::avx512()})
#else
    for (const auto* t : {kernels::Sets<T>::neon()})
#endif
        if (kernels::is_available(t->name)) out.push_back(t);
    return out;
}

/// Sizes from 0 to 2 W + 1 and around the blocks.
inline std::vector<Index> sizes(Index width) {
    std::vector<Index> out;
    for (Index k = 0; k <= 2 * width + 1; ++k) out.push_back(k);
    for (const Index k :
         {4 * width - 1, 4 * width, 4 * width + 1, 8 * width + 3, Index{127}, Index{128}, Index{129}})
        out.push_back(k);
    return out;
}

template <class T>
struct Numbers {
    std::mt19937 random{7};
    std::normal_distribution<double> normal;
    std::vector<T> of(Index n) {
        std::vector<T> x(static_cast<std::size_t>(n));
        for (T& v : x) v = static_cast<T>(normal(random));
        return x;
    }
};

/// What a chain of n roundings may be off by, times a small constant.
template <class T>
double tolerance(double magnitude, Index n) {
    return (2 + static_cast<double>(n)) * std::numeric_limits<T>::epsilon() * (magnitude + 1e-30);
}

template <class T>
std::string name(const kernels::Table<T>& t, const char* kernel, Index m, Index n, Index depth) {
    return std::string(t.name) + (sizeof(T) == 4 ? " float32 " : " float64 ") + kernel + " " +
           std::to_string(m) + " x " + std::to_string(n) + ", depth " + std::to_string(depth);
}

}  // namespace attn::test
