#include "lib/mistakes/probe.hpp"

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/option_values.hpp"
#include "lib/input/file_tensors.hpp"
#include "lib/render/traces/write_tensors.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

void check_sizes(const ProbeAsk& ask) {
    const auto misfit = misfit_of(ask);
    if (!misfit) return;
    const std::string heads = std::to_string(ask.heads), width = std::to_string(ask.width);
    switch (*misfit) {
        case ProbeMisfit::width_and_heads:
            fail_usage("--heads " + heads + " does not divide --width " + width,
                       "every head has the same width");
        case ProbeMisfit::heads_and_kv_heads:
            fail_usage("--kv-heads " + std::to_string(ask.kv_heads) + " does not divide --heads " + heads,
                       "every kv head is read by as many query heads");
        case ProbeMisfit::odd_heads_with_rope:
            fail_usage("--rope turns pairs of columns, but a head is " +
                           std::to_string(ask.width / ask.heads) + " wide",
                       "a --width of twice as much");
    }
}

}  // namespace

void probe_command(const Options& options, const Diagnostics& diagnostics) {
    if (!options.words.empty())
        fail_usage("attn-calc probe reads no file", "its sizes are options: --tokens, --width, ...");
    const std::vector<Target> targets = targets_of(options);
    check_sizes(options.probe);
    const Probe probe = make_probe(options.probe);
    write_targets(targets, [&](const Target& t, Output& output) {
        if (*t.format == Format::json)
            output.write(probe.document);
        else
            write_tensors(*t.format, read_json_tensors({"probe", probe.arrays}).tensors, {}, output);
    });
    const Blindspots& nearest = probe.nearest();
    const std::string pair =
        nearest.one + " and " + nearest.other + " differ by " + significant(nearest.nearest, 3);
    if (probe.apart) {
        diagnostics.note("seed " + std::to_string(probe.seed) + ": the nearest pair, " + pair);
    } else {
        diagnostics.warning("probe",
                            "none of the seeds that were tried tells all mistakes apart by 0.01: " + pair);
    }
    const auto tell = [&](const Blindspots& found) {
        for (const Blindspot& b : found.mistakes) {
            if (b.sight == Sight::unseen) diagnostics.note(b.id + ": not to be seen: " + b.why);
            for (const std::string& other : b.same_as)
                if (b.sight != Sight::unseen) diagnostics.note(b.id + " gives the same numbers as " + other);
        }
    };
    tell(probe.found);
    if (probe.gradients) tell(*probe.gradients);
}

}  // namespace attn
