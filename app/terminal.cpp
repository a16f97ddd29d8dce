#include "app/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace attn {
namespace {

constexpr int least_length = 20, most_length = 10'000, usual_columns = 80, usual_lines = 64;

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : std::string_view{};
}

/// A side of a terminal: what the environment says, then the terminal, then the usual one.
int length_of(int descriptor, const char* variable, unsigned short winsize::*side, int usual) {
    int length = 0;
    const std::string_view set = environment(variable);
    std::from_chars(set.data(), set.data() + set.size(), length);
    winsize size{};
    if (length <= 0 && is_terminal(descriptor) && ioctl(descriptor, TIOCGWINSZ, &size) == 0)
        length = size.*side;
    return length <= 0 ? usual : std::clamp(length, least_length, most_length);
}

}  // namespace

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

bool use_colour(int descriptor, When when) {
    if (when != When::automatic) return when == When::always;
    if (!environment("NO_COLOR").empty()) return false;
    if (const auto force = environment("CLICOLOR_FORCE"); !force.empty() && force != "0") return true;
    return is_terminal(descriptor) && environment("TERM") != "dumb";
}

int columns_of(int descriptor) { return length_of(descriptor, "COLUMNS", &winsize::ws_col, usual_columns); }

int lines_of(int descriptor) { return length_of(descriptor, "LINES", &winsize::ws_row, usual_lines); }

Colours terminal_colours() { return colours_of(environment("TERM"), environment("COLORTERM")); }

bool is_terminal_dark() { return has_dark_ground(environment("COLORFGBG")); }

}  // namespace attn
