#include "lib/render/terminal.hpp"

#include <algorithm>
#include <cstddef>

#include "lib/text.hpp"

namespace attn {
namespace {

std::string padding(std::string_view utf8, int columns) {
    return std::string(static_cast<std::size_t>(std::max(0, columns - display_width(utf8))), ' ');
}

}  // namespace

std::string pad_left(std::string_view utf8, int columns) { return padding(utf8, columns).append(utf8); }
std::string pad_right(std::string_view utf8, int columns) {
    return std::string(utf8) + padding(utf8, columns);
}

std::vector<std::string> lines_of_words(std::string_view text, int columns, int first) {
    std::vector<std::string> out;
    std::string line;
    while (!text.empty()) {
        // Spaces at the front of the text belong to its first word.
        const std::size_t begin = out.empty() && line.empty() ? text.find_first_not_of(' ') : 0;
        const std::size_t space = std::min(text.find(' ', begin), text.size());
        const std::string word(text.substr(0, space));
        text.remove_prefix(std::min(space + 1, text.size()));
        const std::string more = line.empty() ? word : line + " " + word;
        const bool is_short = out.empty() && first < columns;
        if ((!line.empty() || is_short) && display_width(more) > (out.empty() ? first : columns)) {
            out.push_back(std::move(line));
            line = word;
        } else {
            line = more;
        }
    }
    if (!line.empty() || out.empty()) out.push_back(std::move(line));
    return out;
}

}  // namespace attn
