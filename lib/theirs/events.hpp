#pragma once
#include <span>
#include <vector>

#include "lib/theirs/given_array.hpp"

namespace attn {

/// Whether a document is an event of a trace (NDJSON).
bool is_event(const Value& root);

/// A trace as events (NDJSON): the stages put together, document by document. \throws Error (exit 3): blocks
/// that are not as their event says, rows that are missing or stand twice, a trace without its end
std::vector<Dump> read_events(const Source& source, std::span<const Document> documents);

}  // namespace attn
