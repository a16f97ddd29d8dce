#include "lib/diff/blindspots.hpp"

#include <unistd.h>

#include "app/commands/commands.hpp"
#include "app/output.hpp"
#include "app/source.hpp"
#include "app/terminal.hpp"
#include "lib/text.hpp"

namespace attn {

void blindspots_command(const Options& options, const Diagnostics& diagnostics) {
    const std::vector<PlannedDocument> documents = plan_all(options);
    std::string text;
    const int width = options.width.value_or(std::min(columns_of(STDOUT_FILENO), 100));
    for (const PlannedDocument& document : documents) {
        const Blindspots found = blindspots_of(document.plan);
        if (options.format == Format::json) {
            text += blindspots_json(found);
            continue;
        }
        if (documents.size() > 1) text += (text.empty() ? "" : "\n") + harmless(document.file) + "\n\n";
        text += blindspots_text(found, width);
    }
    const auto output = open_output(options.targets.empty() ? "-" : options.targets.front().path);
    output->write(text);
    output->commit();
    for (const PlannedDocument& document : documents)
        for (const std::string& warning : document.plan.warnings) diagnostics.warning(document.file, warning);
}

}  // namespace attn
