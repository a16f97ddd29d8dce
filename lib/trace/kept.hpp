#pragma once
#include <array>
#include <map>

#include "lib/run/arena.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// Keeps every shown stage in memory, in the plan's type. Stages of queries x keys are computed where they
/// are kept. A second run of the same plan uses the same memory.
class KeptTrace : public Sink {
  public:
    bool stage_by_stage() const override { return false; }
    bool gives_memory() const override { return true; }
    void begin(const Plan& plan) override;
    void rows(const Rows& rows) override;
    void* memory_of(const Rows& rows) override;

    /// Row-major numbers of a stage as shown; null where it is not kept.
    const void* data(Stage stage) const { return stages_[idx(stage)]; }

  private:
    const Plan* plan_ = nullptr;
    Arena arena_;
    std::array<char*, stage_count> stages_{};
    std::map<const PlannedStage*, char*> gradients_;
};

/// Where rows begin among the shown numbers of their stage.
Index first_number_of(const Plan& plan, const Rows& rows);

}  // namespace attn
