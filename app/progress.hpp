#pragma once
#include <chrono>

#include "lib/run/sink.hpp"

namespace attn {

/// Passes everything on and, once half a second has gone, shows on standard error how much has come by.
class Progress : public Sink {
  public:
    Progress(Sink& next, const Plan& plan);
    ~Progress() override;

    bool stage_by_stage() const override { return next_.stage_by_stage(); }
    void begin(const Plan& plan) override { next_.begin(plan); }
    void begin_stage(const Plan& plan, const PlannedStage& stage) override { next_.begin_stage(plan, stage); }
    void rows(const Rows& rows) override;
    void end_stage(const PlannedStage& stage) override { next_.end_stage(stage); }
    void end(const std::vector<std::string>& warnings) override;

  private:
    void wipe();

    Sink& next_;
    double total_ = 0, done_ = 0;
    std::chrono::steady_clock::time_point last_;
    bool shown_ = false;
};

/// The number of elements that a plan shows.
double shown_elements(const Plan& plan);

}  // namespace attn
