#include <unistd.h>

#include <cstdlib>
#include <new>
#include <span>
#include <string>
#include <system_error>

#include "app/commands/commands.hpp"
#include "app/help.hpp"
#include "app/output.hpp"
#include "app/source.hpp"
#include "lib/kernels/dispatch.hpp"
#include "lib/version.hpp"

namespace attn {

void print_text(std::string_view text) {
    const auto output = open_standard_output();
    output->write(text);
    output->commit();
}

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

namespace {

/// The command line goes before the environment.
void choose_kernels(const Options& options) {
    const char* asked = std::getenv("ATTN_CALC_KERNELS");  // NOLINT(concurrency-mt-unsafe): before any thread
    if (!options.kernels.empty()) {
        kernels::choose(options.kernels, "--kernels");
    } else if (asked && *asked) {
        kernels::choose(asked, "ATTN_CALC_KERNELS");
    }
}

Exit obey(const Options& options, const Diagnostics& diagnostics) {
    choose_kernels(options);
    const bool reads = options.command == Command::run || options.command == Command::check ||
                       options.command == Command::convert || options.command == Command::explain ||
                       options.command == Command::blindspots;
    const bool two = options.command == Command::diff && !options.words.empty();
    if (options.version) {
        print_version(options);
    } else if (options.help || ((reads || two) && would_wait(options))) {
        print_text(options.command_named ? help_of(options.command) : main_help());
    } else {
        switch (options.command) {
            case Command::run:
                run_command(options, diagnostics);
                break;
            case Command::check:
                check_command(options, diagnostics);
                break;
            case Command::init:
                init_command(options, diagnostics);
                break;
            case Command::schema:
                schema_command(options);
                break;
            case Command::convert:
                convert_command(options, diagnostics);
                break;
            case Command::explain:
                explain_command(options, diagnostics);
                break;
            case Command::blindspots:
                blindspots_command(options, diagnostics);
                break;
            case Command::probe:
                probe_command(options, diagnostics);
                break;
            case Command::diff:
                return diff_command(options, diagnostics);
        }
    }
    return Exit::ok;
}

int finish(const Diagnostics& diagnostics, const Error& error) {
    diagnostics.error(error);
    return static_cast<int>(error.code);
}

}  // namespace
}  // namespace attn

int main(int count, char** arguments) {
    using namespace attn;
    prepare_process();
    const std::span<const char* const> words(arguments + (count > 0 ? 1 : 0),
                                             static_cast<std::size_t>(count > 0 ? count - 1 : 0));
    const Options guessed = parse_message_options(words);
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
