#pragma once
#include <cstdint>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/materialize.hpp"
#include "lib/tensor.hpp"

namespace attn {

/// What the rules of a plan do to one row: which keys are hidden, and what is added to their scores.
template <class T>
class Mask {
  public:
    Mask(const Plan& plan, const Tensors<T>& tensors);

    bool adds() const { return !added_.empty(); }
    /// hidden[keys]: 1 where some rule hides the key. A number -inf that is added hides, too.
    void hide(Index batch, Index head, Index query, std::uint8_t* hidden) const;
    /// added[keys]: the sum of the additive masks.
    void add(Index batch, Index head, Index query, T* added) const;

  private:
    struct Rule {
        std::uint8_t hides_when;  ///< drop: 1, keep: 0
        Tensor4<std::uint8_t> cells;
    };

    const Plan& plan_;
    std::vector<Rule> rules_;
    std::vector<Tensor4<T>> added_;
};

}  // namespace attn
