#include "lib/input/splitter.hpp"

#include <array>

namespace attn {
namespace {

constexpr std::string_view white_space = " \t\r\n";

/// Characters outside of strings that matter. A NUL stands nowhere in JSON: what follows it is no text.
constexpr std::array<bool, 256> matters_in(char open) {
    std::array<bool, 256> out{};
    const char close = open == '{' ? '}' : ']';
    for (const char c : {open, close, '"', '\0'}) out[static_cast<unsigned char>(c)] = true;
    return out;
}
constexpr std::array matters_in_object = matters_in('{'), matters_in_array = matters_in('[');

/// Without the white space at its end.
std::size_t trimmed(std::string_view text, std::size_t end) {
    return text.substr(0, end).find_last_not_of(white_space) + 1;
}

}  // namespace

bool Splitter::stop(std::size_t end, bool cut) {
    end_ = end;
    cut_ = cut;
    return true;
}

/// Passes over the rest of a string; true: a line ends in it, or a NUL, which is passed over: it is the
/// fault.
bool Splitter::look_in_string(std::string_view text) {
    while (at_ < text.size()) {
        const char c = text[at_];
        if (c == '\0') ++at_;
        if (c == '\n' || c == '\0') return true;
        if (c == '\\' && at_ + 1 == text.size()) return false;  // what it escapes is still to come
        at_ += c == '\\' && text[at_ + 1] != '\n' ? 2 : 1;
        if (c == '"') {
            in_string_ = false;
            return false;
        }
    }
    return false;
}

/// Whether the `{` here, at the begin of a line, is that of another document.
bool Splitter::is_next_document(std::string_view text) {
    const char last = text[text.substr(0, at_).find_last_not_of(white_space)];
    if (last != '[' && last != ',' && last != ':') return true;
    if (!doubtful_) doubtful_ = at_;
    return false;
}

bool Splitter::look(std::string_view text) {
    const char open = text.front(), close = open == '{' ? '}' : ']';
    const std::array<bool, 256>& matters = open == '{' ? matters_in_object : matters_in_array;
    while (at_ < text.size()) {
        if (in_string_) {
            if (look_in_string(text)) return stop(trimmed(text, doubtful_.value_or(at_)), true);
            if (in_string_) return false;
            continue;
        }
        while (at_ < text.size() && !matters[static_cast<unsigned char>(text[at_])]) ++at_;
        if (at_ == text.size()) return false;
        const char c = text[at_];
        if (c == '\0') return stop(at_ + 1, true);
        if (c == '"') in_string_ = true;
        if (c == open) {
            if (open == '{' && at_ > 0 && text[at_ - 1] == '\n' && is_next_document(text))
                return stop(trimmed(text, doubtful_.value_or(at_)), true);
            ++depth_;
        }
        ++at_;
        if (c == close && --depth_ == 0) return stop(at_, false);
    }
    return false;
}

void Splitter::finish(std::string_view text) {
    stop(doubtful_ ? trimmed(text, *doubtful_) : text.size(), doubtful_.has_value());
}

}  // namespace attn
