#pragma once
#include <string>
#include <string_view>

#include "app/command.hpp"

namespace attn {

/// docs/commands.md: what each command is for, and every option by command.
std::string commands_page();

/// Code in a table of Markdown.
std::string markdown_code(std::string_view text);

/// The table of docs/models.md: each row of lib/models.
std::string architectures_page();

/// attn-calc.1, for man: the same as roff (groff_man(7)).
std::string manual_page();
/// attn-calc-run.1 and so on.
std::string manual_page(Command command);

}  // namespace attn
