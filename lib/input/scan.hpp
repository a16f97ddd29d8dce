#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// A fault of the text itself, at a byte.
struct SyntaxFault {
    std::size_t at;
    std::string message, hint;
};

constexpr std::size_t deepest_level = 64;

/// A strict scanner of RFC 8259 that builds nothing: it finds the place of a syntax fault, and the place of a
/// value by its JSON pointer. Recursion is bounded by `deepest_level`.
class Scanner {
  public:
    /// `unit`: what the text is, for a fault at its end.
    explicit Scanner(std::string_view text, std::size_t begin = 0, std::string_view unit = "file")
        : at(begin), text_(text), unit_(unit) {}

    /// Where a pointer leads: the name of the member (or the value again) and the value.
    struct Found {
        std::size_t name_begin, name_end, value_begin, value_end;
    };

    void skip_space();
    /// Passes over one value. \throws SyntaxFault
    void value();
    /// Follows `tokens` down from the value that begins here, as far as they lead.
    Found follow(const std::vector<std::string>& tokens);

    std::size_t at;

  private:
    [[noreturn]] void fault(std::string message, std::string hint = {}) const;
    [[noreturn]] void unexpected(std::string_view expected) const;
    /// What to write in place of what stands here, where it is JavaScript's or Python's and not JSON's; or
    /// "".
    std::string remedy(std::string_view expected) const;
    char peek() const { return at < text_.size() ? text_[at] : '\0'; }
    /// Returns the unescaped text where `unescaped` is given.
    void string(std::string* unescaped = nullptr);
    char32_t escape();
    void number();
    void word(std::string_view literal);
    bool step(Found& found, const std::string& token);

    std::string_view text_, unit_;
    std::size_t depth_ = 0;
};

/// Fills in line, column and excerpt of a place in a text, `width` bytes from `begin`.
void fill_place(Place& place, std::string_view text, std::size_t begin, std::size_t width);
/// The same in a source, which may be a piece of a longer text.
void fill_place(Place& place, const Source& source, std::size_t begin, std::size_t width);

}  // namespace attn
