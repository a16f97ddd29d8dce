#include "app/output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace attn {

/// The name of an unfinished file. Of a list that grows at its head, and whose members stay: a signal handler
/// may walk it at any time.
struct Unfinished {
    std::atomic<bool> exists = false;
    std::string path;  ///< changes only where there is no file
    Unfinished* next = nullptr;
};

namespace {

constexpr std::size_t buffer_size = 64 * 1024;
// As error_text() and error_json() have them.
constexpr std::string_view out_of_memory_text =
    "attn-calc: error: out of memory\n  hint: --stages, --rows and --heads compute less\n";
constexpr std::string_view out_of_memory_json =
    "{\"level\":\"error\",\"code\":5,\"file\":null,\"line\":null,\"column\":null,\"pointer\":\"\","
    "\"message\":\"out of memory\",\"hint\":\"--stages, --rows and --heads compute less\"}\n";

constinit std::atomic<Unfinished*> unfinished_files = nullptr;

void remove_unfinished() {
    for (const Unfinished* file = unfinished_files; file; file = file->next)
        if (file->exists) unlink(file->path.c_str());
}

extern "C" void end_by_signal(int number) {
    remove_unfinished();
    _exit(128 + number);
}

std::atomic<bool> out_of_memory_as_json = false;

/// What operator new calls where there is no memory. An exception would need some itself, and nothing catches
/// one before main, in a thread's start or in a destructor; the line and the clearing up need none.
[[noreturn]] void end_without_memory() {
    static std::atomic<bool> begun = false;
    while (begun.exchange(true)) pause();  // another thread ends the program
    remove_unfinished();
    const std::string_view line = out_of_memory_as_json ? out_of_memory_json : out_of_memory_text;
    [[maybe_unused]] const ssize_t sent = ::write(STDERR_FILENO, line.data(), line.size());
    _exit(static_cast<int>(Exit::resource));
}

/// Before every other initialiser of the program.
__attribute__((constructor(101))) void handle_lack_of_memory() { std::set_new_handler(end_without_memory); }

void block_signals(bool block) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
    pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

struct SignalsBlocked {
    SignalsBlocked() { block_signals(true); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { block_signals(false); }
};

[[noreturn]] void refuse_output(const std::string& name, int error, std::string hint = {}) {
    Error out(Exit::output, {}, std::string("cannot be written: ") + std::strerror(error), std::move(hint));
    out.place.file = name;
    throw out;
}

/// Members of the list that name nothing now. Files are opened and closed by one thread.
std::vector<Unfinished*>& free_slots() {
    static std::vector<Unfinished*> slots;
    return slots;
}

Unfinished* take_slot(const std::string& path, const std::string& name) {
    if (path.size() >= PATH_MAX) refuse_output(name, ENAMETOOLONG);
    if (free_slots().empty()) {
        auto* const slot = new Unfinished;  // NOLINT(cppcoreguidelines-owning-memory): stays
        slot->next = unfinished_files;
        unfinished_files = slot;
        free_slots().push_back(slot);
    }
    Unfinished* const slot = free_slots().back();
    free_slots().pop_back();
    slot->path = path;
    return slot;
}

void free_slot(Unfinished* slot) {
    slot->exists = false;
    free_slots().push_back(slot);
}

/// The descriptor that a path such as /dev/stdout or /dev/fd/3 stands for, or -1. Opened by its path, a
/// redirected file would be written from its start.
int descriptor_named(std::string_view path) {
    if (path == "/dev/stdout") return STDOUT_FILENO;
    if (path == "/dev/stderr") return STDERR_FILENO;
    for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
        if (!path.starts_with(folder)) continue;
        int number = -1;
        const char* end = path.data() + path.size();
        const auto [stop, error] = std::from_chars(path.data() + folder.size(), end, number);
        if (error == std::errc{} && stop == end) return number;
    }
    return -1;
}

mode_t usual_mode() {
    const mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/// Where a path leads when its links are followed, also links to what is not there yet.
std::string followed(std::string path) {
    for (int links = 0; links < 40; ++links) {
        char target[PATH_MAX];
        const ssize_t size = readlink(path.c_str(), target, sizeof target);
        if (size <= 0 || static_cast<std::size_t>(size) == sizeof target) return path;
        const std::string to(target, static_cast<std::size_t>(size));
        const std::size_t slash = path.rfind('/');
        path = to.starts_with('/') || slash == std::string::npos ? to : path.substr(0, slash + 1) + to;
    }
    return path;
}

}  // namespace

void prepare_process(bool json_messages) {
    out_of_memory_as_json = json_messages;
    // A closed descriptor would be handed to the next file opened; the wrong direction keeps its use an
    // error.
    for (const int descriptor : {0, 1, 2})
        if (fcntl(descriptor, F_GETFD) == -1 && errno == EBADF)
            open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error of write() as well
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction action {};
        if (sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
        action = {};
        action.sa_handler = end_by_signal;
        sigaction(number, &action, nullptr);
    }
}

DescriptorOutput::~DescriptorOutput() {
    if (descriptor_ > 2) close(descriptor_);
}

void DescriptorOutput::refuse(int error) const {
    if (error == EPIPE) throw ClosedPipe{};
    refuse_output(name_, error);
}

void DescriptorOutput::send(std::string_view bytes, std::optional<Index> offset) {
    while (!bytes.empty()) {
        const ssize_t sent = offset ? pwrite(descriptor_, bytes.data(), bytes.size(), *offset)
                                    : ::write(descriptor_, bytes.data(), bytes.size());
        if (sent >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
            if (offset) *offset += sent;
        } else if (errno == EAGAIN) {
            pollfd ready{descriptor_, POLLOUT, 0};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            refuse(errno);
        }
    }
}

void DescriptorOutput::write(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > buffer_size) flush();
    if (bytes.size() >= buffer_size) return send(bytes);
    buffer_ += bytes;
}

