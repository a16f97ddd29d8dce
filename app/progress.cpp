#include "app/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

namespace attn {
namespace {

constexpr auto first_wait = std::chrono::milliseconds(500);
constexpr auto next_wait = std::chrono::milliseconds(100);

void send(const std::string& text) {
    [[maybe_unused]] const ssize_t sent = ::write(STDERR_FILENO, text.data(), text.size());
}

std::string rounded(double v, const char* unit) {
    const bool large = v >= 1e9, medium = v >= 1e6;
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.3g %s%s a second",
                  v / (large    ? 1e9
                       : medium ? 1e6
                                : 1e3),
                  large    ? "billion "
                  : medium ? "million "
                           : "thousand ",
                  unit);
    return text.data();
}

std::string left(double seconds) {
    const double whole = std::ceil(seconds);
    if (whole < 100) return std::to_string(static_cast<int>(whole)) + " s left";
    return std::to_string(static_cast<long>(std::ceil(whole / 60))) + " min left";
}

}  // namespace

double shown_elements(const Plan& plan) {
    double sum = 0;
    for (const PlannedStage& stage : plan.stages)
        if (stage.shown) sum += static_cast<double>(element_count(plan.shown_shape(stage)).value_or(0));
    return sum;
}

std::string progress_line(const std::string& what, double done, double total, const char* unit,
                          double seconds) {
    const double share = total > 0 ? std::min(1.0, done / total) : 0;
    std::string line = "attn-calc: " + what + " " + std::to_string(static_cast<int>(100 * share)) + " %";
    if (seconds > 0 && done > 0)
        line +=
            ", " + rounded(done / seconds, unit) + ", " + left(seconds * (1 - share) / std::max(share, 1e-9));
    return line;
}

Progress::Progress(Sink& next, const Plan& plan)
    : next_(next),
      total_(shown_elements(plan)),
      operations_(plan.flops),
      begun_(Clock::now()),
      writing_begun_(begun_),
      last_(begun_) {}

Progress::~Progress() { wipe(); }

void Progress::show(const std::string& what, double done, double total, const char* unit,
                    Clock::time_point begun) {
    const auto now = Clock::now();
    if (now - last_ < (width_ > 0 ? next_wait : first_wait)) return;
    last_ = now;
    const std::string line =
        progress_line(what, done, total, unit, std::chrono::duration<double>(now - begun).count());
    send("\r" + line + std::string(width_ > line.size() ? width_ - line.size() : 0, ' '));
    width_ = std::max(width_, line.size());
}

void Progress::rows(const Rows& rows) {
    if (done_ == 0) writing_begun_ = Clock::now();
    next_.rows(rows);
    done_ += static_cast<double>(rows.row_count() * rows.column_count());
    show(std::string(rows.stage->name), done_, total_, "numbers", writing_begun_);
}

void Progress::working(Stage stage, double share) {
    show("computing " + std::string(info_of(stage).name), share * operations_, operations_, "operations",
         begun_);
}

void Progress::end(const std::vector<std::string>& warnings) {
    wipe();
    next_.end(warnings);
}

void Progress::wipe() {
    if (width_ > 0) send("\r" + std::string(width_, ' ') + "\r");
    width_ = 0;
}

}  // namespace attn
