#pragma once
#include <string>
#include <string_view>

#include "app/flags.hpp"

namespace attn {

/// The help of the program (80 columns, at most 40 lines), or of one command: its examples, and a line for
/// each option it takes, from the tables.
std::string main_help();
std::string help_of(Command command);

constexpr std::string_view program_summary = "every number of an attention mechanism, stage by stage";

/// What an exit status means.
struct ExitRow {
    Exit code;
    std::string_view text;
};
std::span<const ExitRow> all_exits();

/// The topics of a command's help, in order, and the options of each.
struct HelpTopic {
    std::string_view heading;
    std::vector<const FlagRow*> flags;
};
std::vector<HelpTopic> topics_of(Command command);

}  // namespace attn
