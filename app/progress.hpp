#pragma once
#include <chrono>
#include <optional>
#include <string>

#include "lib/run/sink.hpp"

namespace attn {

/// Passes everything on and, once half a second has gone, shows on standard error what is being done: stage,
/// share of the whole, rate, time left, clipped to the terminal.
class Progress : public Sink {
  public:
    Progress(Sink& next, const Plan& plan);
    ~Progress() override;

    bool stage_by_stage() const override { return next_.stage_by_stage(); }
    void begin(const Plan& plan) override { next_.begin(plan); }
    void begin_stage(const Plan& plan, const PlannedStage& stage) override { next_.begin_stage(plan, stage); }
    void rows(const Rows& rows) override;
    bool gives_memory() const override { return next_.gives_memory(); }
    void* memory_of(const Rows& rows) override { return next_.memory_of(rows); }
    void end_stage(const PlannedStage& stage) override { next_.end_stage(stage); }
    void working(Stage stage, double share) override;
    void end(const std::vector<std::string>& warnings) override;

  private:
    using Clock = std::chrono::steady_clock;
    /// `share` of everything, and `done` things called `unit` since `begun`.
    void show(const std::string& what, double share, double done, const char* unit, Clock::time_point begun);
    void wipe();

    Sink& next_;
    double total_ = 0, done_ = 0, operations_ = 0;
    double share_ = 0;  ///< that was shown last: it never becomes less
    bool computed_ = false;
    Clock::time_point begun_, writing_begun_, last_;
    std::size_t width_ = 0;  ///< columns of the line that stands there
};

/// The same of many documents: how many, their rate, the share of their file and the time left.
class DocumentProgress {
  public:
    DocumentProgress() : begun_(Clock::now()), last_(begun_) {}
    DocumentProgress(const DocumentProgress&) = delete;
    DocumentProgress& operator=(const DocumentProgress&) = delete;
    ~DocumentProgress() { wipe(); }

    /// `share`: of the whole, where that is known.
    void show(double documents, std::optional<double> share);
    void wipe();

  private:
    using Clock = std::chrono::steady_clock;

    Clock::time_point begun_, last_;
    std::size_t width_ = 0;  ///< columns of the line that stands there
};

/// The number of elements that a plan shows.
double shown_elements(const Plan& plan);
/// "attn-calc: weights 34 %, 12.3 M numbers/s, 8 s left": `share` was done in so many seconds.
std::string progress_line(const std::string& what, double share, double rate, const char* unit,
                          double seconds);

}  // namespace attn
