#include "lib/input/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "lib/error.hpp"

namespace attn {
namespace {

[[noreturn]] void refuse(int error) { fail("", std::string("cannot be read: ") + std::strerror(error)); }

struct Descriptor {
    int number;
    explicit Descriptor(int n) : number(n) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (number >= 0) close(number);
    }
};

}  // namespace

MappedFile map_file(const std::string& path) {
    // Not blocking: opening a FIFO would wait for its writer.
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.number < 0) refuse(errno);
    struct stat status {};
    if (fstat(file.number, &status) != 0) refuse(errno);
    if (!S_ISREG(status.st_mode))
        fail("", S_ISDIR(status.st_mode) ? "is a folder, expected a file" : "is not a regular file");
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) return {};
    void* const at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
    if (at == MAP_FAILED) refuse(errno);  // NOLINT(performance-no-int-to-ptr): the system's macro
    std::shared_ptr<const void> keeper(at, [size](const void* p) { munmap(const_cast<void*>(p), size); });
    return {std::move(keeper), {static_cast<const std::byte*>(at), size}};
}

void let_go(std::span<const std::byte> mapped) {
    static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t skipped = (page - reinterpret_cast<std::uintptr_t>(mapped.data()) % page) % page;
    if (mapped.size() < skipped + page) return;
    // The mapping itself is not changed; advice takes no pointer to const.
    madvise(const_cast<std::byte*>(mapped.data()) + skipped, (mapped.size() - skipped) / page * page,
            MADV_DONTNEED);
}

}  // namespace attn
