#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/commands/list_tensors.hpp"

namespace attn {

void check_command(const Options& options, const Diagnostics& diagnostics) {
    if (list_tensor_files(options)) return;
    const std::vector<PlannedDocument> documents = plan_all(options, diagnostics);
    std::vector<Destination> destinations = open_destinations(options, documents);
    std::vector<std::vector<std::string>> warnings(documents.size());
    for (std::size_t k = 0; k < documents.size(); ++k) {
        turn_to(destinations, documents, k);
        for_open(destinations, [&](Destination& to) {
            warnings[k] = write_plan(to.format, documents[k].plan, *to.output, to.form);
        });
    }
    commit_all(destinations);
    for (std::size_t k = 0; k < documents.size(); ++k)
        for (const std::string& warning : warnings[k]) diagnostics.warning(documents[k].file, warning);
}

}  // namespace attn
