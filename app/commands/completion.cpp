#include "app/completion.hpp"

#include <array>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"

namespace attn {
namespace {

constexpr std::array<NamedText, 3> shells{
    {{"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}}};

}  // namespace

std::vector<std::string_view> shell_names() { return names_of(shells); }

void completion_command(const Options& options, const Diagnostics& /*diagnostics*/) {
    write_named(options, shells);
}

}  // namespace attn