void DescriptorOutput::flush() {
    const std::string_view bytes = buffer_;
    send(bytes);
    buffer_.clear();
}

void DescriptorOutput::finish() {
    flush();
    const int descriptor = descriptor_;
    descriptor_ = -1;
    buffer_ = std::string();
    if (close(descriptor) != 0 && errno != EINTR) refuse(errno);
}

FileOutput::FileOutput(int descriptor, std::string name, std::string path, std::string unfinished,
                       Unfinished* slot)
    : DescriptorOutput(descriptor, std::move(name)),
      path_(std::move(path)),
      unfinished_(std::move(unfinished)),
      slot_(slot) {}

FileOutput::~FileOutput() {
    if (!done_) unlink(unfinished_.c_str());
    free_slot(slot_);
}

void FileOutput::publish() {
    const SignalsBlocked blocked;
    if (rename(unfinished_.c_str(), path_.c_str()) != 0) refuse_output(name_, errno);
    slot_->exists = false;
    done_ = true;
}

std::unique_ptr<DescriptorOutput> open_standard_output() {
    return std::make_unique<DescriptorOutput>(STDOUT_FILENO, "<stdout>");
}

void print_text(std::string_view text) {
    const auto output = open_standard_output();
    output->write(text);
    output->commit();
}

std::unique_ptr<DescriptorOutput> open_output(const std::string& name) {
    if (name == "-") return open_standard_output();
    if (name.empty() || name.ends_with('/')) refuse_output(name, name.empty() ? ENOENT : EISDIR);
    if (const int named = descriptor_named(name); named >= 0) {
        const int descriptor = fcntl(named, F_DUPFD_CLOEXEC, 3);
        if (descriptor < 0) refuse_output(name, errno);
        return std::make_unique<DescriptorOutput>(descriptor, name);
    }
    struct stat status {};
    const bool exists = stat(name.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) refuse_output(name, EISDIR);
    if (exists && !S_ISREG(status.st_mode)) {
        const int descriptor = open(name.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (descriptor < 0) refuse_output(name, errno);
        return std::make_unique<DescriptorOutput>(descriptor, name);
    }
    if (exists && access(name.c_str(), W_OK) != 0) refuse_output(name, errno);
    const std::string path = followed(name);
    std::string unfinished = path.substr(0, path.rfind('/') + 1) + ".attn-calc-XXXXXX";
    Unfinished* const slot = take_slot(unfinished, name);
    const SignalsBlocked blocked;
    const int descriptor = mkostemp(unfinished.data(), O_CLOEXEC);
    if (descriptor < 0) {
        const int error = errno;
        free_slot(slot);
        refuse_output(name, error);
    }
    slot->path = unfinished;
    slot->exists = true;
    fchmod(descriptor, exists ? status.st_mode & 07777 : usual_mode());
    return std::make_unique<FileOutput>(descriptor, name, path, std::move(unfinished), slot);
}

void write_new_file(const std::string& path, std::string_view content) {
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0)
        refuse_output(path, errno, errno == EEXIST ? "-o FILE writes it under another name" : "");
    DescriptorOutput output(descriptor, path);
    try {
        output.write(content);
        output.commit();
    } catch (...) {
        unlink(path.c_str());
        throw;
    }
}

}  // namespace attn
