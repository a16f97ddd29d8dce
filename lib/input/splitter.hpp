#pragma once
#include <cstddef>
#include <optional>
#include <string_view>

namespace attn {

/// Finds where a document of a stream ends while its text arrives, without reading it: at the bracket that
/// closes it. One that is not closed ends with its line where that is sure: at a raw line end in a string, or
/// before a line that begins with `{` where no value may stand. (Where one may, after `[`, `,` or `:`, the
/// line is taken for a part of the document until one of these, or the end of the text, tells otherwise.)
class Splitter {
  public:
    /// Looks on, from where it stopped, in a text that has grown at its end: always the whole, from the
    /// document's opening bracket on. True: it ends at end().
    bool look(std::string_view text);
    /// The text has no more: the document is cut.
    void finish(std::string_view text);

    std::size_t end() const { return end_; }
    /// Its line ended before it did.
    bool is_cut() const { return cut_; }

  private:
    bool stop(std::size_t end, bool cut);
    bool look_in_string(std::string_view text);
    bool is_next_document(std::string_view text);

    std::size_t at_ = 0, end_ = 0, depth_ = 0;
    std::optional<std::size_t> doubtful_;  ///< a line that began with `{` where a value may stand
    bool in_string_ = false, cut_ = false;
};

}  // namespace attn
