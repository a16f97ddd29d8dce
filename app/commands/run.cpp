#include "lib/run/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/progress.hpp"
#include "app/tee.hpp"
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
    const double each =
        is_binary(to.format) ? static_cast<double>(size_of(document.plan.dtype)) : bytes_of_number;
    const double bytes = shown_elements(document.plan) * each;
    if (!row_of(to.format).cut && bytes > large_bytes)
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

/// Computes a document for all destinations: together those that take the same order of stages.
void compute(std::vector<Destination>& destinations, const PlannedDocument& document, const Options& options,
             const Diagnostics& diagnostics) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    std::vector<Tee::Part> parts;
    bool terminal = false;
    for (Destination& to : destinations) {
        if (to.closed) continue;
        announce_size(to, document, diagnostics);
        terminal = terminal || (to.standard && is_terminal(STDOUT_FILENO));
        parts.push_back({&to, make_sink(to.format, *to.output, to.form)});
    }
    Computation computation(document.plan);
    bool told = false;
    for (Tee tee(parts); !tee.empty(); tee = Tee(parts)) {
        std::optional<Progress> progress;
        if (!options.quiet && !terminal && is_terminal(STDERR_FILENO)) progress.emplace(tee, document.plan);
        try {
            const std::vector<std::string> warnings =
                computation.run(progress ? static_cast<Sink&>(*progress) : tee);
            for (const std::string& warning : warnings)
                if (!told) diagnostics.warning(document.file, warning);
            told = true;
        } catch (const ClosedPipe&) {  // the destinations know
        }
    }
    for_open(destinations, [](Destination& to) {
        if (to.standard && is_terminal(STDOUT_FILENO)) to.output->flush();
    });
    const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
    if (options.verbose) say_more(document, time.count(), diagnostics);
}

/// Whether nothing is written but tables: then rows that they leave out are not computed.
bool writes_tables_only(const Options& options) {
    const auto is_cut = [&](const std::optional<Format>& f) {
        return row_of(f.value_or(options.standard_format())).cut;
    };
    return std::all_of(options.targets.begin(), options.targets.end(),
                       [&](const Target& t) { return is_cut(t.format); }) &&
           ((!options.targets.empty() && !options.format) || is_cut(options.format));
}

}  // namespace

void run_command(const Options& asked, const Diagnostics& diagnostics) {
    Options options = asked;
    if (writes_tables_only(options)) options.request.cut_rows = table_rows;
    const std::vector<PlannedDocument> documents = plan_all(options);
    if (options.list_stages) return list_stages(documents);
    std::vector<Destination> destinations = open_destinations(options, documents);
    for (std::size_t k = 0; k < documents.size(); ++k) {
        turn_to(destinations, documents, k);
        compute(destinations, documents[k], options, diagnostics);
    }
    commit_all(destinations);
}

}  // namespace attn
