#pragma once
#include <functional>
#include <optional>
#include <string>

namespace attn {

/// Whether a file may be read though a link to it leads out of the folder. `place`: where it is named,
/// `real`: where it is, links followed.
using MayLeave = std::function<bool(const std::string& place, const std::string& real)>;

/// The absolute path without links, or nothing (errno says why).
std::optional<std::string> resolved_path(const std::string& path);

/// Files that another file names: they stand beside it, or below its folder.
class FilesBeside {
  public:
    /// `file`: the one that names others. Without `may_leave` links are followed wherever they lead.
    explicit FilesBeside(std::string file, MayLeave may_leave = {});

    /// Where a file is that is named. `said` begins the message: "holds "w", whose data are in".
    /// \throws Error (exit 3): a path that is absolute, leads out of the folder, or to no file
    std::string place_of(const std::string& name, const std::string& said) const;
    const std::string& file() const { return file_; }
    const MayLeave& may_leave() const { return may_leave_; }

  private:
    std::string file_, folder_;
    MayLeave may_leave_;
};

}  // namespace attn
