#pragma once
#include <map>
#include <string>
#include <vector>

#include "lib/run/sink.hpp"

namespace attn {

/// Keeps every shown stage in memory, as doubles: for tests and benchmarks. Stages arrive as row blocks are
/// done.
class Recorder : public Sink {
  public:
    struct Recorded {
        Shape shape;                 ///< as shown
        std::vector<double> values;  ///< row-major
    };

    bool stage_by_stage() const override { return stage_by_stage_; }
    void begin(const Plan& plan) override;
    void rows(const Rows& rows) override;
    void end(const std::vector<std::string>& warnings) override { warnings_ = warnings; }

    explicit Recorder(bool one_stage_after_another = false) : stage_by_stage_(one_stage_after_another) {}
    const std::map<std::string, Recorded, std::less<>>& stages() const { return stages_; }
    /// The same for keeps: nothing is left here.
    std::map<std::string, Recorded, std::less<>> take_stages() { return std::move(stages_); }
    const std::vector<std::string>& warnings() const { return warnings_; }

  private:
    bool stage_by_stage_;
    const Plan* plan_ = nullptr;
    std::map<std::string, Recorded, std::less<>> stages_;
    std::vector<std::string> warnings_;
};

}  // namespace attn
