#pragma once
#include <functional>

#include "app/diagnostics.hpp"
#include "app/options.hpp"

namespace attn {

/// --watch: runs a command, and again whenever a file that it reads has changed: those that the command line
/// names and those that documents name. Each run is a process of its own, so one that goes wrong says so and
/// is forgotten. A file counts as changed by its size, time or identity; one that is gone for a moment (an
/// editor renames another one into its place) is waited for.
///
/// Returns in the processes that run, with what `work` returns, and in the one that watches when the reader
/// of standard output has left. A signal ends both, the running process first.
Exit watch(const Options& options, const Diagnostics& diagnostics, const std::function<Exit()>& work);

}  // namespace attn
