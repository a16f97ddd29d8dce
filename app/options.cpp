#include "app/options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Version.hpp>
#include <algorithm>
#include <array>
#include <iterator>

#include "app/flags.hpp"
#include "app/option_values.hpp"
#include "app/overrides.hpp"
#include "app/parsed.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/kernels/dispatch.hpp"
#include "lib/render/traces/store.hpp"

namespace attn {
namespace {

using enum flag::Id;

const FlagRow* flag_named(std::string_view word) {
    for (const FlagRow& f : all_flags())
        if (f.long_name() == word) return &f;
    return nullptr;
}

[[noreturn]] void unknown_option(std::string_view word) {
    std::string_view name = word.substr(0, word.find('='));
    name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
    std::vector<std::string_view> names;
    for (const FlagRow& f : all_flags()) names.push_back(f.long_name().substr(2));
    const std::string near = nearest_name(name, names);
    fail_usage("unknown option " + std::string(word),
               near.empty()
                   ? "a file whose name begins with - is written after --, or as ./" + std::string(word)
                   : "did you mean --" + near + "?");
}

/// Words for the library, without those that say `--stages` and no name: they ask for the list.
struct Prepared {
    std::vector<std::string> words;
    bool list_stages = false;
};

/// What the library would read differently from what is meant: a long name behind one dash (a cluster of
/// short ones), and an empty value after = (no value, so that the next word is taken).
Prepared prepared(std::span<const char* const> arguments) {
    Prepared out;
    for (std::size_t k = 0; k < arguments.size(); ++k) {
        std::string word = arguments[k];
        if (word == "--stages=" || (word == "--stages" && k + 1 == arguments.size())) {
            out.list_stages = true;
            continue;
        }
        if (word.size() > 2 && word[0] == '-' && word[1] != '-') {
            if (flag_named("-" + word.substr(0, word.find('=')))) unknown_option(word);
        } else if (word.starts_with("--") && word.ends_with('=')) {
            const FlagRow* flag = flag_named(std::string_view(word).substr(0, word.size() - 1));
            if (flag && flag->takes_value()) fail_usage(word + " needs a value");
        }
        out.words.push_back(std::move(word));
    }
    return out;
}

Parsed parse_words(std::span<const char* const> arguments) {
    const auto dashes = std::find(arguments.begin(), arguments.end(), std::string_view("--"));
    auto [words, list_stages] = prepared({arguments.begin(), dashes});
    const std::string last = words.empty() ? std::string{} : words.back();

    Parsed parsed;
    parsed.list_stages = list_stages;
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    for (const FlagRow& f : all_flags()) {
        if (f.takes_value()) {
            app.add_option(std::string(f.names), parsed.values[f.id])
                ->expected(1)
                ->allow_extra_args(false)
                ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        } else {
            app.add_flag(std::string(f.names), parsed.counts[f.id]);
        }
    }
    std::reverse(words.begin(), words.end());
    try {
        app.parse(std::move(words));
    } catch (const CLI::ArgumentMismatch&) {
        fail_usage(last + " needs a value");
    } catch (const CLI::ParseError& error) {
        fail_usage(error.what());
    }
    for (std::string& word : app.remaining()) {
        if (word.size() > 1 && word[0] == '-') unknown_option(word);
        parsed.words.push_back(std::move(word));
    }
    if (dashes != arguments.end()) {
        parsed.words.insert(parsed.words.end(), std::next(dashes), arguments.end());
        parsed.after_dashes = static_cast<std::size_t>(arguments.end() - dashes) - 1;
    }
    return parsed;
}

/// Takes the subcommand off the front of the words: `run` where the first one is a file, or none is there.
void choose_command(Parsed& parsed, Options& options) {
    if (parsed.words.size() <= parsed.after_dashes) return;
    const std::string word = parsed.words.front();
    const auto all = all_commands();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const CommandRow& r) { return r.name == word; });
    if (found != all.end()) {
        options.command = found->command;
        options.command_named = true;
    } else if (word == "help") {
        options.help = true;
        parsed.words.erase(parsed.words.begin());
        return choose_command(parsed, options);
    } else if (word == "-" || word.find_first_of("./") != std::string::npos) {
        return;
    } else {
        std::vector<std::string_view> names;
        std::string list = "commands: ";
        for (const CommandRow& r : all) {
            names.push_back(r.name);
            list += std::string(&r == all.data() ? "" : ", ") + std::string(r.name);
        }
        const std::string near = did_you_mean(word, names);
        fail_usage("unknown command \"" + word + "\"",
                   near.empty() ? list + "; a file of that name is written ./" + word : near);
    }
    parsed.words.erase(parsed.words.begin());
}

void refuse_foreign_flags(const Parsed& parsed, Command command) {
    for (const FlagRow& f : all_flags())
        if (parsed.given(f.id) && !f.use(command))
            fail_usage("attn-calc " + std::string(name_of(command)) + " takes no " +
                       std::string(f.long_name()));
}

