#include "lib/render/terminal.hpp"

#include <algorithm>
#include <cstddef>

#include "lib/text.hpp"

namespace attn {
namespace {

std::string padding(std::string_view utf8, int columns) {
    return std::string(static_cast<std::size_t>(std::max(0, columns - display_width(utf8))), ' ');
}

bool begins_formula(std::string_view utf8) {
    for (std::size_t at = 0; at < utf8.size();) {
        const CodePoint point = decode_utf8(utf8, at);
        if (std::u32string_view(U"=+-@\t\r＝＋－＠").find(point.value) != std::u32string_view::npos)
            return true;
        if (std::u32string_view(U" \n\u00A0\u3000").find(point.value) == std::u32string_view::npos)
            return false;
        at += point.size;
    }
    return false;
}

}  // namespace

std::string pad_left(std::string_view utf8, int columns) { return padding(utf8, columns).append(utf8); }
std::string pad_right(std::string_view utf8, int columns) {
    return std::string(utf8) + padding(utf8, columns);
}

std::string csv_cell(std::string_view utf8) {
    std::string cell = harmless(utf8);
    if (begins_formula(utf8)) cell.insert(cell.begin(), '\'');
    const bool spaced = !cell.empty() && (cell.front() == ' ' || cell.back() == ' ');
    if (!spaced && cell.find_first_of(",;\"") == std::string::npos) return cell;
    std::string quoted = "\"";
    for (const char c : cell) quoted.append(c == '"' ? 2 : 1, c);
    return quoted += '"';
}

}  // namespace attn
