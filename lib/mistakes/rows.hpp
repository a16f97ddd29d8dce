#pragma once
#include "lib/mistakes/mistakes.hpp"

// The parts of the table that stand with their functions, each a kind of mistake. Internal to the room.

namespace attn {

std::span<const MistakeRow> rows_of_heads();
std::span<const MistakeRow> rows_of_windows();
std::span<const MistakeRow> rows_of_softmax();
std::span<const MistakeRow> rows_of_norms();
std::span<const MistakeRow> rows_of_sources();
std::span<const MistakeRow> rows_of_merging();

/// "" where `holds`, else `why`: the answer of an `applies`.
inline std::string unless(bool holds, std::string_view why) { return holds ? "" : std::string(why); }

}  // namespace attn