void read_outputs(const Parsed& parsed, Options& options) {
    for (const std::string& text : parsed.values[output]) {
        Target target = target_value(text, options.command);
        for (const Target& other : options.targets)
            if (other.path == target.path) fail_usage("-o " + target.path + " is given twice");
        options.targets.push_back(std::move(target));
    }
    if (!row_of(options.command).several && options.targets.size() > 1)
        fail_usage("-o: " + std::string(name_of(options.command)) + " writes one file");
}

ExplainOptions explain_options(const Parsed& parsed) {
    ExplainOptions o;
    const auto last = [&](flag::Id id) { return parsed.values[id].empty() ? "" : parsed.values[id].back(); };
    if (!parsed.values[level].empty())
        o.level = static_cast<explain::Level>(choice(parsed, level, Command::explain));
    o.row = last(row);
    o.cell = last(cell);
    if (!parsed.values[head].empty()) o.head = integer(parsed, head, 0, 1'000'000'000);
    o.all_rows = parsed.counts[all_rows] != 0;
    o.solution = parsed.counts[key] != 0;
    o.standalone = parsed.counts[standalone] != 0;
    for (const std::string& text : parsed.values[blank])
        append_stages(text, o.blank, row_of(blank).long_name());
    return o;
}

DiffAsk read_diff(const Parsed& parsed) {
    DiffAsk ask;
    const auto given = [&](flag::Id id) { return !parsed.values[id].empty(); };
    const auto last = [&](flag::Id id) -> const std::string& { return parsed.values[id].back(); };
    if (given(atol)) ask.compare.atol = number_value(row_of(atol).long_name(), last(atol));
    if (given(rtol)) ask.compare.rtol = number_value(row_of(rtol).long_name(), last(rtol));
    if (given(ulp)) ask.compare.ulp = integer(parsed, ulp, 0, 1'000'000'000);
    if (given(ulp) && (given(atol) || given(rtol)))
        fail_usage("--ulp stands in place of --atol and --rtol", "leave one or the other");
    if (given(map_of_names)) ask.map = static_cast<NameMap>(choice(parsed, map_of_names, Command::diff));
    if (given(digits)) ask.digits = last(digits) == "full" ? 0 : integer(parsed, digits, 1, 17);
    if (given(layout)) ask.compare.layout = static_cast<Layout>(choice(parsed, layout, Command::diff));
    ask.compare.ignore_unknown = parsed.counts[ignore_unknown] != 0;
    if (given(layer) && last(layer) != all_layers) ask.layer = integer(parsed, layer, 0, 1'000'000);
    for (const std::string& text : parsed.values[stages]) append_stages(text, ask.compare.only);
    for (const std::string& name : ask.compare.only)
        if (!stage_named(name) && !name.starts_with("d_"))
            fail_usage("--stages: unknown stage \"" + name + "\"", stage_hint(name));
    return ask;
}

ProbeAsk read_probe(const Parsed& parsed) {
    ProbeAsk ask;
    const auto take = [&](flag::Id id, Index& to, int least, int most) {
        if (!parsed.values[id].empty()) to = integer(parsed, id, least, most);
    };
    take(tokens, ask.tokens, 2, 256);
    take(heads, ask.heads, 1, 64);
    take(width, ask.width, 1, 512);
    take(kv_heads, ask.kv_heads, 1, 64);
    Index number = static_cast<Index>(ask.seed);
    take(seed, number, 0, 1'000'000'000);
    ask.seed = static_cast<std::uint64_t>(number);
    if (!parsed.values[causal].empty())
        ask.causal = words_of(row_of(causal), Command::probe)[choice(parsed, causal, Command::probe)];
    if (!parsed.values[window].empty()) {
        number = 0;
        take(window, number, 0, 1'000'000);
        ask.window = number;
    }
    if (!parsed.values[softcap].empty())
        ask.softcap = number_value(row_of(softcap).long_name(), parsed.values[softcap].back());
    if (ask.softcap && !(*ask.softcap > 0)) fail_usage("--softcap has to be above 0");
    ask.rope = parsed.counts[rope] != 0;
    ask.gradient = parsed.counts[gradient] != 0;
    return ask;
}

/// A key of --set in whose place, or over which, another option stands.
void refuse_idle_overrides(const Parsed& parsed, const Options& options) {
    constexpr std::array<std::pair<flag::Id, std::string_view>, 6> others{
        {{dtype, "dtype"},
         {weights, "weights"},
         {prefix, "weights"},
         {embeddings, "embeddings"},
         {block, "embeddings"},
         {key_embeddings, "key_embeddings"}}};
    for (const Override& one : options.overrides)
        for (const auto& [id, key] : others)
            if (one.key == key && parsed.given(id))
                fail_usage(std::string(row_of(set_key).long_name()) + " " + one.key + " and " +
                           std::string(row_of(id).long_name()) + " exclude each other");
}

Options convert(const Parsed& parsed, Options options) {
    const auto given = [&](flag::Id id) { return !parsed.values[id].empty(); };
    const auto last = [&](flag::Id id) -> const std::string& { return parsed.values[id].back(); };
    const auto chosen = [&](flag::Id id) { return choice(parsed, id, options.command); };
    options.quiet = parsed.counts[quiet] != 0;
    options.verbose = parsed.counts[verbose] != 0;
    options.keep_going = parsed.counts[keep_going] != 0;
    options.squeeze = parsed.counts[squeeze] != 0;
    options.compact = parsed.counts[compact] != 0;
    options.ascii = parsed.counts[ascii] != 0;
    options.watch = parsed.counts[watch] != 0;
    options.sums = parsed.counts[sums] != 0;
    if (given(background))
        if (const std::size_t asked = chosen(background); asked > 0)
            options.background = static_cast<Background>(asked - 1);
    if (given(tokens) && options.command == Command::view) options.request.tokens = list_value(last(tokens));
    if (given(error_format)) options.messages = static_cast<Messages>(chosen(error_format));
    if (given(color)) options.colour = static_cast<When>(chosen(color));
    if (given(nonfinite)) options.nonfinite = static_cast<NonFinite>(chosen(nonfinite));
    if (given(dtype) && options.command == Command::convert) {
        options.element = float_elements[chosen(dtype)];
    } else if (given(dtype)) {
        options.request.dtype = static_cast<DType>(chosen(dtype));
    }
    if (options.command == Command::explain) options.explain = explain_options(parsed);
    if (given(format)) options.format = format_value(last(format), options.command);
    if (given(precision)) {
        options.precision = integer(parsed, precision, 0, 30);
        options.precision_asked = true;
    }
    if (given(top)) options.top = integer(parsed, top, 1, 1'000'000);
    if (given(width) && options.command != Command::probe) options.width = integer(parsed, width, 20, 10'000);
    if (given(threads)) options.request.threads = integer(parsed, threads, 0, 4096);
    if (given(max_memory))
        options.request.max_memory = size_value(row_of(max_memory).long_name(), last(max_memory));
    if (given(batch)) options.request.batch = last(batch);
    if (given(heads) && options.command != Command::probe) options.request.heads = last(heads);
    if (given(rows)) options.request.rows = last(rows);
    if (given(cols)) options.request.cols = last(cols);
    if (given(weights)) options.weights = last(weights);
    if (given(prefix)) options.prefix = last(prefix);
    read_model_options(parsed, options);
    for (const std::string& word : parsed.values[set_key])
        options.overrides.push_back(override_value(row_of(set_key).long_name(), word));
    refuse_idle_overrides(parsed, options);
    for (const std::string& text : parsed.values[stages]) append_stages(text, options.request.stages);
    options.list_stages = parsed.list_stages;
    if (options.command == Command::diff) options.diff = read_diff(parsed);
    if (options.command == Command::probe) options.probe = read_probe(parsed);
    read_outputs(parsed, options);
    return options;
}

/// "json", "json and csv": what is written.
std::string written(const std::vector<Target>& targets) {
    std::vector<std::string_view> names;
    for (const Target& t : targets)
        if (const auto name = name_of(*t.format); std::find(names.begin(), names.end(), name) == names.end())
            names.push_back(name);
    std::string out;
    for (const std::string_view name : names) out += (out.empty() ? "" : " and ") + std::string(name);
    return out;
}

/// An option of the form of outputs none of which obeys it.
void refuse_unobeyed(const Parsed& parsed, const Options& options) {
    if (writes_of(options.command).empty()) return;
    const std::vector<Target> targets = targets_of(options);
    unsigned obeyed = 0;
    for (const Target& t : targets)
        for (const CommandFormat& f : writes_of(options.command))
            if (f.format == t.format) obeyed |= f.obeys;
    for (const FlagRow& f : all_flags()) {
        if (!parsed.given(f.id)) continue;
        const unsigned needs = f.use(options.command)->needs;
        if (needs == 0 || (obeyed & needs) != 0) continue;
        const std::string name(f.long_name());
        fail_usage(name + " is for " + formats_that_obey(options.command, needs) + ", and " +
                   (targets.empty() ? "nothing is written" : "the output is " + written(targets)));
    }
}

/// Refuses the given options that `is_idle` says so of, because of `why`.
template <class IsIdle>
void refuse_where(const Parsed& parsed, Command command, const std::string& why, IsIdle is_idle) {
    for (const FlagRow& f : all_flags())
        if (parsed.given(f.id) && is_idle(f.id, f.use(command)->topic))
            fail_usage(std::string(f.long_name()) + " has no use: " + why);
}

/// An option that is accepted does something: refuses those that cannot, where the command line tells.
void refuse_idle_flags(const Parsed& parsed, const Options& options) {
    const Command command = options.command;
    if (options.quiet && options.verbose) fail_usage("--quiet and --verbose exclude each other");
    if (parsed.list_stages && command != Command::run)
        fail_usage("attn-calc " + std::string(name_of(command)) + ": --stages needs names",
                   "attn-calc run FILE --stages lists those of an input");
    if (parsed.list_stages)
        refuse_where(parsed, command, "--stages without names lists them", [](flag::Id id, Topic topic) {
            return topic == Topic::what || topic == Topic::form ||
                   (topic == Topic::work && id != weights && id != prefix && id != set_key &&
                    id != max_memory);
        });
    if (command == Command::check &&
        std::any_of(parsed.words.begin(), parsed.words.end(),
                    [](const std::string& word) { return names_tensor_file(word); }))
        refuse_where(parsed, command, "a file of tensors is listed",
                     [](flag::Id, Topic topic) { return topic == Topic::what || topic == Topic::work; });
    if (options.watch && !options.model &&
        (parsed.words.empty() ||
         std::find(parsed.words.begin(), parsed.words.end(), "-") != parsed.words.end()))
        fail_usage("--watch has no use: standard input is read once",
                   "attn-calc " + std::string(name_of(command)) + " FILE --watch");
    if (command == Command::init && options.model)
        refuse_where(parsed, command, "a document is written",
                     [](flag::Id id, Topic) { return id == width; });
    if (command == Command::init && !options.model)
        refuse_where(parsed, command,
                     parsed.words.empty() ? "the examples are listed" : "the example is written as it is",
                     [&](flag::Id id, Topic) { return id == (parsed.words.empty() ? output : width); });
    if (command == Command::diff && options.quiet)
        refuse_where(parsed, command, "-q writes nothing to standard output",
                     [](flag::Id id, Topic) { return id == format; });
    refuse_unobeyed(parsed, options);
}

}  // namespace

int integer(const Parsed& parsed, flag::Id id, int least, int most) {
    return integer_value(row_of(id).long_name(), parsed.values[id].back(), least, most);
}

std::size_t choice(const Parsed& parsed, flag::Id id, Command command) {
    const FlagRow& f = row_of(id);
    return choice_value(f.long_name(), parsed.values[id].back(), words_of(f, command));
}

std::vector<Target> targets_of(const Options& options) {
    std::vector<Target> targets = options.targets;
    const bool standard_named =
        std::any_of(targets.begin(), targets.end(), [](const Target& t) { return t.path == "-"; });
    if (targets.empty() || (options.format && !standard_named)) targets.push_back({"-", options.format});
    if (options.command == Command::diff && options.quiet)
        std::erase_if(targets, [](const Target& t) { return t.path == "-"; });
    for (Target& t : targets)
        if (!t.format) t.format = options.standard_format();
    return targets;
}

Options parse_options(std::span<const char* const> arguments) {
    Parsed parsed = parse_words(arguments);
    Options options;
    options.help = parsed.counts[help] != 0;
    options.version = parsed.counts[version] != 0;
    if (!options.version) choose_command(parsed, options);
    const bool describes = options.help || options.version;
    if (!describes) refuse_foreign_flags(parsed, options.command);
    if (!parsed.values[kernel_set].empty()) {
        options.kernels = parsed.values[kernel_set].back();
        kernels::check_name(options.kernels, "--kernels");
    }
    if (describes) {
        options.verbose = parsed.counts[verbose] != 0;
        return options;
    }
    options = convert(parsed, std::move(options));
    refuse_idle_flags(parsed, options);
    options.words = std::move(parsed.words);
    return options;
}

Options parse_message_options(std::span<const char* const> arguments) noexcept {
    Options options;
    const auto value_of = [&](std::size_t k, std::string_view name) -> std::string_view {
        const std::string_view word = arguments[k];
        if (word == name && k + 1 < arguments.size()) return arguments[k + 1];
        return word.starts_with(name) && word.size() > name.size() && word[name.size()] == '='
                   ? word.substr(name.size() + 1)
                   : std::string_view{};
    };
    for (std::size_t k = 0; k < arguments.size(); ++k) {
        if (arguments[k] == std::string_view("--")) break;
        if (const auto text = value_of(k, "--error-format"); !text.empty())
            options.messages = text == "json" ? Messages::json : Messages::text;
        if (const auto text = value_of(k, "--color"); !text.empty())
            options.colour = text == "always"  ? When::always
                             : text == "never" ? When::never
                                               : When::automatic;
    }
    return options;
}

std::string_view cli_library_version() { return CLI11_VERSION; }

}  // namespace attn
