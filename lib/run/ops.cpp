#include "lib/run/ops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/kernels/kernels.hpp"
#include "lib/plan/blocking.hpp"

namespace attn::ops {
namespace {

/// Sums of 256 are added in double, so that a row of a million equal weights still sums to 1.
template <class T>
double sum_of(const T* x, Index n) {
    double total = 0;
    for (Index from = 0; from < n; from += 256) {
        double part = 0;
        for (Index k = from; k < std::min(n, from + 256); ++k) part += static_cast<double>(x[k]);
        total += part;
    }
    return total;
}

template <class T>
constexpr T minus_infinity = -std::numeric_limits<T>::infinity();

}  // namespace

template <class T>
void keep_range(const T* in, T* out, Index keys, Visible seen, Index always, T elsewhere) {
    std::fill(out, out + seen.from, elsewhere);
    std::copy(in + seen.from, in + seen.to, out + seen.from);
    std::fill(out + seen.hole_from, out + seen.hole_to, elsewhere);
    std::fill(out + seen.to, out + always, elsewhere);
    std::copy(in + always, in + keys, out + always);
}

template <class T>
void mask_scores(const T* in, T* out, Index keys, const std::uint8_t* hidden, const T* added) {
    for (Index j = 0; j < keys; ++j) {
        const T score = added ? in[j] + added[j] : in[j];
        out[j] = hidden && hidden[j] ? minus_infinity<T> : score;
    }
}

template <class T>
bool sees_a_key(const T* scores, Index keys) {
    return std::any_of(scores, scores + keys, [](T s) { return s != minus_infinity<T>; });
}

template <class T>
void softmax(const T* in, T* out, Index keys) {
    const auto& kernel = kernels::table<T>();
    kernel.divide(out, out, keys, kernel.exponentials(in, out, keys));
}

template <class T>
void softmax_within(const T* in, T* out, Index keys, Index from, Index to) {
    // Whole parts of the sum, whole vectors: what is left out has added zeros.
    constexpr Index vector = blocking::widest;
    const Index begin = from / kernels::summed_together * kernels::summed_together,
                end = std::min((to + vector - 1) / vector * vector, keys);
    const auto& kernel = kernels::table<T>();
    const double sum = kernel.exponentials(in + begin, out + begin, end - begin);
    if (!std::isfinite(sum)) return softmax(in, out, keys);
    kernel.divide(out + begin, out + begin, end - begin, sum);
    std::fill(out, out + begin, T{0});
    std::fill(out + end, out + keys, T{0});
}

template <class T>
T additive_score(const T* query, const T* key, const T* v, Index dim, Rounding rounding) {
    if (!rounding.changes()) return kernels::table<T>().dot_tanh(query, key, v, dim);
    double sum = 0;
    for (Index k = 0; k < dim; ++k)
        sum +=
            static_cast<double>(rounding(std::tanh(rounding(query[k] + key[k])))) * static_cast<double>(v[k]);
    return static_cast<T>(sum);
}

template <class T>
void cap(const T* in, T* out, Index keys, double c, Rounding rounding) {
    for (Index j = 0; j < keys; ++j)
        out[j] = static_cast<T>(c * rounding(std::tanh(rounding(static_cast<double>(in[j]) / c))));
}

template <class T>
void sigmoid(const T* in, T* out, Index keys) {
    for (Index j = 0; j < keys; ++j) out[j] = static_cast<T>(sigmoid(static_cast<double>(in[j])));
}

template <class T>
void softmax_with_sink(const T* in, T* out, Index keys, double sink) {
    const auto& kernel = kernels::table<T>();
    const double max = static_cast<double>(*std::max_element(in, in + keys, [](T a, T b) { return a < b; }));
    const double sum = kernel.exponentials(in, out, keys);
    kernel.divide(out, out, keys, sum + std::exp(sink - max));
}

template <class T>
void divide_by_sum(const T* in, T* out, Index keys, Rounding rounding) {
    for (Index j = 0; j < keys; ++j) out[j] = in[j] == minus_infinity<T> ? T{0} : in[j];
    renormalize(out, out, keys, rounding);
    // A sum of 0 leaves hidden keys what they are.
    for (Index j = 0; j < keys; ++j)
        if (in[j] == minus_infinity<T>) out[j] = T{0};
}

template <class T>
void fill_empty(T* out, Index keys, EmptyRows policy) {
    const T value = policy == EmptyRows::zero  ? T{0}
                    : policy == EmptyRows::nan ? std::numeric_limits<T>::quiet_NaN()
                                               : T{1} / static_cast<T>(keys);
    std::fill(out, out + keys, value);
}

template <class T>
T log_of_sum(const T* scores, Index keys, double sink) {
    double max = sink;
    for (Index j = 0; j < keys; ++j) max = scores[j] > max ? static_cast<double>(scores[j]) : max;
    // A row of NaN has no maximum, and an infinite one no difference to it.
    if (max == -std::numeric_limits<double>::infinity())
        return std::any_of(scores, scores + keys, [](T s) { return std::isnan(s); })
                   ? std::numeric_limits<T>::quiet_NaN()
                   : minus_infinity<T>;
    double sum = std::exp(sink - max);
    for (Index from = 0; from < keys; from += 256) {
        double part = 0;
        for (Index k = from; k < std::min(keys, from + 256); ++k)
            part += std::exp(static_cast<double>(scores[k]) - max);
        sum += part;
    }
    return static_cast<T>(max + std::log(sum));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double opening(GateActivation activation, double g) {
    switch (activation) {
        case GateActivation::sigmoid:
            return sigmoid(g);
        case GateActivation::silu:
            return g * sigmoid(g);
        case GateActivation::softplus:
            break;
    }
    return softplus(g);
}

double log_decay(double rate, double x) { return -rate * softplus(x); }

template <class T>
void mask_weights(const T* in, T* out, Index keys, const std::uint8_t* hidden) {
    for (Index j = 0; j < keys; ++j) out[j] = hidden[j] ? T{0} : in[j];
}

template <class T>
void renormalize(const T* in, T* out, Index keys, Rounding rounding) {
    const double sum = rounding(sum_of(in, keys));
    for (Index j = 0; j < keys; ++j) out[j] = static_cast<T>(static_cast<double>(in[j]) / sum);
}

template <class T>
void drop(const T* in, T* out, Index keys, const std::uint8_t* keep, T kept_factor) {
    for (Index j = 0; j < keys; ++j) out[j] = in[j] * (keep[j] ? kept_factor : T{0});
}

#define ATTN_OPS(T)                                                                \
    template T additive_score(const T*, const T*, const T*, Index, Rounding);      \
    template void cap(const T*, T*, Index, double, Rounding);                      \
    template void sigmoid(const T*, T*, Index);                                    \
    template void softmax_with_sink(const T*, T*, Index, double);                  \
    template void keep_range(const T*, T*, Index, Visible, Index, T);              \
    template void mask_scores(const T*, T*, Index, const std::uint8_t*, const T*); \
    template bool sees_a_key(const T*, Index);                                     \
    template void softmax(const T*, T*, Index);                                    \
    template void softmax_within(const T*, T*, Index, Index, Index);               \
    template void divide_by_sum(const T*, T*, Index, Rounding);                    \
    template void fill_empty(T*, Index, EmptyRows);                                \
    template T log_of_sum(const T*, Index, double);                                \
    template void mask_weights(const T*, T*, Index, const std::uint8_t*);          \
    template void renormalize(const T*, T*, Index, Rounding);                      \
    template void drop(const T*, T*, Index, const std::uint8_t*, T);
ATTN_OPS(float)
ATTN_OPS(double)
#undef ATTN_OPS

}  // namespace attn::ops
