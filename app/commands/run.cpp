#include "lib/run/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/progress.hpp"
#include "app/terminal.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr double large_bytes = 100e6, bytes_of_number = 12;

void list_stages(const std::vector<PlannedDocument>& documents) {
    std::string out;
    for (const PlannedDocument& d : documents) {
        if (documents.size() > 1) out += (out.empty() ? "" : "\n") + harmless(d.file) + ":\n";
        int name_columns = 0, formula_columns = 0;
        for (const PlannedStage& stage : d.plan.stages) {
            name_columns = std::max(name_columns, display_width(stage.name));
            formula_columns = std::max(formula_columns, display_width(stage.formula));
        }
        for (const PlannedStage& stage : d.plan.stages) {
            out +=
                pad_right(stage.name, name_columns + 2) + pad_right(stage.formula, formula_columns + 2) + "[";
            const auto axes = axes_of(stage.family);
            for (std::size_t k = 0; k < axes.size(); ++k)
                out += (k == 0 ? "" : ", ") + std::string(name_of(axes[k])) + " " +
                       std::to_string(stage.shape[k]);
            out += info_of(stage.stage).on_request ? "]  where asked for by name\n" : "]\n";
        }
    }
    print_text(out);
}

std::string rounded_bytes(double bytes) {
    char text[32];
    const bool small = bytes < 1e6;
    std::snprintf(text, sizeof text, "%.*f %s", bytes < 1e4 ? 1 : 0, bytes / (small ? 1e3 : 1e6),
                  small ? "kB" : "MB");
    return text;
}

/// A word of warning before a file that nobody may have meant to write.
void announce_size(const Destination& to, const PlannedDocument& document, const Diagnostics& diagnostics) {
    const double bytes = shown_elements(document.plan) * bytes_of_number;
    if (to.format != Format::text && bytes > large_bytes)
        diagnostics.note(document.file + ": about " + rounded_bytes(bytes) +
                         " follow; --stages, --rows and --heads write less");
}

void say_more(const PlannedDocument& document, double milliseconds, const Diagnostics& diagnostics) {
    char text[128];
    std::snprintf(text, sizeof text, ": %.3f ms, %d %s, about %s of memory, %.3g operations", milliseconds,
                  document.plan.threads, document.plan.threads == 1 ? "worker" : "workers",
                  rounded_bytes(static_cast<double>(document.plan.peak_bytes)).c_str(), document.plan.flops);
    diagnostics.note(document.file + text);
}

}  // namespace

void run_command(const Options& options, const Diagnostics& diagnostics) {
    const std::vector<PlannedDocument> documents = plan_all(options);
    if (options.list_stages) return list_stages(documents);
    std::vector<Destination> destinations = open_destinations(options, documents);
    const Destination* first = &destinations.front();
    write_all(destinations, documents, [&](Destination& to, const PlannedDocument& document) {
        using Clock = std::chrono::steady_clock;
        const auto begin = Clock::now();
        announce_size(to, document, diagnostics);
        const std::unique_ptr<Sink> sink = make_sink(to.format, *to.output, to.form);
        const bool terminal = to.standard && is_terminal(STDOUT_FILENO);
        std::optional<Progress> progress;
        if (!options.quiet && !terminal && is_terminal(STDERR_FILENO)) progress.emplace(*sink, document.plan);
        const std::vector<std::string> warnings =
            run(document.plan, progress ? static_cast<Sink&>(*progress) : *sink);
        if (terminal) to.output->flush();
        if (&to != first) return;
        for (const std::string& warning : warnings) diagnostics.warning(document.file, warning);
        const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
        if (options.verbose) say_more(document, time.count(), diagnostics);
    });
}

}  // namespace attn
