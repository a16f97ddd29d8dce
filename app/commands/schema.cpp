#include <array>

#include "app/commands/commands.hpp"
#include "app/option_values.hpp"
#include "app/output.hpp"
#include "app/schema_texts.hpp"
#include "lib/render/plans/trace_schema.hpp"

namespace attn {

void schema_command(const Options& options, const Diagnostics& /*diagnostics*/) {
    static constexpr std::array<std::string_view, 2> names{"input", "trace"};
    if (options.words.size() != 1) fail_usage("attn-calc schema takes one name: input or trace");
    const std::size_t which = choice_value("attn-calc schema", options.words.front(), names);
    const auto output = open_output(options.targets.empty() ? "-" : options.targets.front().path);
    output->write(which == 0 ? input_schema() : trace_schema());
    output->commit();
}

}  // namespace attn
