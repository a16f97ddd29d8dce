#pragma once
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn {

/// Exit statuses of the program; every Error carries the one it ends in.
enum class Exit : int {
    ok = 0,
    difference = 1,
    usage = 2,
    input = 3,
    output = 4,
    resource = 5,
    defect = 70,
    interrupted = 130
};

/// Where in a file a fault stands. Lines and columns count from 1, columns in characters (code points);
/// line 0: the place is not known (a file that cannot be read, a command line).
struct Place {
    std::string file;
    std::int64_t document = -1;  ///< its number, from 0, where there are several; -1: not told
    std::int64_t line = 0;
    std::int64_t column = 0;
    std::string excerpt;  ///< the source line, cut around the caret, made harmless for a terminal
    int caret = 0;        ///< columns of the excerpt before the caret
    int caret_width = 1;  ///< how many carets
};

/// A refusal: what was found, what would fit, and where. Thrown by every room, printed only by app/main.cpp.
class Error : public std::exception {
  public:
    Error(Exit code_, std::string pointer_, std::string message_, std::string hint_ = {})
        : code(code_), pointer(std::move(pointer_)), message(std::move(message_)), hint(std::move(hint_)) {}

    const char* what() const noexcept override { return message.c_str(); }

    Exit code;
    std::string pointer;  ///< JSON pointer (RFC 6901) of the value at fault; empty: none
    std::string message;  ///< one sentence without the pointer: "has 3 numbers, but ..."
    std::string hint;     ///< what to do; may be empty
    bool at_key = false;  ///< the fault is the member's name, not its value: the caret goes below the name
    Place place;          ///< filled in where the text is at hand
};

/// A wrong input: exit 3. `message` follows the pointer in the printed line.
[[noreturn]] void fail(std::string pointer, std::string message, std::string hint = {});

/// A member whose name is at fault (unknown, repeated, not there yet); `pointer` names the member. Exit 3.
[[noreturn]] void fail_at_key(std::string pointer, std::string message, std::string hint = {});

/// A wrong command line: exit 2.
[[noreturn]] void fail_usage(std::string message, std::string hint = {});

/// The name among `names` that `word` most likely stands for, or "" where none is near: what others call it
/// (lib/synonyms.hpp); equal but for case, spaces, `-` or `_`; a small edit distance (transpositions count
/// one); or a prefix of only one name.
std::string nearest_name(std::string_view word, std::span<const std::string_view> names);

/// "did you mean "X"?", "here it is "rope": {"base": ...}", or "".
std::string did_you_mean(std::string_view word, std::span<const std::string_view> names);

/// At most `most` of the names, those that look most like `word` first.
std::vector<std::string_view> near_names(std::string_view word, std::span<const std::string_view> names,
                                         std::size_t most);

/// `pointer` with one more reference token, escaped by RFC 6901 (~0, ~1).
std::string child(std::string_view pointer, std::string_view name);
std::string child(std::string_view pointer, std::int64_t index);

}  // namespace attn
