#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"

namespace attn {

void check_command(const Options& options, const Diagnostics& diagnostics) {
    const std::vector<PlannedDocument> documents = plan_all(options);
    std::vector<Destination> destinations = open_destinations(options, documents);
    write_all(destinations, documents, [](Destination& to, const PlannedDocument& document) {
        write_plan(to.format, document.plan, *to.output, to.form);
    });
    for (const PlannedDocument& document : documents)
        for (const std::string& warning : document.plan.warnings) diagnostics.warning(document.file, warning);
}

}  // namespace attn
