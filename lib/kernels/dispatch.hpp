#pragma once
#include <span>
#include <string>
#include <string_view>

namespace attn::kernels {

/// Instruction sets by name, the widest first; "auto" is not among them.
std::span<const std::string_view> known_sets();
/// \throws Error (exit 2) for a name that is neither "auto" nor a known set, whatever this processor has.
void check_name(std::string_view name, std::string_view from);
/// Whether the program has kernels for it and the processor (and its system) can run them.
bool is_available(std::string_view name);
/// Forces a set from here on; "auto" leaves the choice to the processor again. \throws Error (exit
/// 2) for a name that is unknown or not available; `from` says where the name stood ("--kernels",
/// "ATTN_CALC_KERNELS").
void choose(std::string_view name, std::string_view from);
/// "avx512: the widest of avx512, avx2, sse2 that this processor has", "avx2: forced by --kernels".
std::string reason();

}  // namespace attn::kernels
