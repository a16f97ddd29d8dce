#include "app/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "app/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr auto first_wait = std::chrono::milliseconds(500);
constexpr auto next_wait = std::chrono::milliseconds(100);

void send(const std::string& text) {
    [[maybe_unused]] const ssize_t sent = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Three digits and a step of SI: "2.4 T".
std::string rounded(double v) {
    constexpr std::array<const char*, 7> steps{"", "k", "M", "G", "T", "P", "E"};
    std::size_t step = 0;
    for (; v >= 999.5 && step + 1 < steps.size(); ++step) v /= 1000;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.3g %s", v, steps[step]);
    return text.data();
}

/// Puts a line over one of `before` columns; returns its columns.
std::size_t put_line(const std::string& whole, std::size_t before) {
    // The last column stays free: a line that fills it would move the next one down.
    const std::string line = clip(whole, columns_of(STDERR_FILENO) - 1);
    const auto columns = static_cast<std::size_t>(display_width(line));
    send("\r" + line + std::string(before > columns ? before - columns : 0, ' '));
    return columns;
}

std::size_t wipe_line(std::size_t columns) {
    if (columns > 0) send("\r" + std::string(columns, ' ') + "\r");
    return 0;
}

std::string left(double seconds) {
    const double whole = std::ceil(seconds);
    if (whole < 100) return std::to_string(static_cast<int>(whole)) + " s left";
    return std::to_string(static_cast<long>(std::ceil(whole / 60))) + " min left";
}

}  // namespace

double shown_elements(const Plan& plan) {
    double sum = 0;
    for (const PlannedStage* stage : plan.shown_stages())
        sum += static_cast<double>(element_count(plan.shown_shape(*stage)).value_or(0));
    return sum;
}

std::string progress_line(const std::string& what, double share, double rate, const char* unit,
                          double seconds) {
    std::string line = "attn-calc: " + what + " " + std::to_string(static_cast<int>(100 * share)) + " %";
    if (seconds > 0 && share > 0 && rate > 0) {
        const std::string number = rounded(rate);
        line += ", " + number + (number.back() == ' ' ? "" : " ") + unit + "/s, " +
                left(seconds * (1 - share) / share);
    }
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

void Progress::show(const std::string& what, double share, double done, const char* unit,
                    Clock::time_point begun) {
    const auto now = Clock::now();
    share_ = std::clamp(share, share_, 1.0);
    if (now - last_ < (width_ > 0 ? next_wait : first_wait)) return;
    last_ = now;
    const auto since = [now](Clock::time_point t) { return std::chrono::duration<double>(now - t).count(); };
    const std::string whole =
        progress_line(what, share_, done / std::max(since(begun), 1e-9), unit, since(begun_));
    width_ = put_line(whole, width_);
}

void Progress::rows(const Rows& rows) {
    if (done_ == 0) writing_begun_ = Clock::now();
    next_.rows(rows);
    done_ += static_cast<double>(rows.row_count() * rows.column_count());
    const double written = total_ > 0 ? done_ / total_ : 1;
    show(std::string(rows.stage->name), computed_ ? (1 + written) / 2 : written, done_, "numbers",
         writing_begun_);
}

/// Where contexts are computed before anything is written, that is the first half.
void Progress::working(Stage stage, double share) {
    computed_ = true;
    show("computing " + std::string(info_of(stage).name), share / 2, share * operations_, "operations",
         begun_);
}

void Progress::end(const std::vector<std::string>& warnings) {
    wipe();
    next_.end(warnings);
}

void Progress::wipe() { width_ = wipe_line(width_); }

void DocumentProgress::show(double documents, std::optional<double> share) {
    const auto now = Clock::now();
    if (now - last_ < (width_ > 0 ? next_wait : first_wait)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - begun_).count();
    const std::string count = std::to_string(static_cast<std::int64_t>(documents)) + " documents";
    const double rate = documents / std::max(seconds, 1e-9);
    if (share) {
        width_ = put_line(progress_line(count, *share, rate, "documents", seconds), width_);
    } else {
        const std::string number = rounded(rate);
        width_ = put_line(
            "attn-calc: " + count + ", " + number + (number.back() == ' ' ? "" : " ") + "documents/s",
            width_);
    }
}

void DocumentProgress::wipe() { width_ = wipe_line(width_); }

}  // namespace attn
