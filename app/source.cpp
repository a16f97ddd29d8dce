#include "app/source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "app/examples.hpp"
#include "app/model_source.hpp"
#include "app/overrides.hpp"
#include "app/terminal.hpp"
#include "lib/error.hpp"
#include "lib/input/file_references.hpp"
#include "lib/input/foreign.hpp"
#include "lib/input/problem.hpp"
#include "lib/plan/half.hpp"
#include "lib/plan/machine.hpp"
#include "lib/theirs/names.hpp"

namespace attn {
namespace {

constexpr std::size_t first_piece = 64 * 1024;

[[noreturn]] void refuse_source(const std::string& name, const std::string& message, std::string hint = {}) {
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

[[noreturn]] void refuse_size(const std::string& name, std::size_t most_bytes) {
    refuse_source(name, "holds more than the " + std::to_string(most_bytes) + " bytes that may be read");
}

/// A file as memory that is not copied, and a byte 0 after it; null where the system does not map it.
std::shared_ptr<const void> map(const Descriptor& file, std::size_t size) {
    // The page after the last is there for files that fill theirs.
    void* const at = mmap(nullptr, size + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return nullptr;  // NOLINT(performance-no-int-to-ptr): the system's macro
    std::shared_ptr<const void> keeper(at, [size](const void* p) { munmap(const_cast<void*>(p), size + 1); });
    if (mmap(at, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file.number(), 0) == MAP_FAILED)  // NOLINT
        return nullptr;
    madvise(at, size, MADV_SEQUENTIAL);
    return keeper;
}

/// Whole pages of a mapped file.
void let_go(std::string_view part) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t skipped = (page - reinterpret_cast<std::uintptr_t>(part.data()) % page) % page;
    if (part.size() < skipped + page) return;
    void* const first = const_cast<char*>(part.data() + skipped);
    madvise(first, (part.size() - skipped) / page * page, MADV_DONTNEED);
}

/// A text that nobody takes, whatever follows: there is no use in reading on, which might be without an end.
bool is_hopeless(std::string_view read, Reads reads) {
    if (read.find('\0') != std::string_view::npos) return true;
    if (reads != Reads::documents) return false;
    const std::size_t first = read.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos &&
           std::string_view("{[\xEF").find(read[first]) == std::string_view::npos;
}

std::string read_all(const Descriptor& file, const std::string& name, std::size_t most_bytes, Reads reads) {
    // A text that grows is held twice, once at its old and once at its new size.
    most_bytes = std::min(most_bytes, static_cast<std::size_t>(memory_available()) / 4);
    std::string text;
    std::size_t filled = 0, piece = first_piece;
    while (true) {
        if (filled > most_bytes) refuse_size(name, most_bytes);
        if (text.size() == filled) text.resize(filled + std::min(piece, most_bytes + first_piece));
        const ssize_t got = read(file.number(), text.data() + filled, text.size() - filled);
        if (got == 0) break;
        if (got > 0) {
            const std::string_view piece_read(text.data() + filled, static_cast<std::size_t>(got));
            const bool begins = filled == 0;
            filled += static_cast<std::size_t>(got);
            if (is_hopeless(piece_read, begins ? reads : Reads::text)) break;
            piece = std::max(piece, filled);
        } else if (errno == EAGAIN) {
            pollfd ready{file.number(), POLLIN, 0};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            refuse_source(name, std::string("cannot be read: ") + std::strerror(errno));
        }
    }
    text.resize(filled);
    return text;
}

/// The folder that a document's files stand in; standard input has none.
std::optional<std::string> folder_of(const std::string& name) {
    if (name == "<stdin>") return std::nullopt;
    const std::size_t slash = name.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : name.substr(0, slash);
}

/// --weights and --prefix; files named in the document are put in.
void use_weights(Value& root, const Options& options, FileReferences& files) {
    if (!options.weights && !options.prefix) return files.resolve(root);
    auto place = std::find_if(root.members.begin(), root.members.end(),
                              [](const Member& m) { return m.name == "weights"; });
    const bool had = place != root.members.end();
    if (options.weights) {
        if (had) place->value = {};  // not opened: other weights take their place
        files.resolve(root);
        Value weights = files.weights_of_file(*options.weights, options.prefix.value_or(""));
        if (had) weights.text += "; in place of the document's";
        if (!had) place = root.members.insert(root.members.end(), {"weights", {}});
        place->value = std::move(weights);
        return;
    }
    if (!had || place->value.kind != Value::Kind::object)
        fail(had ? "/weights" : "",
             had ? "is not an object, and --prefix asks for the names below a prefix"
                 : "has no \"weights\", and --prefix asks for the names below a prefix");
    std::vector<Member>& members = place->value.members;
    std::erase_if(members, [](const Member& m) { return m.name == "prefix"; });
    Value prefix;
    prefix.kind = Value::Kind::string;
    prefix.text = *options.prefix;
    members.push_back({"prefix", std::move(prefix)});
    files.resolve(root);
}

/// Puts in what the command line says, and what files hold.
void complete(Value& root, const Options& options, FileReferences& files, Overrides& overrides) {
    for (const std::string& folder : options.roots) files.trust_folder(folder);
    if (options.model) files.trust_folder(folder_of_model(*options.model));
    put_inputs(root, options, files);
    overrides.put_first();
    use_weights(root, options, files);
    overrides.put_rest();
}

std::vector<std::string> file_names(const Options& options) {
    std::vector<std::string> names = options.words;
    if (names.empty()) names.emplace_back("-");
    if (std::count(names.begin(), names.end(), "-") > 1)
        fail_usage("standard input (-) can be read only once");
    return names;
}

}  // namespace

std::size_t most_source_bytes(const Request& request) {
    if (request.max_memory) return static_cast<std::size_t>(*request.max_memory);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) / 2
                                 : SIZE_MAX;
}

Plan plan_document(const Source& source, Document document, const Options& options, const Request& request) {
    FileReferences files(options.model ? std::nullopt : folder_of(source.name));
    Overrides overrides(options, document.root, files);
    try {
        if (const auto foreign = foreign_object(document.root)) fail("", foreign->what, foreign->hint);
        complete(document.root, options, files, overrides);
        Plan plan = make_plan(read_problem(document.root), request);
        plan.overrides = overrides.said();
        if (options.model) plan.source = {options.model->folder, options.model->layer};
        if (options.command == Command::explain || options.command == Command::blindspots)
            refuse_half(plan, "attn-calc " + std::string(name_of(options.command)));
        // The other commands look at the forward pass.
        if (options.command != Command::run && options.command != Command::check &&
            options.command != Command::view && options.command != Command::diff &&
            options.command != Command::blindspots && options.command != Command::explain) {
            plan.gradient.reset();
            plan.gradients.clear();
        }
        return plan;
    } catch (Error& error) {
        if (error.code == Exit::input && error.place.file.empty() && !overrides.say_place(error)) {
            error.place.file = source.name;
            // The text of a model's document is nowhere to be looked at.
            if (!options.model) locate(error, source, document);
        }
        throw;
    }
}

Value settings_of(const Source& source, Document document, const Options& options) {
    FileReferences files(options.model ? std::nullopt : folder_of(source.name));
    Overrides overrides(options, document.root, files);
    complete(document.root, options, files, overrides);
    return std::move(document.root);
}

Source read_source(const std::string& name, std::size_t most_bytes, Reads reads) {
    const bool standard = name == "-";
    Source source{standard ? "<stdin>" : name, std::string()};
    const Descriptor file(standard ? STDIN_FILENO : open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (file.number() < 0)
        refuse_source(name, std::string("cannot be read: ") + std::strerror(errno),
                      errno == ENOENT ? missing_hint(name) : "");
    struct stat status {};
    if (fstat(file.number(), &status) == 0 && S_ISDIR(status.st_mode))
        refuse_source(source.name, std::string("cannot be read: ") + std::strerror(EISDIR));
    const auto size = S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) : 0;
    if (size > most_bytes) refuse_size(source.name, most_bytes);
    if (!standard && size > 0)  // standard input may stand in the middle of a file
        if (auto mapped = map(file, size)) {
            source.text = {static_cast<const char*>(mapped.get()), size};
            source.keeper = std::move(mapped);
            source.let_go = let_go;
            return source;
        }
    return {source.name, read_all(file, source.name, most_bytes, reads)};
}

ParseOptions parsing(const Options& options) {
    const Request& request = options.request;
    return {request.dtype, false, request.threads > 0 ? request.threads : processors_available()};
}

std::vector<PlannedDocument> plan_all(const Options& options, const Diagnostics& diagnostics) {
    for (const std::string& name : options.request.stages)
        if (const std::string hint = hint_by_maps(name); !hint.empty() && !stage_named(name))
            fail_usage("--stages " + name + ": there is no such stage", hint);
    std::vector<PlannedDocument> planned;
    if (options.model) {
        for (const ModelLayer& layer : model_layers(options, diagnostics))
            for (Document& document : parse_documents(layer.source, parsing(options)))
                planned.push_back({layer.source.name, plan_document(layer.source, std::move(document),
                                                                    layer.options, options.request)});
        return planned;
    }
    for (const std::string& name : file_names(options)) {
        const Source source = read_source(name, most_source_bytes(options.request), Reads::documents);
        std::vector<Document> documents = parse_documents(source, parsing(options));
        for (Document& document : documents) {
            planned.push_back(
                {source.name, plan_document(source, std::move(document), options, options.request)});
        }
    }
    return planned;
}

bool would_wait(const Options& options) {
    if (options.model && options.command != Command::diff) return false;
    const bool reads = options.words.empty() ||
                       std::find(options.words.begin(), options.words.end(), "-") != options.words.end();
    return reads && is_terminal(STDIN_FILENO);
}

}  // namespace attn
