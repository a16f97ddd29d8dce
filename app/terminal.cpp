#include "app/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace attn {
namespace {

constexpr int least_columns = 20, most_columns = 10'000, usual_columns = 80;

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : std::string_view{};
}

}  // namespace

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

bool use_colour(int descriptor, When when) {
    if (when != When::automatic) return when == When::always;
    if (!environment("NO_COLOR").empty()) return false;
    if (const auto force = environment("CLICOLOR_FORCE"); !force.empty() && force != "0") return true;
    return is_terminal(descriptor) && environment("TERM") != "dumb";
}

int columns_of(int descriptor) {
    int columns = 0;
    const std::string_view set = environment("COLUMNS");
    std::from_chars(set.data(), set.data() + set.size(), columns);
    winsize size{};
    if (columns <= 0 && is_terminal(descriptor) && ioctl(descriptor, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    return columns <= 0 ? usual_columns : std::clamp(columns, least_columns, most_columns);
}

}  // namespace attn
