#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lib/run/sink.hpp"

namespace attn::gradient {

/// The backward pass of a plan, pushed into a sink behind the forward stages; its stages of queries x keys
/// are computed again where they are shown, row block by row block: nothing that is held grows with queries x
/// keys. In the plan's type where backward_needs() says fused, else in double.
class Gradients {
  public:
    /// `plan` has to outlive it, and has a gradient.
    explicit Gradients(const Plan& plan);
    ~Gradients();
    Gradients(Gradients&&) noexcept;
    Gradients& operator=(Gradients&&) noexcept;

    /// Computes and pushes the gradients that the plan shows, in its order. Returns the warnings.
    std::vector<std::string> run(Sink& sink);

    struct State;

  private:
    std::unique_ptr<State> state_;
};

}  // namespace attn::gradient
