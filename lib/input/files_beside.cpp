#include "lib/input/files_beside.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {

std::optional<std::string> resolved_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> found(realpath(path.c_str(), nullptr), &std::free);
    return found ? std::optional<std::string>(found.get()) : std::nullopt;
}

FilesBeside::FilesBeside(std::string file, MayLeave may_leave)
    : file_(std::move(file)), may_leave_(std::move(may_leave)) {
    const std::size_t slash = file_.rfind('/');
    folder_ = slash == std::string::npos ? "./" : file_.substr(0, slash + 1);
}

std::string FilesBeside::place_of(const std::string& name, const std::string& said) const {
    const auto refuse = [&](const std::string& why) { fail("", said + " " + shown(name) + ", " + why); };
    if (name.empty() || name.find('\0') != std::string::npos) refuse("which is not the name of a file");
    if (name.front() == '/') refuse("an absolute path: it has to be beside the file, or below its folder");
    const std::string inside = std::filesystem::path(name).lexically_normal().string();
    if (inside == ".." || inside.starts_with("../")) refuse("which leads out of the folder of the file");
    std::string place = folder_ + inside;
    const auto real = resolved_path(place);
    if (!real)
        refuse(errno == ENOENT ? "which is not there"
                               : std::string("which cannot be read: ") + std::strerror(errno));
    std::string folder = resolved_path(folder_).value_or("");
    if (!folder.ends_with('/')) folder += '/';
    if (may_leave_ && !(*real + "/").starts_with(folder) && !may_leave_(place, *real))
        refuse("a link that leads out of the folder of the file");
    return place;
}

}  // namespace attn
