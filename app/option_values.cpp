#include "app/option_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace attn {
namespace {

template <std::size_t n>
bool is_one_of(const std::array<std::string_view, n>& names, std::string_view text) {
    return !text.empty() && std::find(names.begin(), names.end(), text) != names.end();
}

void refuse_foreign(Format format, Command command) {
    for (const CommandFormat& w : writes_of(command))
        if (w.format == format) return;
    const std::vector<std::string_view> names = formats_of(command);
    fail_usage("attn-calc " + std::string(name_of(command)) + " writes " + listed(names) + ", not " +
               std::string(name_of(format)));
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

std::size_t choice_value(std::string_view flag, std::string_view text,
                         std::span<const std::string_view> names) {
    for (std::size_t k = 0; k < names.size(); ++k)
        if (names[k] == text) return k;
    fail_usage(std::string(flag) + " " + quoted(text) + ": expected " + listed(names),
               did_you_mean(text, names));
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

Format format_value(std::string_view text, Command command) {
    std::string meant;
    for (const FormatRow& f : all_formats()) {
        if (f.name == text) {
            refuse_foreign(f.format, command);
            return f.format;
        }
        if (is_one_of(f.also, text) || is_one_of(f.suffixes, text))
            meant = "did you mean \"" + std::string(f.name) + "\"?";
    }
    const std::vector<std::string_view> names = formats_of(command);
    if (meant.empty()) meant = did_you_mean(text, names);
    fail_usage("unknown format " + quoted(text), meant.empty() ? "formats: " + listed(names) : meant);
}

Target target_value(std::string_view text, Command command) {
    if (text == "-") return {"-", std::nullopt};
    const std::vector<std::string_view> names = formats_of(command);
    if (names.empty()) return {std::string(text), std::nullopt};
    const std::size_t colon = text.rfind(':');
    if (colon != std::string_view::npos && text.find_first_of("/.", colon) == std::string_view::npos) {
        if (colon == 0 || colon + 1 == text.size())
            fail_usage("-o " + quoted(text) + ": expected FILE:FORMAT, as in result.dat:json");
        return {std::string(text.substr(0, colon)), format_value(text.substr(colon + 1), command)};
    }
    const std::size_t dot = text.find_last_of("./");
    const bool has_suffix = dot != std::string_view::npos && text[dot] == '.';
    const std::string_view suffix = has_suffix ? text.substr(dot + 1) : std::string_view{};
    for (const FormatRow& f : all_formats()) {
        if (!is_one_of(f.suffixes, suffix)) continue;
        refuse_foreign(f.format, command);
        return {std::string(text), f.format};
    }
    fail_usage("-o " + quoted(text) + ": the name does not say the format",
               "-o " + std::string(text) + ":" + std::string(names.size() > 1 ? names[1] : names[0]));
}

void append_stages(std::string_view text, std::vector<std::string>& stages, std::string_view flag) {
    for (std::size_t from = 0;;) {
        const std::size_t comma = std::min(text.find(',', from), text.size());
        const std::string_view name = text.substr(from, comma - from);
        // Gradients of parameters have points or slashes in their names: d_W_query.weight, d_query/kernel.
        const bool parameter = name.starts_with("d_");
        if (name.empty() || (!parameter && name.find_first_of("./") != std::string_view::npos))
            fail_usage(
                std::string(flag) + " " + quoted(text) + ": expected names of stages, as in scores,weights",
                "--stages as the last word lists those of the input");
        stages.emplace_back(name);
        if (comma == text.size()) return;
        from = comma + 1;
    }
}

std::vector<std::string> list_value(std::string_view text) {
    std::vector<std::string> out;
    for (std::size_t from = 0;;) {
        const std::size_t comma = std::min(text.find(',', from), text.size());
        out.emplace_back(text.substr(from, comma - from));
        if (comma == text.size()) return out;
        from = comma + 1;
    }
}

}  // namespace attn
