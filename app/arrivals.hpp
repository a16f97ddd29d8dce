#pragma once
#include <memory>
#include <optional>
#include <string>

#include "app/options.hpp"
#include "app/read_source.hpp"
#include "lib/input/splitter.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// A document of a stream: its text alone, with its place in the file.
struct Arrival {
    Source source{{}, std::string()};
    /// Read already: it is large, and all threads read it where it lies. `source` may go on behind it then.
    std::optional<Document> document{};
    std::optional<Error> fault{};              ///< its file cannot be read
    Index number = 0;                          ///< in its file
    std::shared_ptr<const Options> options{};  ///< of its own; null: those of the command line
};

/// The documents of one file as they arrive, each found without being read. Memory is that of the largest
/// one. After a fault the stream goes on behind the document, or with the next line that begins with `{`.
class Arrivals {
  public:
    /// `reading`: how large documents are read. \throws Error (exit 3): the file cannot be read.
    Arrivals(const std::string& name, std::size_t most_bytes, ParseOptions reading);

    /// The next document; nothing: the end, or none has arrived whole so far and `wait` is false. A file
    /// without any has one that is empty. \throws Error (exit 3): the file cannot be read on.
    std::optional<Arrival> next(bool wait);
    /// next() has nothing more, whoever waits.
    bool has_ended() const { return ended_ && rest().find_first_not_of(" \t\r\n") == std::string_view::npos; }
    /// All that the file had has been handed out. Waits where that is not known yet, but not for the line
    /// that ends what is skipped: then it says no, and is_lost() yes.
    bool is_over();
    bool is_lost() const { return skipping_ && !ended_; }
    /// Whether others may follow what has been read is known without waiting.
    bool is_regular() const { return file_.is_regular(); }
    /// Bytes that are done, and of the whole; 0: not known.
    std::size_t bytes_done() const { return passed_ + at_; }
    std::size_t bytes() const { return file_.size(); }

  private:
    bool skip_space(bool wait);
    bool skip_to_line(bool wait);
    bool fill(bool wait);
    void refuse_endless(std::size_t begun);
    [[noreturn]] void give_up();
    void advance(std::size_t bytes);
    Arrival piece(std::size_t size, bool cut);
    std::string taken(std::size_t size);
    void stop_at_no_text(std::string_view read);
    Arrival take_large();
    Arrival strange();
    std::string_view rest() const { return text().substr(at_); }
    std::string_view text() const { return mapped_ ? mapped_->text : std::string_view(buffer_); }

    OpenSource file_;
    std::size_t most_bytes_;
    ParseOptions reading_;
    std::optional<Source> mapped_;
    std::string buffer_;                ///< of what is not mapped
    std::size_t at_ = 0;                ///< in text(): all before it has been handed out
    std::size_t passed_ = 0;            ///< bytes that have left the buffer
    std::size_t held_ = 0;              ///< of what is mapped: from here on in memory
    std::optional<Splitter> splitter_;  ///< of the document at at_
    std::int64_t lines_ = 0, columns_ = 0;
    Index number_ = 0;
    bool ended_ = false;     ///< text() is all that there is
    bool skipping_ = false;  ///< up to a line that begins with {
};

}  // namespace attn
