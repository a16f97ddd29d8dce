#include "app/source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "app/examples.hpp"
#include "app/terminal.hpp"
#include "lib/error.hpp"
#include "lib/input/problem.hpp"

namespace attn {
namespace {

constexpr std::size_t first_piece = 64 * 1024;

[[noreturn]] void refuse(const std::string& name, const std::string& message, std::string hint = {}) {
    Error error(Exit::input, {}, message, std::move(hint));
    error.place.file = name;
    throw error;
}

std::string missing_hint(std::string_view name) {
    name = name.substr(name.rfind('/') + 1);
    if (name.ends_with(".json")) name.remove_suffix(5);
    for (const Example& example : examples())
        if (last_name(example) == name)
            return "attn-calc init " + std::string(example.name) + " writes this example";
    return {};
}

class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (number_ > 2) close(number_);
    }
    int number() const { return number_; }

  private:
    int number_;
};

std::size_t most_source_bytes(const Request& request) {
    if (request.max_memory) return static_cast<std::size_t>(*request.max_memory);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) / 2
                                 : SIZE_MAX;
}

Plan plan_document(const Source& source, const Document& document, const Request& request) {
    try {
        return make_plan(read_problem(document.root), request);
    } catch (Error& error) {
        if (error.code == Exit::input) {
            error.place.file = source.name;
            locate(error, source, document);
        }
        throw;
    }
}

std::vector<std::string> file_names(const Options& options) {
    std::vector<std::string> names = options.words;
    if (names.empty()) names.emplace_back("-");
    if (std::count(names.begin(), names.end(), "-") > 1)
        fail_usage("standard input (-) can be read only once");
    return names;
}

}  // namespace

Source read_source(const std::string& name, std::size_t most_bytes) {
    const bool standard = name == "-";
    Source source{standard ? "<stdin>" : name, {}};
    const Descriptor file(standard ? STDIN_FILENO : open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (file.number() < 0)
        refuse(name, std::string("cannot be read: ") + std::strerror(errno),
               errno == ENOENT ? missing_hint(name) : "");
    struct stat status {};
    if (fstat(file.number(), &status) == 0 && S_ISDIR(status.st_mode))
        refuse(source.name, std::string("cannot be read: ") + std::strerror(EISDIR));
    std::size_t filled = 0;
    std::size_t piece =
        std::max(first_piece, S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) + 1 : 0);
    while (true) {
        if (filled > most_bytes) {
            refuse(source.name,
                   "holds more than the " + std::to_string(most_bytes) + " bytes that may be read");
        }
        if (source.text.size() == filled)
            source.text.resize(filled + std::min(piece, most_bytes + first_piece));
        const ssize_t got = read(file.number(), source.text.data() + filled, source.text.size() - filled);
        if (got == 0) break;
        if (got > 0) {
            filled += static_cast<std::size_t>(got);
            piece = std::max(piece, filled);
        } else if (errno == EAGAIN) {
            pollfd ready{file.number(), POLLIN, 0};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            refuse(source.name, std::string("cannot be read: ") + std::strerror(errno));
        }
    }
    source.text.resize(filled);
    return source;
}

std::vector<PlannedDocument> plan_all(const Options& options) {
    std::vector<PlannedDocument> planned;
    for (const std::string& name : file_names(options)) {
        const Source source = read_source(name, most_source_bytes(options.request));
        std::vector<Document> documents = parse_documents(source);
        for (Document& document : documents) {
            planned.push_back({source.name, plan_document(source, document, options.request)});
            document.root = Value{};
        }
    }
    return planned;
}

bool would_wait(const Options& options) {
    const bool reads = options.words.empty() ||
                       std::find(options.words.begin(), options.words.end(), "-") != options.words.end();
    return reads && is_terminal(STDIN_FILENO);
}

}  // namespace attn
