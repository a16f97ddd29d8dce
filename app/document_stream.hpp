#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/arrivals.hpp"
#include "app/diagnostics.hpp"
#include "app/options.hpp"

namespace attn {

/// The documents of all files of a command line (none: standard input), or of a model's layers, one after
/// another as they arrive.
class DocumentStream {
  public:
    /// \throws Error: exit 3 for a file that cannot be read (not with --keep-going), exit 2
    DocumentStream(const Options& options, const Diagnostics& diagnostics);

    /// The next document, in its own file; nothing: the end, or none is there yet and `wait` is false.
    std::optional<Arrival> next(bool wait);
    /// There are more than one, or files that may have more; after the first next(). Waits where that shows
    /// later.
    bool has_several();
    /// The one before is wrong, and nobody knows yet whether others follow.
    bool is_lost() const { return arrivals_ && arrivals_->is_lost(); }
    /// Whether has_several() says it without waiting.
    bool shows_several() const;
    /// The share that is done; nothing: it is not known.
    std::optional<double> share() const;

  private:
    bool open_next();

    const Options& options_;
    std::vector<std::string> names_;
    std::size_t file_ = 0;  ///< of names_: the next one
    std::optional<Arrivals> arrivals_;
    std::optional<Error> fault_;
    std::vector<Arrival> layers_;
    std::size_t layer_ = 0;
};

}  // namespace attn
