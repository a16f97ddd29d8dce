#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "lib/input/value.hpp"
#include "lib/plan/plan.hpp"

namespace attn {

/// What a file is read for: any text, or JSON documents only.
enum class Reads { text, documents };

/// Reads a file ("-": standard input), at most `most_bytes`, of a pipe or device also at most a quarter of
/// the memory that is free. What cannot be such a text is not read to its end, which it may not have. \throws
/// Error (exit 3) with the file's name.
Source read_source(const std::string& name, std::size_t most_bytes, Reads reads = Reads::text);

/// The most bytes that a file may have which is read whole.
std::size_t most_source_bytes(const Request& request);

/// \throws Error (exit 3) with the file's name
[[noreturn]] void refuse_source(const std::string& name, const std::string& message, std::string hint = {});
[[noreturn]] void refuse_size(const std::string& name, std::size_t most_bytes);

/// A file that is read ("-": standard input), and closed at the end.
class OpenSource {
  public:
    /// \throws Error (exit 3): there is none, it is a folder
    explicit OpenSource(const std::string& name);
    OpenSource(const OpenSource&) = delete;
    OpenSource& operator=(const OpenSource&) = delete;
    ~OpenSource();

    const std::string& name() const { return name_; }  ///< for messages
    std::size_t size() const { return size_; }         ///< of a regular file; else 0
    bool is_regular() const { return regular_; }
    /// All of it as memory that is not copied, with a byte 0 after it. No text: the system does not map it,
    /// or it may stand in its middle.
    std::optional<Source> map() const;
    /// At most `most` bytes, as soon as there are some; 0: the end.
    std::size_t read(char* to, std::size_t most) const;
    /// Whether read() would return at once.
    bool is_ready() const;

  private:
    std::string name_;
    int number_;
    std::size_t size_ = 0;
    bool regular_ = false;
};

/// A text that nobody takes, whatever follows: there is no use in reading on, which might be without an end.
bool is_hopeless(std::string_view read, Reads reads);

}  // namespace attn
