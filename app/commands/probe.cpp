#include "lib/diff/probe.hpp"

#include <cstdio>

#include "app/commands/commands.hpp"
#include "app/option_values.hpp"
#include "app/output.hpp"

namespace attn {

void probe_command(const Options& options, const Diagnostics& diagnostics) {
    if (!options.words.empty())
        fail_usage("attn-calc probe reads no file", "its sizes are options: --tokens, --width, ...");
    const Probe probe = make_probe(options.probe);
    const auto output = open_output(options.targets.empty() ? "-" : options.targets.front().path);
    output->write(probe.document);
    output->commit();
    char apart[40];
    std::snprintf(apart, sizeof apart, "%.3g", probe.found.nearest);
    const std::string pair = probe.found.one + " and " + probe.found.other + " differ by " + apart;
    if (probe.apart) {
        diagnostics.note("seed " + std::to_string(probe.seed) + ": the nearest pair, " + pair);
    } else {
        diagnostics.warning("probe", "no seed of many tells all mistakes apart by 0.01: " + pair);
    }
    for (const Blindspot& b : probe.found.mistakes) {
        if (b.sight == Sight::unseen) diagnostics.note(b.id + ": not to be seen: " + b.why);
        for (const std::string& other : b.same_as)
            if (b.sight != Sight::unseen) diagnostics.note(b.id + " gives the same numbers as " + other);
    }
}

}  // namespace attn
