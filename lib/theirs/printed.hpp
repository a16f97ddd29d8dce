#pragma once
#include <string_view>
#include <vector>

#include "lib/theirs/given_array.hpp"

namespace attn {

/// Whether a text holds arrays in brackets as PyTorch, numpy, JAX and TensorFlow print them.
bool is_print(std::string_view text);

/// The same for a text that begins with a bracket or a brace and is not JSON.
bool is_bracketed_print(std::string_view text);

/// Arrays as they are printed, each with the name that stands before it (`weights = tensor(...)`, `weights:`
/// on a line of its own, a key of a dict); our own -f torch too. \throws Error (exit 3) with its line: a
/// print that leaves numbers out (`...`), rows of different lengths, two arrays without a name
std::vector<Dump> read_print(const Source& source);

/// Whether a text has the headings of our own -f text or -f md.
bool is_stage_text(std::string_view text);

/// Tables: our own -f text and -f md, or rows of numbers, with commas, semicolons, tabs, bars or spaces
/// between them; lines that begin with # are left out. The columns' names and a token before each row are
/// passed over. \throws Error (exit 3) with its line
std::vector<Dump> read_tables(const Source& source);

/// A text that is neither JSON nor a CSV trace: what printed it is seen by its form. \throws Error (exit 3)
std::vector<Dump> read_plain(const Source& source);

/// \throws Error (exit 3)
[[noreturn]] void refuse_line(const Source& source, std::size_t line, std::string message,
                              std::string hint = {});

}  // namespace attn
