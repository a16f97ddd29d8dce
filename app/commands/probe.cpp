#include "lib/mistakes/probe.hpp"

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/option_values.hpp"
#include "lib/input/file_tensors.hpp"
#include "lib/render/traces/write_tensors.hpp"
#include "lib/text.hpp"

namespace attn {
void probe_command(const Options& options, const Diagnostics& diagnostics) {
    if (!options.words.empty())
        fail_usage("attn-calc probe reads no file", "its sizes are options: --tokens, --width, ...");
    const std::vector<Target> targets = targets_of(options);
    const Probe probe = make_probe(options.probe);
    write_targets(targets, [&](const Target& t, Output& output) {
        if (*t.format == Format::json)
            output.write(probe.document);
        else
            write_tensors(*t.format, read_json_tensors({"probe", probe.arrays}).tensors, {}, output);
    });
    const std::string pair =
        probe.found.one + " and " + probe.found.other + " differ by " + significant(probe.found.nearest, 3);
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
