#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/render/render.hpp"

namespace attn {

enum class Command { run, check, init, schema, convert, explain, diff, blindspots, probe, view, completion };

/// Commands as a set: a sum of these.
constexpr unsigned bit(Command command) { return 1U << static_cast<unsigned>(command); }

class Diagnostics;
struct Options;

/// A format that a command writes, and which options of the form it obeys there.
struct CommandFormat {
    Format format;
    unsigned obeys;  ///< Obeyed
};

/// A row of THE TABLE of commands (command.cpp).
struct CommandRow {
    Command command;
    std::string_view name;
    std::string_view summary;     ///< in the list of commands
    std::string_view usage;       ///< what stands behind the name
    std::string_view examples;    ///< lines of the help
    std::string_view about = {};  ///< more of them, before the options
    std::span<const CommandFormat>
        writes{};          ///< the first: what is written without -f; empty: nothing to choose from
    bool traces = false;   ///< writes every format that has a sink
    bool waits = false;    ///< reads standard input where no file is named
    bool several = false;  ///< -o may be given more than once
    std::vector<std::string_view> (*words)() = nullptr;  ///< what it takes in place of files, by name
    Exit (*obey)(const Options& options, const Diagnostics& diagnostics) = nullptr;
};

std::span<const CommandRow> all_commands();
const CommandRow& row_of(Command command);
inline std::string_view name_of(Command command) { return row_of(command).name; }

/// "a, b or c"
std::string listed(std::span<const std::string_view> names);

/// The formats that a command writes, in order, and their names.
std::vector<CommandFormat> writes_of(Command command);
std::vector<std::string_view> formats_of(Command command);

}  // namespace attn
