#include "lib/render/comparisons/blindspots.hpp"

#include <unistd.h>

#include <optional>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/terminal.hpp"
#include "lib/text.hpp"

namespace attn {

namespace {

/// Of the forward pass, and of the backward pass where there is one.
struct BothPasses {
    Blindspots forward;
    std::optional<Blindspots> backward;
};

std::string report(const std::vector<PlannedDocument>& documents, const std::vector<BothPasses>& found,
                   Format format, int width) {
    std::string text;
    for (std::size_t k = 0; k < documents.size(); ++k) {
        if (format == Format::json) {
            text += blindspots_json(found[k].forward, found[k].backward);
            continue;
        }
        if (documents.size() > 1) text += (text.empty() ? "" : "\n") + harmless(documents[k].file) + "\n\n";
        text += blindspots_text(found[k].forward, width);
        if (found[k].backward) text += "\nthe backward pass\n\n" + blindspots_text(*found[k].backward, width);
    }
    return text;
}

}  // namespace

void blindspots_command(const Options& options, const Diagnostics& diagnostics) {
    const std::vector<PlannedDocument> documents = plan_all(options, diagnostics);
    std::vector<BothPasses> found;
    for (const PlannedDocument& document : documents) {
        BothPasses& both = found.emplace_back();
        both.forward = blindspots_of(document.plan);
        if (document.plan.gradient) both.backward = gradient_blindspots_of(document.plan);
    }
    const int width = options.width.value_or(std::min(columns_of(STDOUT_FILENO), 100));
    write_targets(targets_of(options), [&](const Target& t, Output& output) {
        output.write(report(documents, found, *t.format, width));
    });
    for (const PlannedDocument& document : documents)
        for (const std::string& warning : document.plan.warnings) diagnostics.warning(document.file, warning);
}

}  // namespace attn
