#include "app/read_source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "app/examples.hpp"
#include "lib/error.hpp"
#include "lib/plan/machine.hpp"

namespace attn {
namespace {

constexpr std::size_t first_piece = 64 * 1024;

std::string missing_hint(std::string_view name) {
    name = name.substr(name.rfind('/') + 1);
    if (name.ends_with(".json")) name.remove_suffix(5);
    for (const Example& example : examples())
        if (last_name(example) == name)
            return "attn-calc init " + std::string(example.name) + " writes this example";
    return {};
}

/// Whole pages of a mapped file.
void let_go(std::string_view part) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t skipped = (page - reinterpret_cast<std::uintptr_t>(part.data()) % page) % page;
    if (part.size() < skipped + page) return;
    void* const first = const_cast<char*>(part.data() + skipped);
    madvise(first, (part.size() - skipped) / page * page, MADV_DONTNEED);
}

std::string read_all(const OpenSource& file, std::size_t most_bytes, Reads reads) {
    // A text that grows is held twice, once at its old and once at its new size.
    most_bytes = std::min(most_bytes, static_cast<std::size_t>(memory_available()) / 4);
    std::string text;
    std::size_t filled = 0, piece = first_piece;
    while (true) {
        if (filled > most_bytes) refuse_size(file.name(), most_bytes);
        if (text.size() == filled) text.resize(filled + std::min(piece, most_bytes + first_piece));
        const std::size_t got = file.read(text.data() + filled, text.size() - filled);
        if (got == 0) break;
        const std::string_view piece_read(text.data() + filled, got);
        const bool begins = filled == 0;
        filled += got;
        if (is_hopeless(piece_read, begins ? reads : Reads::text)) break;
        piece = std::max(piece, filled);
    }
    text.resize(filled);
    return text;
}

}  // namespace

void refuse_source(const std::string& name, const std::string& message, std::string hint) {
    Error error(Exit::input, {}, message, std::move(hint));
    error.place.file = name;
    throw error;
}

void refuse_size(const std::string& name, std::size_t most_bytes) {
    refuse_source(name, "holds more than the " + std::to_string(most_bytes) + " bytes that may be read");
}

bool is_hopeless(std::string_view read, Reads reads) {
    if (read.find('\0') != std::string_view::npos) return true;
    if (reads != Reads::documents) return false;
    const std::size_t first = read.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos &&
           std::string_view("{[\xEF").find(read[first]) == std::string_view::npos;
}

OpenSource::OpenSource(const std::string& name)
    : name_(name == "-" ? "<stdin>" : name),
      number_(name == "-" ? STDIN_FILENO : open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)) {
    if (number_ < 0)
        refuse_source(name, std::string("cannot be read: ") + std::strerror(errno),
                      errno == ENOENT ? missing_hint(name) : "");
    struct stat status {};
    const bool known = fstat(number_, &status) == 0;
    if (known && S_ISDIR(status.st_mode)) {
        if (number_ > 2) close(number_);
        refuse_source(name_, std::string("cannot be read: ") + std::strerror(EISDIR));
    }
    regular_ = known && S_ISREG(status.st_mode);
    size_ = regular_ ? static_cast<std::size_t>(status.st_size) : 0;
}

OpenSource::~OpenSource() {
    if (number_ > 2) close(number_);
}

std::optional<Source> OpenSource::map() const {
    if (number_ == STDIN_FILENO || size_ == 0) return std::nullopt;
    const std::size_t size = size_;
    // The page after the last is there for files that fill theirs.
    void* const at = mmap(nullptr, size + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return std::nullopt;  // NOLINT(performance-no-int-to-ptr): the system's macro
    std::shared_ptr<const void> keeper(at, [size](const void* p) { munmap(const_cast<void*>(p), size + 1); });
    if (mmap(at, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, number_, 0) == MAP_FAILED)  // NOLINT
        return std::nullopt;
    madvise(at, size, MADV_SEQUENTIAL);
    Source source(name_, {static_cast<const char*>(at), size}, std::move(keeper));
    source.let_go = let_go;
    return source;
}

std::size_t OpenSource::read(char* to, std::size_t most) const {
    while (true) {
        const ssize_t got = ::read(number_, to, most);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno == EAGAIN) {
            pollfd ready{number_, POLLIN, 0};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            refuse_source(name_, std::string("cannot be read: ") + std::strerror(errno));
        }
    }
}

bool OpenSource::is_ready() const {
    pollfd ready{number_, POLLIN, 0};
    return regular_ || (poll(&ready, 1, 0) == 1 && (static_cast<unsigned>(ready.revents) & POLLIN) != 0);
}

std::size_t most_source_bytes(const Request& request) {
    if (request.max_memory) return static_cast<std::size_t>(*request.max_memory);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) / 2
                                 : SIZE_MAX;
}

Source read_source(const std::string& name, std::size_t most_bytes, Reads reads) {
    const OpenSource file(name);
    if (file.size() > most_bytes) refuse_size(file.name(), most_bytes);
    if (std::optional<Source> mapped = file.map()) return std::move(*mapped);
    return {file.name(), read_all(file, most_bytes, reads)};
}

}  // namespace attn
