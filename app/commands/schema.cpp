#include <array>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/schema_texts.hpp"
#include "lib/render/plans/trace_schema.hpp"

namespace attn {
namespace {

constexpr std::array<NamedText, 2> schemas{{{"input", input_schema}, {"trace", trace_schema}}};

}  // namespace

std::vector<std::string_view> schema_names() { return names_of(schemas); }

void schema_command(const Options& options, const Diagnostics& /*diagnostics*/) {
    write_named(options, schemas);
}

}  // namespace attn
