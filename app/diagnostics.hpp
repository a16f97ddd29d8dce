#pragma once
#include <string>
#include <string_view>

#include "app/options.hpp"
#include "lib/error.hpp"

namespace attn {

/// What goes to standard error: errors, warnings and notes, as text or as one JSON object a line. Whatever
/// comes from a file is made harmless, and a diagnostic never exceeds 2000 bytes.
class Diagnostics {
  public:
    /// Those of a command line, as far as it can be read.
    explicit Diagnostics(const Options& options);

    void error(const Error& error) const;
    void warning(std::string_view file, std::string_view message) const;
    void note(std::string_view message) const;

  private:
    void line(std::string_view level, std::string_view file, std::string_view message) const;

    Messages form_;
    bool colour_, quiet_;
    std::string try_;  ///< what to type next after a wrong command line
};

/// The lines of an error: message, excerpt with carets, hint, and `try_line` where it is not empty.
std::string error_text(const Error& error, bool colour, std::string_view try_line);

/// {"level": ..., "code": ..., "file": ..., "line": ..., "column": ..., "pointer": ..., "message": ...,
/// "hint": ...}
std::string error_json(const Error& error, std::string_view level);

}  // namespace attn
