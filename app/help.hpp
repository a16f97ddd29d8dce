#pragma once
#include <string_view>

#include "app/options.hpp"

namespace attn {

/// The help of the program (80 columns, at most 40 lines), or of one command.
std::string_view main_help();
std::string_view help_of(Command command);

}  // namespace attn
