#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// A plan with its tensors drawn or converted and its workers waiting: can be run again and again, in the
/// same memory.
class Computation {
  public:
    /// `plan` has to outlive it.
    explicit Computation(const Plan& plan);
    ~Computation();
    Computation(Computation&&) noexcept;
    Computation& operator=(Computation&&) noexcept;

    /// Computes what the plan shows and pushes it into `sink`: begin, rows, end. Returns the warnings (those
    /// of planning first), one of a kind. Memory grows with (queries + keys) x width and the row block, not
    /// with queries x keys.
    std::vector<std::string> run(Sink& sink);

  private:
    struct Executors;
    const Plan* plan_;
    std::unique_ptr<Executors> executors_;
};

/// Runs a plan once, and again for as long as the sink wants it.
std::vector<std::string> run(const Plan& plan, Sink& sink);

}  // namespace attn
