#pragma once
#include <functional>
#include <span>

#include "lib/shape.hpp"

namespace attn::gradient {

/// Rows of numbers that stand somewhere, each row dense; null where there are none.
template <class T>
struct RowsOf {
    T* data = nullptr;
    Index stride = 0;  ///< elements from row to row

    T* row(Index i) const { return data + i * stride; }
    explicit operator bool() const { return data != nullptr; }
};

/// A query of a state, and the gradient of its context.
struct StateReader {
    Index after = 0;                    ///< tokens whose state it reads; 0: the past
    const double* query = nullptr;      ///< [dim]
    const double* d_context = nullptr;  ///< [value_dim]
    double* d_query = nullptr;          ///< [dim], is added to
};

/// Steps through time that are left out: for those who look for mistakes.
struct StateQuirks {
    bool normalizer_constant = false;    ///< the sum of keys gets nothing
    bool state_identity = false;         ///< of the delta rule: what it erases is not taken from d of S'
    bool error_constant = false;         ///< of the delta rule: u has no keys in it
    bool no_decay = false;               ///< d of the state before is d of S'
    bool not_carried = false;            ///< d of the state before is 0
    bool decay_of_state_before = false;  ///< dg with the state before, not decayed
};

/// What one state was made from: linear attention or the delta rule, one batch item and head of values.
struct StateInputs {
    bool delta = false, normalizer = false;
    Index tokens = 0, dim = 0, value_dim = 0;
    double scale = 1;  ///< of contexts
    RowsOf<const double> keys, values;
    RowsOf<const double> decay, beta;                      ///< logarithms of decays; rates
    bool decay_by_column = false, beta_by_column = false;  ///< one for each column of keys, of values
    const double* past = nullptr;                          ///< [dim, value_dim], the first state; null: zeros
    const double* d_state = nullptr;  ///< the same: what enters at the last state; null: nothing
    StateQuirks quirks{};
};

/// Where the gradients go: keys' are added to (heads of values may share keys), the others are written. None
/// of those is -0. What is null is not wanted.
struct StateGradients {
    RowsOf<double> keys, values, decay, beta;
    double* past = nullptr;  ///< [dim, value_dim]
    /// Called for each token, the last one first, with the gradient of the state after it.
    std::function<void(Index token, const double* state)> each_state;
};

/// The backward pass of a recurrence, from the last token to the first: the chain rule of S' = e^g S and
/// S = S' + k vᵀ or S = S' + k uᵀ, u = b (v - S'ᵀ k). Of √tokens tokens one state is kept, those between are
/// computed again: 2 √tokens states in memory. Nothing is divided by a decay.
/// \param readers sorted by `after`
void walk_back(const StateInputs& in, std::span<const StateReader> readers, const StateGradients& out);

}  // namespace attn::gradient
