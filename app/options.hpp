#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/command.hpp"
#include "lib/diff/compare.hpp"
#include "lib/explain/step.hpp"
#include "lib/input/numbers.hpp"
#include "lib/input/value.hpp"
#include "lib/mistakes/probe.hpp"
#include "lib/plan/plan.hpp"
#include "lib/render/render.hpp"
#include "lib/theirs/dump.hpp"

namespace attn {

/// When something is done that depends on a terminal.
enum class When { automatic, always, never };

enum class Messages { text, json };

/// The ground of a terminal.
enum class Background { dark, light };

/// Where a result goes. "-": standard output. No format: the one of standard output, or none is needed.
struct Target {
    std::string path;
    std::optional<Format> format;
};

/// What `explain` is asked for.
struct ExplainOptions {
    explain::Level level = explain::Level::normal;
    std::string row, cell;  ///< as typed; empty: not given
    std::optional<int> head;
    bool all_rows = false, solution = false, standalone = false;
    std::vector<std::string> blank;
};

/// What `diff` is asked.
struct DiffAsk {
    CompareOptions compare;
    NameMap map = NameMap::own;
    PrintedDigits digits;
    std::optional<Index> layer;
};

/// A layer of a model's folder, in place of a document.
struct ModelOptions {
    std::string folder;
    Index layer = 0;
    bool all = false;       ///< every layer, one after another
    std::string stack, as;  ///< empty: not given
};

/// --set KEY=JSON: a member of the document, for one run.
struct Override {
    std::string key, json;  ///< as typed
    Value value;
};

/// A command line as plain data: checked for form, nothing opened, no name of the input resolved.
struct Options {
    Command command = Command::run;
    bool command_named = false;  ///< false: a call without a subcommand
    bool help = false, version = false, quiet = false, verbose = false;
    std::vector<std::string> words;  ///< files, or the name of an example or schema
    std::optional<Format> format;    ///< of standard output
    std::vector<Target> targets;     ///< -o
    bool list_stages = false;
    bool watch = false;
    bool keep_going = false;                     ///< a wrong document costs no other one
    std::optional<std::string> weights, prefix;  ///< a file of weights; which names of it
    std::optional<ModelOptions> model;
    std::optional<std::string> embeddings, block, key_embeddings;  ///< files in place of a document's keys
    std::vector<Override> overrides;                               ///< --set, in order
    std::vector<std::string> roots;  ///< folders that documents may name files of
    Request request;
    std::optional<Element> element;  ///< convert: --dtype
    DiffAsk diff;
    ProbeAsk probe;
    std::string kernels;  ///< the instruction set that is forced; empty: not given
    std::optional<int> top, width;
    int precision = 4;
    bool precision_asked = false;
    NonFinite nonfinite = NonFinite::string;
    bool squeeze = false, compact = false, ascii = false;
    bool sums = false;
    std::optional<Background> background;  ///< empty: what the terminal says
    When colour = When::automatic;
    Messages messages = Messages::text;
    ExplainOptions explain;

    /// The format of standard output.
    Format standard_format() const { return format.value_or(writes_of(command).front().format); }
};

/// The value of --layer that means every one.
inline constexpr std::string_view all_layers = "all";
/// The options of a run of one layer: its number in place of {layer} in names of files.
Options options_of_layer(const Options& options, Index layer);
/// Whether each layer is written to files of its own.
bool writes_by_layer(const Options& options);

/// What -o and -f ask for: files, and standard output where no file is named or -f is given as well (but for
/// `diff -q`). Each has a format: without one it is the first that the command writes.
std::vector<Target> targets_of(const Options& options);

/// Reads the words after the program's name. \throws Error (exit 2) for what no document could make right.
Options parse_options(std::span<const char* const> arguments);

/// What messages and colour ask for, read from a command line that may be wrong elsewhere.
Options parse_message_options(std::span<const char* const> arguments) noexcept;

/// The version of the command line library.
std::string_view cli_library_version();

}  // namespace attn
