#pragma once
#include <functional>

#include "lib/kernels/kernels.hpp"
#include "lib/pool.hpp"
#include "lib/run/contexts.hpp"

namespace attn {

/// The path of variants that keep a state S [dim, value_dim] per head of keys and values in place of scores:
/// one token after another, S = e^g S + k vᵀ (Katharopoulos et al. 2020, equations 18 and 19; the decay: Yang
/// et al. 2024) or S = e^g S + b k (v - (e^g S)ᵀ k)ᵀ (Yang, Kautz and Hatamizadeh 2025, equation 10), and
/// context = scale Sᵀ q. States are kept in double, for float32 too: what is forgotten and added a thousand
/// times is rounded once.
template <class T>
class Recurrence {
  public:
    /// `decay`, `beta`: [batch, kv head, token, 1 or columns], null where there is none; `past`: the first
    /// states, row-major, or empty.
    Recurrence(const Operands<T>& operands, View<T> decay, View<T> beta, std::span<const T> past,
               Arena& arena, Pool& pool);

    /// Computes the shown rows of the operands' heads where there are contexts to fill, and with `to_the_end`
    /// the last states: otherwise no token after those that the rows read.
    void run(Contexts<T>* contexts, bool to_the_end);
    /// The last state of a head, [dim, value_dim], after a run to the end.
    const double* state(Index batch, Index kv_head) const {
        return states_ + (batch * plan_.kv_heads + kv_head) * plan_.dim * plan_.value_dim;
    }
    /// Calls f(token, state after it) for every token, in order.
    void each_state(Index batch, Index kv_head, const std::function<void(Index, const double*)>& f);

  private:
    /// Columns begin ... end - 1 of the state of one head, on their way through the tokens.
    struct Walk;
    void start(Walk& w) const;
    void step(Walk& w, Index token) const;
    void answer(Walk& w, Index first, Index last, const std::vector<Index>& heads,
                Contexts<T>& contexts) const;
    /// The token after which a query reads the state; -1: before the first.
    Index state_of(Index batch, Index query) const;

    const Operands<T>& operands_;
    const Plan& plan_;
    const PlannedState& rule_;
    View<T> decay_, beta_;
    std::span<const T> past_;
    Pool& pool_;
    const kernels::Table<double>& kernel_;
    double* states_;
};

}  // namespace attn
