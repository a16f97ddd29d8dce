#pragma once
#include <string>
#include <vector>

#include "app/arrivals.hpp"
#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "app/read_source.hpp"
#include "lib/input/value.hpp"
#include "lib/plan/plan.hpp"

namespace attn {

/// One planned document.
struct PlannedDocument {
    std::string file;
    Plan plan;
    Index number = 0;        ///< in its file
    std::int64_t told = -1;  ///< its number among all, where messages tell it

    DocumentName name() const { return {file, told}; }
};

/// How JSON documents are read: in the type that is asked for, by as many threads as a run may have.
ParseOptions parsing(const Options& options);

/// --stages names something that no document has. \throws Error (exit 2)
void refuse_stages(const Options& options);

/// Reads and plans a document that has arrived; its file and number are the plan's source. \throws Error with
/// its place
PlannedDocument plan_arrival(Arrival& arrival, const Options& options, const Request& request);

/// Reads, parses and plans every document of every file named (none: standard input), so that nothing is
/// written before everything has been accepted. \throws Error with its place.
std::vector<PlannedDocument> plan_all(const Options& options, const Diagnostics& diagnostics);

/// Plans one document of a source, with --weights and --prefix. \throws Error with its place
Plan plan_document(const Source& source, Document document, const Options& options, const Request& request);

/// What such a document says once all options and files have had their part in it.
Value settings_of(const Source& source, Document document, const Options& options);

/// The command would wait for someone to type a document.
bool would_wait(const Options& options);

}  // namespace attn
