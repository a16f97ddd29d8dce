#pragma once
#include "app/diagnostics.hpp"
#include "app/options.hpp"

namespace attn {

/// Each command: from options to what it writes. \throws Error, ClosedPipe.
/// \return Exit::ok, Exit::input: --keep-going, and some document was wrong
Exit run_command(const Options& options, const Diagnostics& diagnostics);
void check_command(const Options& options, const Diagnostics& diagnostics);
void init_command(const Options& options, const Diagnostics& diagnostics);
void schema_command(const Options& options, const Diagnostics& diagnostics);
void convert_command(const Options& options, const Diagnostics& diagnostics);
void explain_command(const Options& options, const Diagnostics& diagnostics);
/// \return Exit::ok: equal, Exit::difference
Exit diff_command(const Options& options, const Diagnostics& diagnostics);
void blindspots_command(const Options& options, const Diagnostics& diagnostics);
void probe_command(const Options& options, const Diagnostics& diagnostics);
void view_command(const Options& options, const Diagnostics& diagnostics);
void completion_command(const Options& options, const Diagnostics& diagnostics);

/// What `schema` and `completion` print, by name.
std::vector<std::string_view> schema_names();
std::vector<std::string_view> shell_names();

}  // namespace attn
