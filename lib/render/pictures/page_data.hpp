#pragma once
#include <string>
#include <string_view>

#include "lib/render/pictures/page_stages.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// Bytes that a page may have: browsers take more, but not on a phone, and nobody mails it.
constexpr double most_page_bytes = 64e6;
/// What of a page is not numbers: code, first picture, labels.
constexpr double other_page_bytes = 0.5e6;

constexpr double base64_bytes(Index bytes) {
    const Index groups = (bytes + 2) / 3;
    return static_cast<double>(4 * groups);
}

/// \throws Error (exit 3)
[[noreturn]] void refuse_large_page(const std::string& file, double bytes);

// What page/data.js reads (PageData there).

/// The list of stages. `blocks` counts the blocks that it refers to: those of the stages, in their order.
std::string stages_json(const PageStages& stages, std::size_t& blocks);
std::string axes_json(const PageStages& stages);
/// The program's colours for both grounds, 256 of each ramp.
std::string ramps_json();
/// Block number `number`: bytes as base64.
void write_block(Output& output, std::size_t number, std::string_view bytes);

}  // namespace attn
