#include "app/option_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace attn {
namespace {

struct Suffix {
    std::string_view suffix;
    Format format;
};
constexpr std::array suffixes{Suffix{"json", Format::json},
                              Suffix{"ndjson", Format::ndjson},
                              Suffix{"jsonl", Format::ndjson},
                              Suffix{"csv", Format::csv},
                              Suffix{"txt", Format::text},
                              Suffix{"text", Format::text},
                              Suffix{"md", Format::md},
                              Suffix{"tex", Format::tex},
                              Suffix{"npz", Format::npz},
                              Suffix{"npy", Format::npy},
                              Suffix{"safetensors", Format::safetensors}};

std::string all_formats() {
    std::string out = "formats: ";
    for (const std::string_view name : format_names())
        out += (name == format_names().front() ? "" : ", ") + std::string(name);
    return out;
}

[[noreturn]] void refuse_later_format(std::string_view name) {
    fail_usage("the format " + std::string(name) + " is not there yet", all_formats());
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

std::size_t choice_value(std::string_view flag, std::string_view text,
                         std::span<const std::string_view> names) {
    std::string all;
    for (std::size_t k = 0; k < names.size(); ++k) {
        if (names[k] == text) return k;
        all += (k == 0 ? "" : k + 1 == names.size() ? " or " : ", ") + std::string(names[k]);
    }
    fail_usage(std::string(flag) + " " + quoted(text) + ": expected " + all, did_you_mean(text, names));
}

int integer_value(std::string_view flag, std::string_view text, int least, int most) {
    int value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc{} && stop == end && value >= least && value <= most) return value;
    fail_usage(std::string(flag) + " " + quoted(text) + ": expected a whole number from " +
               std::to_string(least) + " to " + std::to_string(most));
}

double number_value(std::string_view flag, std::string_view text) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc{} && stop == end && value >= 0 && std::isfinite(value)) return value;
    fail_usage(std::string(flag) + " " + quoted(text) + ": expected a number of at least 0, as in 1e-5");
}

Index size_value(std::string_view flag, std::string_view text) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
    std::string unit(stop, end);
    for (char& c : unit) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    if (!unit.empty() && unit.back() == 'b') unit.pop_back();
    const bool binary = unit.size() == 2 && unit.back() == 'i';
    if (binary) unit.pop_back();
    const std::size_t power = unit.empty() ? 0 : std::string_view("kmgt").find(unit) + 1;
    const bool known = unit.empty() || (unit.size() == 1 && power >= 1);
    const double bytes = std::floor(value * std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power)));
    if (error == std::errc{} && known && bytes >= 1 && bytes < 9e18) return static_cast<Index>(bytes);
    fail_usage(std::string(flag) + " " + quoted(text) + ": expected a size",
               "sizes are written 800M, 1.5G or 2GiB");
}

Format format_value(std::string_view text) {
    if (const auto format = format_named(text)) return *format;
    if (is_later_format(text)) refuse_later_format(text);
    const std::string near = did_you_mean(text, format_names());
    fail_usage("unknown format " + quoted(text), near.empty() ? all_formats() : near);
}

Target target_value(std::string_view text, Command command) {
    if (text == "-") return {"-", std::nullopt};
    if (command == Command::init || command == Command::schema || command == Command::explain)
        return {std::string(text), Format::text};
    const std::size_t colon = text.rfind(':');
    if (colon != std::string_view::npos && text.find_first_of("/.", colon) == std::string_view::npos) {
        if (colon == 0 || colon + 1 == text.size())
            fail_usage("-o " + quoted(text) + ": expected FILE:FORMAT, as in result.dat:json");
        return {std::string(text.substr(0, colon)), format_value(text.substr(colon + 1))};
    }
    const std::size_t dot = text.find_last_of("./");
    const bool has_suffix = dot != std::string_view::npos && text[dot] == '.';
    const std::string_view suffix = has_suffix ? text.substr(dot + 1) : std::string_view{};
    for (const Suffix& s : suffixes)
        if (s.suffix == suffix) return {std::string(text), s.format};
    if (is_later_format(suffix)) refuse_later_format(suffix);
    fail_usage("-o " + quoted(text) + ": the name does not say the format",
               "-o " + std::string(text) + ":json");
}

void append_stages(std::string_view text, std::vector<std::string>& stages, std::string_view flag) {
    for (std::size_t from = 0;;) {
        const std::size_t comma = std::min(text.find(',', from), text.size());
        const std::string_view name = text.substr(from, comma - from);
        if (name.empty() || name.find_first_of("./") != std::string_view::npos)
            fail_usage(
                std::string(flag) + " " + quoted(text) + ": expected names of stages, as in scores,weights",
                "--stages as the last word lists those of the input");
        stages.emplace_back(name);
        if (comma == text.size()) return;
        from = comma + 1;
    }
}

}  // namespace attn
