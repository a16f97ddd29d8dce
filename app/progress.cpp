#include "app/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <string>

namespace attn {
namespace {

constexpr auto first_wait = std::chrono::milliseconds(500);
constexpr auto next_wait = std::chrono::milliseconds(100);

void show(const std::string& text) {
    [[maybe_unused]] const ssize_t sent = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

double shown_elements(const Plan& plan) {
    double sum = 0;
    for (const PlannedStage& stage : plan.stages)
        if (stage.shown) sum += static_cast<double>(element_count(plan.shown_shape(stage)).value_or(0));
    return sum;
}

Progress::Progress(Sink& next, const Plan& plan)
    : next_(next), total_(shown_elements(plan)), last_(std::chrono::steady_clock::now()) {}

Progress::~Progress() { wipe(); }

void Progress::rows(const Rows& rows) {
    next_.rows(rows);
    done_ += static_cast<double>(rows.row_count() * rows.column_count());
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < (shown_ ? next_wait : first_wait)) return;
    last_ = now;
    shown_ = true;
    show("\rattn-calc: " +
         std::to_string(static_cast<int>(std::min(100.0, 100 * done_ / std::max(1.0, total_)))) + " % ");
}

void Progress::end(const std::vector<std::string>& warnings) {
    wipe();
    next_.end(warnings);
}

void Progress::wipe() {
    if (shown_) show("\r                   \r");
    shown_ = false;
}

}  // namespace attn
