#pragma once
#include <string>
#include <string_view>

namespace attn {

/// What an option is called, for messages: "--rows" + " shows them".
class OptionWord {
  public:
    constexpr explicit OptionWord(std::string_view text) : text_(text) {}
    constexpr operator std::string_view() const { return text_; }

    friend std::string operator+(OptionWord word, std::string_view text) {
        return std::string(word.text_).append(text);
    }
    friend std::string operator+(std::string_view text, OptionWord word) {
        return std::string(text).append(word.text_);
    }

  private:
    std::string_view text_;
};

/// The options that messages of the library name. The table of options (app/flags.cpp) calls them so.
namespace option {
inline constexpr OptionWord stages{"--stages"}, batch{"--batch"}, heads{"--heads"}, rows{"--rows"},
    cols{"--cols"}, cell{"--cell"}, tokens{"--tokens"}, level{"--level"}, digits{"--digits"}, map{"--map"},
    layout{"--layout"}, ignore_unknown{"--ignore-unknown"}, max_memory{"--max-memory"}, top{"--top"},
    nonfinite{"--nonfinite"}, width{"--width"}, format{"-f"}, output{"-o"}, precision{"-p"}, root{"--root"},
    model{"--model"}, layer{"--layer"}, stack{"--stack"}, as_type{"--as"}, embeddings{"--embeddings"},
    dtype{"--dtype"};
}  // namespace option

}  // namespace attn
