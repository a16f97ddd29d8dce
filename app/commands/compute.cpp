#include "app/commands/compute.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "app/progress.hpp"
#include "app/tee.hpp"
#include "app/terminal.hpp"
#include "lib/gradient/computation.hpp"

namespace attn {
namespace {

constexpr double large_bytes = 100e6, bytes_of_number = 12;

std::string rounded_bytes(double bytes) {
    char text[32];
    const bool small = bytes < 1e6;
    std::snprintf(text, sizeof text, "%.*f %s", bytes < 1e4 ? 1 : 0, bytes / (small ? 1e3 : 1e6),
                  small ? "kB" : "MB");
    return text;
}

/// A word of warning before a file that nobody may have meant to write.
void announce_size(const Destination& to, const PlannedDocument& document, const Diagnostics& diagnostics) {
    const double each =
        is_binary(to.format) ? static_cast<double>(size_of(document.plan.dtype)) : bytes_of_number;
    const double bytes = shown_elements(document.plan) * each;
    if (!row_of(to.format).bounded && bytes > large_bytes)
        diagnostics.note(document.name().words() + ": about " + rounded_bytes(bytes) +
                         " follow; --stages, --rows and --heads write less");
}

void say_more(const PlannedDocument& document, double milliseconds, const Diagnostics& diagnostics) {
    char text[128];
    std::snprintf(text, sizeof text, ": %.3f ms, %d %s, about %s of memory, %.3g operations", milliseconds,
                  document.plan.threads, document.plan.threads == 1 ? "worker" : "workers",
                  rounded_bytes(static_cast<double>(document.plan.peak_bytes)).c_str(), document.plan.flops);
    diagnostics.note(document.name().words() + text);
}

}  // namespace

void compute(std::vector<Destination>& destinations, const PlannedDocument& document, const Options& options,
             const Diagnostics& diagnostics, SinkMaker make, bool shows) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    std::vector<Tee::Part> parts;
    bool terminal = false;
    for (Destination& to : destinations) {
        if (to.closed) continue;
        announce_size(to, document, diagnostics);
        terminal = terminal || (shows && to.standard && is_terminal(STDOUT_FILENO));
        parts.push_back({&to, make(to.format, *to.output, to.form)});
    }
    Computation computation(document.plan);
    bool told = false;
    for (Tee tee(parts); !tee.empty(); tee = Tee(parts)) {
        std::optional<Progress> progress;
        if (shows && !options.quiet && !terminal && is_terminal(STDERR_FILENO))
            progress.emplace(tee, document.plan);
        try {
            const std::vector<std::string> warnings =
                computation.run(progress ? static_cast<Sink&>(*progress) : tee);
            for (const std::string& warning : warnings)
                if (!told) diagnostics.warning(document.name(), warning);
            told = true;
        } catch (const ClosedPipe&) {  // the destinations know
        }
    }
    for_open(destinations, [shows](Destination& to) {
        if (shows && to.standard && is_terminal(STDOUT_FILENO)) to.output->flush();
    });
    const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
    if (options.verbose) say_more(document, time.count(), diagnostics);
}

}  // namespace attn
