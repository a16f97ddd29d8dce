#pragma once
#include <string>
#include <string_view>

#include "app/command.hpp"

namespace attn {

/// The help of the program (80 columns, at most 40 lines), or of one command: its examples, and a line for
/// each option it takes, from the tables.
std::string main_help();
std::string help_of(Command command);

/// `text` in lines of at most `columns`, each behind `indent` spaces.
std::string wrapped(std::string_view text, int columns, std::size_t indent);

}  // namespace attn
