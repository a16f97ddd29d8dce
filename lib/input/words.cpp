#include "lib/input/words.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace attn {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool equal_but_for_case(std::string_view a, std::string_view lower) {
    return a.size() == lower.size() && std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
               return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y;
           });
}

std::string_view our_word(double v) {
    return std::isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"";
}

/// A word with its sign at the beginning of a text.
std::string_view word_at(std::string_view text) {
    std::size_t end = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    if (end == text.size() || !is_letter(text[end])) return {};
    while (end < text.size() && is_letter(text[end])) ++end;
    return text.substr(0, end);
}

/// The byte after a string that begins at `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
    return std::min(at + 1, text.size());
}

}  // namespace

std::optional<double> nonfinite_word(std::string_view word) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const bool negative = word.starts_with('-');
    if (negative || word.starts_with('+')) word.remove_prefix(1);
    if (equal_but_for_case(word, "nan")) return std::numeric_limits<double>::quiet_NaN();
    if (equal_but_for_case(word, "inf") || equal_but_for_case(word, "infinity"))
        return negative ? -infinity : infinity;
    return std::nullopt;
}

std::optional<double> number_of_text(std::string_view text) {
    const auto space = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && space(text.front())) text.remove_prefix(1);
    while (!text.empty() && space(text.back())) text.remove_suffix(1);
    if (text.empty()) return std::nullopt;
    const std::string_view unsigned_text = text.substr(text[0] == '-' || text[0] == '+' ? 1 : 0);
    if (unsigned_text.empty()) return std::nullopt;
    if (is_letter(unsigned_text[0])) return nonfinite_word(text);
    if (unsigned_text[0] == '-' || unsigned_text[0] == '+') return std::nullopt;
    if (text[0] == '+') text.remove_prefix(1);
    double out = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, out);
    if (stop != end || error == std::errc::invalid_argument) return std::nullopt;
    // from_chars does not say whether the number is too large or too small.
    if (error == std::errc::result_out_of_range) return std::strtod(std::string(text).c_str(), nullptr);
    return out;
}

std::optional<std::string> with_our_words(std::string_view json) {
    // Where a string or a word may begin. A table: most of a text are digits, and each is looked at.
    static constexpr auto begins = [] {
        std::array<bool, 256> out{};
        for (const char c : std::string_view("\"INinmM+-")) out[static_cast<unsigned char>(c)] = true;
        return out;
    }();
    std::string out;
    std::size_t kept = 0;  // up to here the text is in `out`
    const auto replace = [&](std::size_t begin, std::size_t end, std::string_view by) {
        out.append(json.substr(kept, begin - kept)).append(by);
        kept = end;
    };
    for (std::size_t at = 0; at < json.size();) {
        if (!begins[static_cast<unsigned char>(json[at])]) {
            ++at;
            continue;
        }
        if (json[at] == '"') {
            const std::size_t end = end_of_string(json, at);
            if (end < at + 2) break;  // the text ends in it
            const std::string_view inner = json.substr(at + 1, end - at - 2);
            constexpr std::size_t longest = 10;
            const auto number = nonfinite_word(inner.substr(0, longest));
            const std::size_t next = json.find_first_not_of(" \t\r\n", end);
            const bool is_key = next != std::string_view::npos && json[next] == ':';
            if (number && !is_key && json.substr(at, end - at) != our_word(*number))
                replace(at, end, our_word(*number));
            at = end;
            continue;
        }
        const std::string_view word = word_at(json.substr(at, 16));
        if (const auto number = nonfinite_word(word)) replace(at, at + word.size(), our_word(*number));
        at += std::max<std::size_t>(word.size(), 1);
    }
    if (kept == 0) return std::nullopt;
    out += json.substr(kept);
    return out;
}

}  // namespace attn
