#pragma once
#include <string>
#include <vector>

#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "lib/input/value.hpp"
#include "lib/plan/plan.hpp"

namespace attn {

/// One planned document.
struct PlannedDocument {
    std::string file;
    Plan plan;
};

/// What a file is read for: any text, or JSON documents only.
enum class Reads { text, documents };

/// Reads a file ("-": standard input), at most `most_bytes`, of a pipe or device also at most a quarter of
/// the memory that is free. What cannot be such a text is not read to its end, which it may not have. \throws
/// Error (exit 3) with the file's name.
Source read_source(const std::string& name, std::size_t most_bytes, Reads reads = Reads::text);

/// How JSON documents are read: in the type that is asked for, by as many threads as a run may have.
ParseOptions parsing(const Options& options);

/// Reads, parses and plans every document of every file named (none: standard input), so that nothing is
/// written before everything has been accepted. \throws Error with its place.
std::vector<PlannedDocument> plan_all(const Options& options, const Diagnostics& diagnostics);

/// The most bytes that a file may have which is read whole.
std::size_t most_source_bytes(const Request& request);

/// Plans one document of a source, with --weights and --prefix. \throws Error with its place
Plan plan_document(const Source& source, Document document, const Options& options, const Request& request);

/// What such a document says once all options and files have had their part in it.
Value settings_of(const Source& source, Document document, const Options& options);

/// The command would wait for someone to type a document.
bool would_wait(const Options& options);

}  // namespace attn
