#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "app/destination.hpp"
#include "app/options.hpp"
#include "app/output.hpp"
#include "app/source.hpp"

namespace attn {

/// How a command writes a format on a target.
RenderOptions render_form(const Options& options, bool standard);

/// \throws Error (exit 2): the format holds one document, and there are more.
void refuse_many(Format format, std::size_t documents);

/// Where targets lead, nothing opened. \throws Error (exit 2) as open_targets()
std::vector<Destination> destinations_of(const Options& options, const std::vector<Target>& targets);

/// Opens every target. \throws Error: exit 2 for an output that is one of the files read, or binary on a
/// terminal; exit 4
std::vector<Destination> open_targets(const Options& options, const std::vector<Target>& targets);

/// Opens what -o and -f ask for. \throws Error: exit 2 for a format that cannot hold `documents`, or for an
/// output that is one of the files read; exit 4.
std::vector<Destination> open_destinations(const Options& options,
                                           const std::vector<PlannedDocument>& documents);

/// \throws Error (exit 2): binary data is not for a terminal; an output is one of the files read.
void refuse_terminal(Format format);
void refuse_overwriting(const std::string& path, const std::vector<std::string>& inputs);

/// Tells every destination that document `k` of `documents` comes next.
void turn_to(std::vector<Destination>& destinations, const std::vector<PlannedDocument>& documents,
             std::size_t k);

/// Opens every target, has write(target, output) fill each, and lets the new files take their places
/// together. \throws Error (exit 4)
void write_targets(const std::vector<Target>& targets,
                   const std::function<void(const Target&, Output&)>& write);

/// A text that a command prints by its name.
struct NamedText {
    std::string_view name;
    std::string (*make)();
};
std::vector<std::string_view> names_of(std::span<const NamedText> texts);

/// Writes the text that the command line names to -o or standard output. \throws Error: exit 2, 4
void write_named(const Options& options, std::span<const NamedText> texts);

/// Completes all outputs, and only then lets new files take their places. \throws Error (exit 4)
void commit_all(std::vector<Destination>& destinations);

}  // namespace attn
