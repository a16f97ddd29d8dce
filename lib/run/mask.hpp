#pragma once
#include <cstdint>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/materialize.hpp"
#include "lib/tensor.hpp"

namespace attn {

/// Keys from ... to - 1, but for those from `hole_from` on and before `hole_to`.
struct Visible {
    Index from = 0, to = 0;
    Index hole_from = 0, hole_to = 0;  ///< within from ... to; equal: no hole
};

/// What the rules of a plan do to one row: which keys are hidden, and what is added to their scores.
template <class T>
class Mask {
  public:
    Mask(const Plan& plan, const Tensors<T>& tensors);

    bool adds() const { return !added_.empty(); }
    /// Some rule looks at single cells: not only from which key to which a query sees.
    bool has_cells() const { return adds() || !rules_.empty(); }
    /// What a query sees may have a hole.
    bool has_holes() const { return !plan_.prefix.empty(); }
    /// The given keys that causal, window, chunk, prefix, blocks and lengths leave to a query: both ends grow
    /// with the query or stay. Appended keys, which come after them, are always visible.
    Visible visible(Index batch, Index query) const;
    /// No given key is visible to the query.
    bool hides_all(Index batch, Index head, Index query) const;
    /// hidden[keys]: 1 where some rule hides the key. A number -inf that is added hides, too.
    void hide(Index batch, Index head, Index query, std::uint8_t* hidden) const;
    /// added[keys]: the sum of the additive masks.
    void add(Index batch, Index head, Index query, T* added) const;

    /// scores[k1 - k0] of keys k0 ... k1 - 1: -inf where a rule hides the key.
    void hide_scores(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const;
    /// The same, plus the additive masks.
    void add_to_scores(Index batch, Index head, Index query, Index k0, Index k1, T* scores) const;

  private:
    struct Rule {
        std::uint8_t hides_when;  ///< drop: 1, keep: 0
        Tensor4<std::uint8_t> cells;
    };

    const Plan& plan_;
    /// Plan::own_block of each batch item and key.
    std::vector<std::vector<TokenBlock>> own_blocks_;
    std::vector<Rule> rules_;
    std::vector<Tensor4<T>> added_;
};

}  // namespace attn
