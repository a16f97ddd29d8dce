#pragma once
#include <string>
#include <string_view>

#include "app/options.hpp"
#include "lib/error.hpp"

namespace attn {

/// A file, and the number of a document in it where there are several.
struct DocumentName {
    DocumentName(std::string_view file_, std::int64_t document_ = -1) : file(file_), document(document_) {}
    DocumentName(const std::string& file_, std::int64_t document_ = -1) : file(file_), document(document_) {}
    DocumentName(const char* file_) : file(file_) {}

    /// "a.ndjson, document 3"
    std::string words() const;

    std::string_view file;
    std::int64_t document = -1;
};

/// What goes to standard error: errors, warnings and notes, as text or as one JSON object a line. Whatever
/// comes from a file is made harmless, and a diagnostic never exceeds 2000 bytes.
class Diagnostics {
  public:
    /// Those of a command line, as far as it can be read.
    explicit Diagnostics(const Options& options);
    /// The same, into a text: for messages that wait for their turn. `kept` has to outlive it.
    Diagnostics(const Diagnostics& like, std::string& kept) : Diagnostics(like) { kept_ = &kept; }

    void error(const Error& error) const;
    void warning(const DocumentName& document, std::string_view message) const;
    void note(std::string_view message) const;
    /// Messages that were kept.
    void pass(const std::string& kept) const { print(kept); }

  private:
    void line(std::string_view level, const DocumentName& document, std::string_view message) const;
    void print(const std::string& text) const;

    Messages form_;
    bool colour_, quiet_;
    std::string* kept_ = nullptr;
    std::string try_;  ///< what to type next after a wrong command line
};

/// The lines of an error: message, excerpt with carets, hint, and `try_line` where it is not empty.
std::string error_text(const Error& error, bool colour, std::string_view try_line);

/// {"level": ..., "code": ..., "file": ..., "line": ..., "column": ..., "pointer": ..., "message": ...,
/// "hint": ...}; "document" after "file" where there are several
std::string error_json(const Error& error, std::string_view level);
/// The same without its level, as the members of an object.
std::string error_members(const Error& error);

}  // namespace attn
