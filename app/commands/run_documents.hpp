#pragma once
#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "lib/error.hpp"

namespace attn {

/// Computes the documents of a command line as they arrive and writes them in order. Small ones are shared
/// out, each computed by one thread; a large one is computed alone, by all. Those that are there are a batch,
/// so memory is that of some documents, however many follow. \return Exit::ok, Exit::input: --keep-going, and
/// some document was wrong. \throws Error, ClosedPipe
Exit run_documents(const Options& options, const Diagnostics& diagnostics);

}  // namespace attn
