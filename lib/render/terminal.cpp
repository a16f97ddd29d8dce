#include "lib/render/terminal.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "lib/text.hpp"

namespace attn {
namespace {

std::string padding(std::string_view utf8, int columns) {
    return std::string(static_cast<std::size_t>(std::max(0, columns - display_width(utf8))), ' ');
}

}  // namespace

Colours colours_of(std::string_view term, std::string_view colorterm) {
    if (colorterm == "truecolor" || colorterm == "24bit" || term.ends_with("-direct")) return Colours::full;
    return term.find("256color") != std::string_view::npos ? Colours::many : Colours::sixteen;
}

bool has_dark_ground(std::string_view colorfgbg) {
    const std::string_view ground = colorfgbg.substr(colorfgbg.rfind(';') + 1);
    constexpr std::array<std::string_view, 8> light{"7", "9", "10", "11", "12", "13", "14", "15"};
    return std::find(light.begin(), light.end(), ground) == light.end();
}

int xterm_colour(int red, int green, int blue) {
    constexpr std::array steps{0, 95, 135, 175, 215, 255};
    constexpr int cube = 16, greys = 232, grey_count = 24;
    int best = cube, least = std::numeric_limits<int>::max();
    const auto look = [&](int number, int r, int g, int b) {
        const int d = (r - red) * (r - red) + (g - green) * (g - green) + (b - blue) * (b - blue);
        if (d >= least) return;
        least = d;
        best = number;
    };
    int number = cube;
    for (const int r : steps)
        for (const int g : steps)
            for (const int b : steps) look(number++, r, g, b);
    for (int k = 0; k < grey_count; ++k) look(greys + k, 8 + 10 * k, 8 + 10 * k, 8 + 10 * k);
    return best;
}

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

std::string wrapped(std::string_view text, int columns, int first, int next) {
    std::string out;
    for (const std::string& line : lines_of_words(text, columns - next, columns - first))
        out += std::string(static_cast<std::size_t>(out.empty() ? first : next), ' ') + line + "\n";
    return out;
}

}  // namespace attn
