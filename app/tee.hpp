#pragma once
#include <memory>
#include <vector>

#include "app/destination.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// One computation for several destinations. A destination whose reader leaves gets no more; when none is
/// left, ClosedPipe is thrown.
class Tee : public Sink {
  public:
    struct Part {
        Destination* to;
        std::unique_ptr<Sink> sink;
        bool done = false;  ///< has had all that it wants
    };

    /// Takes those of `parts` that are not done and take the same order as the first of them.
    explicit Tee(std::vector<Part>& parts);
    bool empty() const { return parts_.empty(); }

    bool stage_by_stage() const override { return stage_by_stage_; }
    void begin(const Plan& plan) override;
    void begin_stage(const Plan& plan, const PlannedStage& stage) override;
    void rows(const Rows& rows) override;
    void end_stage(const PlannedStage& stage) override;
    void end(const std::vector<std::string>& warnings) override;

  private:
    template <class F>
    void each(F f);

    std::vector<Part*> parts_;
    bool stage_by_stage_ = false;
};

}  // namespace attn
