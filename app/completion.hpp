#pragma once
#include <string>

namespace attn {

/// The completion of commands, options, and values that options know, as a script for a shell: from the
/// tables of commands and options.
std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace attn
