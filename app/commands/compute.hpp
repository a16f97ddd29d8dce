#pragma once
#include <memory>
#include <vector>

#include "app/destination.hpp"
#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "app/source.hpp"

namespace attn {

/// What writes a run as a format.
using SinkMaker = std::unique_ptr<Sink> (*)(Format format, Output& output, const RenderOptions& options);

/// Computes a document for all destinations: together those that take the same order of stages. `shows`:
/// progress is shown where there is a terminal for it.
void compute(std::vector<Destination>& destinations, const PlannedDocument& document, const Options& options,
             const Diagnostics& diagnostics, SinkMaker make, bool shows = true);

}  // namespace attn
