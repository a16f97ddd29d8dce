#pragma once
#include <string>

namespace attn {

/// docs/commands.md: what each command is for, and every option by command.
std::string commands_page();

/// attn-calc.1, for man: the same as roff (groff_man(7)).
std::string manual_page();

}  // namespace attn
