#pragma once
#include <cstdint>
#include <limits>

#include "lib/plan/plan.hpp"
#include "lib/run/mask.hpp"

namespace attn::ops {

// One short function per stage operation, on one row of `keys` cells.
// hidden: 1 where the mask hides the cell; added: numbers of additive masks; both may be null.

/// out = in for the keys that are seen (a hole is not) and for those from `always` on, `elsewhere` for the
/// others
template <class T>
void keep_range(const T* in, T* out, Index keys, Visible seen, Index always, T elsewhere);

/// v · tanh(query + key) over `dim` columns; in half precision the sum and its tanh are rounded first.
template <class T>
T additive_score(const T* query, const T* key, const T* v, Index dim, Rounding rounding);

/// out = c · tanh(in / c), in double; quotient and tanh are rounded
template <class T>
void cap(const T* in, T* out, Index keys, double c, Rounding rounding = {});

/// out = 1 / (1 + exp(-in)), in double; 0 for -inf
template <class T>
void sigmoid(const T* in, T* out, Index keys);

/// As softmax, with one more score that carries no value.
template <class T>
void softmax_with_sink(const T* in, T* out, Index keys, double sink);

/// out = -inf where hidden, else in + added
template <class T>
void mask_scores(const T* in, T* out, Index keys, const std::uint8_t* hidden, const T* added);

/// Some key has a score above -inf (or NaN): the row is not empty.
template <class T>
bool sees_a_key(const T* scores, Index keys);

/// out = exp(in - max) / sum. A NaN anywhere makes the whole row NaN, as does an infinite maximum.
template <class T>
void softmax(const T* in, T* out, Index keys);
/// The same numbers where all but the keys from ... to - 1 have -inf: these are not looked at, unless the row
/// is one of NaN.
template <class T>
void softmax_within(const T* in, T* out, Index keys, Index from, Index to);

/// out = in / sum, which is rounded, over the cells that are not -inf; those get 0.
template <class T>
void divide_by_sum(const T* in, T* out, Index keys, Rounding rounding);

/// A row whose keys are all masked: zeros, NaN, or 1 / keys.
template <class T>
void fill_empty(T* out, Index keys, EmptyRows policy);

/// A number of such a row's context, where it is not the mean of the values.
template <class T>
constexpr T empty_context(EmptyRows policy) {
    return policy == EmptyRows::nan ? std::numeric_limits<T>::quiet_NaN() : T{0};
}

/// log(Σ e^score) of a row, with one more score (a sink, or -inf) in the sum; -inf where all of them are.
template <class T>
T log_of_sum(const T* scores, Index keys, double sink);

/// out = 0 where hidden, else in
template <class T>
void mask_weights(const T* in, T* out, Index keys, const std::uint8_t* hidden);

/// out = in / sum of in, which is rounded
template <class T>
void renormalize(const T* in, T* out, Index keys, Rounding rounding);

/// out = in * (keep / (1 - p)): the noise is rounded first, as PyTorch does.
template <class T>
void drop(const T* in, T* out, Index keys, const std::uint8_t* keep, T kept_factor);

// Of one number, in double.

/// 1 / (1 + e^-x)
double sigmoid(double x);
/// What a context is multiplied by: sigmoid(g), or g · sigmoid(g) (SiLU).
double opening(GateActivation activation, double g);
/// -rate · softplus(x), softplus(x) = log(1 + e^x): the logarithm of a decay (Gu and Dao 2023, section 3.6).
double log_decay(double rate, double x);

}  // namespace attn::ops
