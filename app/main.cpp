#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <system_error>

#include "app/command.hpp"
#include "app/diagnostics.hpp"
#include "app/help.hpp"
#include "app/model_source.hpp"
#include "app/output.hpp"
#include "app/source.hpp"
#include "app/watch.hpp"
#include "lib/kernels/dispatch.hpp"
#include "lib/version.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace attn {

namespace {

/// The version; with -v those of the compiler and the libraries as well.
void print_version(const Options& options) {
    std::string text = "attn-calc " ATTN_VERSION "\n";
    if (options.verbose) {
#ifdef __clang__
        text += "compiler: " __VERSION__ "\n";
#else
        text += "compiler: GCC " __VERSION__ "\n";
#endif
        text += "CLI11: " + std::string(cli_library_version()) + "\n";
        text += "instruction set: " + kernels::reason() + "\n";
    }
    print_text(text);
}

/// The command line goes before the environment.
void choose_kernels(const Options& options) {
    const char* asked = std::getenv("ATTN_CALC_KERNELS");  // NOLINT(concurrency-mt-unsafe): before any thread
    if (!options.kernels.empty()) {
        kernels::choose(options.kernels, "--kernels");
    } else if (asked && *asked) {
        kernels::choose(asked, "ATTN_CALC_KERNELS");
    }
}

/// Each layer for itself, once all of them have been read.
Exit obey_by_layer(const CommandRow& command, const Options& options, const Diagnostics& diagnostics) {
    Exit status = Exit::ok;
    for (const ModelLayer& layer : model_layers(options, diagnostics))
        status = std::max(status, command.obey(layer.options, diagnostics));
    return status;
}

Exit obey(const Options& options, const Diagnostics& diagnostics) {
    choose_kernels(options);
    const CommandRow& command = row_of(options.command);
    const bool waits = command.waits || (options.command == Command::diff && !options.words.empty());
    if (options.version) {
        print_version(options);
    } else if (options.help || (waits && would_wait(options))) {
        print_text(options.command_named ? help_of(options.command) : main_help());
    } else {
        const auto run = [&] {
            return writes_by_layer(options) ? obey_by_layer(command, options, diagnostics)
                                            : command.obey(options, diagnostics);
        };
        return options.watch ? watch(options, diagnostics, run) : run();
    }
    return Exit::ok;
}

/// Has the first memory that is taken in large pages, where the system has them for those who ask, and has it
/// used again in place of being given back: touching fresh pages was half of the time of a run of a tenth of
/// a second.
void take_large_pages() {
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    constexpr int ahead = 1 << 25, in_heap = 1 << 22;  // bytes: larger pieces are given back
    constexpr std::size_t huge_page = std::size_t{1} << 21U;
    mallopt(M_TOP_PAD, ahead);
    mallopt(M_TRIM_THRESHOLD, 2 * ahead);
    mallopt(M_MMAP_THRESHOLD, in_heap);
    // More than there is so far: the heap grows, and nothing of it is touched.
    const std::unique_ptr<void, decltype(&std::free)> grown(std::malloc(huge_page), &std::free);
    mallopt(M_TOP_PAD, 1 << 17);
    auto* const end = static_cast<char*>(sbrk(0));
    auto* begin = static_cast<char*>(grown.get());
    if (!begin || end < begin || end - begin > 2 * ahead) return;  // not in the heap
    begin += (huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page) % huge_page;
    if (begin < end) madvise(begin, static_cast<std::size_t>(end - begin), MADV_HUGEPAGE);
#endif
}

int finish(const Diagnostics& diagnostics, const Error& error) {
    diagnostics.error(error);
    return static_cast<int>(error.code);
}

}  // namespace
}  // namespace attn

int main(int count, char** arguments) {
    using namespace attn;
    take_large_pages();
    const std::span<const char* const> words(arguments + (count > 0 ? 1 : 0),
                                             static_cast<std::size_t>(count > 0 ? count - 1 : 0));
    const Options guessed = parse_message_options(words);
    prepare_process(guessed.messages == Messages::json);
    try {
        const Options options = parse_options(words);
        const Diagnostics diagnostics(options);
        try {
            return static_cast<int>(obey(options, diagnostics));
        } catch (const Error& error) {
            return finish(diagnostics, error);
        }
    } catch (const ClosedPipe&) {
        return static_cast<int>(Exit::ok);
    } catch (const Error& error) {
        return finish(Diagnostics(guessed), error);
    } catch (const std::bad_alloc&) {
        return finish(Diagnostics(guessed), Error(Exit::resource, {}, "out of memory",
                                                  "--stages, --rows and --heads compute less"));
    } catch (const std::system_error& error) {
        return finish(Diagnostics(guessed),
                      Error(Exit::resource, {}, std::string("a resource ran out: ") + error.what()));
    } catch (const std::exception& error) {
        return finish(Diagnostics(guessed),
                      Error(Exit::defect, {}, std::string("a defect of the program: ") + error.what()));
    } catch (...) {
        return finish(Diagnostics(guessed), Error(Exit::defect, {}, "a defect of the program"));
    }
}
