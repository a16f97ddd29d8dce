#include "app/options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Version.hpp>
#include <algorithm>
#include <array>

#include "app/option_values.hpp"
#include "lib/kernels/dispatch.hpp"

namespace attn {
namespace {

enum Id {
    help,
    version,
    quiet,
    verbose,
    error_format,
    color,
    format,
    output,
    stages,
    batch,
    heads,
    rows,
    cols,
    top,
    precision,
    dtype,
    threads,
    kernel_set,
    max_memory,
    nonfinite,
    squeeze,
    compact,
    width,
    ascii,
    weights,
    prefix,
    row,
    head,
    all_rows,
    cell,
    level,
    blank,
    key,
    standalone,
    atol,
    rtol,
    ulp,
    map_of_names,
    digits,
    layout,
    layer,
    tokens,
    kv_heads,
    causal,
    window,
    softcap,
    rope,
    seed,
    id_count
};

constexpr unsigned of_run = bit(Command::run), of_check = bit(Command::check), of_init = bit(Command::init),
                   of_convert = bit(Command::convert), of_explain = bit(Command::explain),
                   of_diff = bit(Command::diff), of_blindspots = bit(Command::blindspots),
                   of_probe = bit(Command::probe), of_all = ~0U;

struct Flag {
    Id id;
    const char* names;
    bool takes_value;
    unsigned commands;
};

/// THE TABLE of options.
constexpr std::array<Flag, id_count> flags{{
    {help, "-h,--help", false, of_all},
    {version, "--version", false, of_all},
    {quiet, "-q,--quiet", false, of_all},
    {verbose, "-v,--verbose", false, of_all},
    {error_format, "--error-format", true, of_all},
    {color, "--color", true, of_all},
    {format, "-f,--format", true, of_run | of_check | of_convert | of_explain | of_diff | of_blindspots},
    {output, "-o,--output", true, of_all},
    {stages, "--stages", true, of_run | of_check | of_convert | of_diff},
    {batch, "--batch", true, of_run | of_check | of_explain},
    {heads, "--heads", true, of_run | of_check | of_probe},
    {rows, "--rows", true, of_run | of_check},
    {cols, "--cols", true, of_run | of_check},
    {top, "--top", true, of_run},
    {precision, "-p,--precision", true, of_run | of_explain},
    {dtype, "--dtype", true, of_run | of_check | of_convert | of_explain | of_diff | of_blindspots},
    {threads, "--threads", true, of_run | of_check | of_explain | of_diff},
    {kernel_set, "--kernels", true, of_run | of_check | of_explain | of_diff},
    {max_memory, "--max-memory", true, of_run | of_check | of_explain | of_diff | of_blindspots},
    {nonfinite, "--nonfinite", true, of_run | of_check | of_explain},
    {squeeze, "--squeeze", false, of_run},
    {compact, "--compact", false, of_run | of_check | of_explain | of_diff},
    {width, "--width", true, of_run | of_check | of_init | of_explain | of_diff | of_blindspots | of_probe},
    {ascii, "--ascii", false, of_run | of_check | of_explain | of_diff},
    {weights, "--weights", true, of_run | of_check | of_explain},
    {prefix, "--prefix", true, of_run | of_check | of_explain},
    {row, "--row", true, of_explain},
    {head, "--head", true, of_explain},
    {all_rows, "--all-rows", false, of_explain},
    {cell, "--cell", true, of_explain},
    {level, "--level", true, of_explain},
    {blank, "--blank", true, of_explain},
    {key, "--key", false, of_explain},
    {standalone, "--standalone", false, of_explain},
    {atol, "--atol", true, of_diff},
    {rtol, "--rtol", true, of_diff},
    {ulp, "--ulp", true, of_diff},
    {map_of_names, "--map", true, of_diff},
    {digits, "--digits", true, of_diff},
    {layout, "--layout", true, of_diff},
    {layer, "--layer", true, of_diff},
    {tokens, "--tokens", true, of_probe},
    {kv_heads, "--kv-heads", true, of_probe},
    {causal, "--causal", true, of_probe},
    {window, "--window", true, of_probe},
    {softcap, "--softcap", true, of_probe},
    {rope, "--rope", false, of_probe},
    {seed, "--seed", true, of_probe},
}};

constexpr bool flags_are_in_order() {
    for (std::size_t k = 0; k < flags.size(); ++k)
        if (static_cast<std::size_t>(flags[k].id) != k) return false;
    return true;
}
static_assert(flags_are_in_order());

std::string_view long_name(const Flag& flag) {
    const std::string_view names = flag.names;
    return names.substr(names.find("--"));
}

const Flag* flag_named(std::string_view word) {
    for (const Flag& f : flags)
        if (long_name(f) == word) return &f;
    return nullptr;
}

[[noreturn]] void unknown_option(std::string_view word) {
    std::string_view name = word.substr(0, word.find('='));
    name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
    std::vector<std::string_view> names;
    for (const Flag& f : flags) names.push_back(long_name(f).substr(2));
    const std::string near = nearest_name(name, names);
    fail_usage("unknown option " + std::string(word),
               near.empty()
                   ? "a file whose name begins with - is written after --, or as ./" + std::string(word)
                   : "did you mean --" + near + "?");
}

/// What the library would read differently from what is meant: a long name behind one dash (a cluster of
/// short ones), and an empty value after = (no value, so that the next word is taken). `--stages` without a
/// value lists.
std::vector<std::string> prepared(std::span<const char* const> arguments) {
    std::vector<std::string> words(arguments.begin(), arguments.end());
    for (std::string& word : words) {
        if (word == "--stages=" || (word == "--stages" && &word == &words.back())) {
            word = "--stages=?";
        } else if (word.size() > 2 && word[0] == '-' && word[1] != '-') {
            if (flag_named("-" + word.substr(0, word.find('=')))) unknown_option(word);
        } else if (word.starts_with("--") && word.ends_with('=')) {
            const Flag* flag = flag_named(std::string_view(word).substr(0, word.size() - 1));
            if (flag && flag->takes_value) fail_usage(word + " needs a value");
        }
    }
    return words;
}

struct Parsed {
    std::array<std::vector<std::string>, id_count> values;
    std::array<std::int64_t, id_count> counts{};
    std::vector<std::string> words;  ///< no options
    std::size_t after_dashes = 0;    ///< how many of them stand after --
    bool given(Id id) const { return counts[id] != 0 || !values[id].empty(); }
};

Parsed parse_words(std::span<const char* const> arguments) {
    const auto dashes = std::find(arguments.begin(), arguments.end(), std::string_view("--"));
    std::vector<std::string> words = prepared({arguments.begin(), dashes});
    const std::string last = words.empty() ? std::string{} : words.back();

    Parsed parsed;
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    for (const Flag& f : flags) {
        if (f.takes_value) {
            app.add_option(f.names, parsed.values[f.id])
                ->expected(1)
                ->allow_extra_args(false)
                ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        } else {
            app.add_flag(f.names, parsed.counts[f.id]);
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
    for (const Flag& f : flags)
        if (parsed.given(f.id) && (f.commands & bit(command)) == 0)
            fail_usage("attn-calc " + std::string(name_of(command)) + " takes no " +
                       std::string(long_name(f)));
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
    const auto last = [&](Id id) { return parsed.values[id].empty() ? "" : parsed.values[id].back(); };
    o.level = last(level);
    o.row = last(row);
    o.cell = last(cell);
    if (!parsed.values[head].empty()) o.head = integer_value("--head", last(head), 0, 1'000'000'000);
    o.all_rows = parsed.counts[all_rows] != 0;
    o.solution = parsed.counts[key] != 0;
    o.standalone = parsed.counts[standalone] != 0;
    for (const std::string& text : parsed.values[blank]) append_stages(text, o.blank, "--blank");
    return o;
}

DiffAsk read_diff(const Parsed& parsed) {
    DiffAsk ask;
    const auto given = [&](Id id) { return !parsed.values[id].empty(); };
    const auto last = [&](Id id) -> const std::string& { return parsed.values[id].back(); };
    if (given(atol)) ask.compare.atol = number_value("--atol", last(atol));
    if (given(rtol)) ask.compare.rtol = number_value("--rtol", last(rtol));
    if (given(ulp)) ask.compare.ulp = integer_value("--ulp", last(ulp), 0, 1'000'000'000);
    if (given(ulp) && (given(atol) || given(rtol)))
        fail_usage("--ulp stands in place of --atol and --rtol", "leave one or the other");
    if (given(map_of_names))
        ask.map = static_cast<NameMap>(choice_value("--map", last(map_of_names), map_names()));
    if (given(digits))
        ask.digits = last(digits) == "full" ? 0 : integer_value("--digits", last(digits), 1, 17);
    constexpr std::array<std::string_view, 3> layouts{"any", "heads-first", "tokens-first"};
    if (given(layout))
        ask.compare.layout = static_cast<Layout>(choice_value("--layout", last(layout), layouts));
    if (given(layer)) ask.layer = integer_value("--layer", last(layer), 0, 1'000'000);
    for (const std::string& text : parsed.values[stages])
        if (text != "?") append_stages(text, ask.compare.only);
    for (const std::string& name : ask.compare.only) {
        std::vector<std::string_view> names;
        for (const StageInfo& s : all_stages()) names.push_back(s.name);
        if (!stage_named(name))
            fail_usage("--stages: unknown stage \"" + name + "\"", did_you_mean(name, names));
    }
    return ask;
}

ProbeAsk read_probe(const Parsed& parsed) {
    ProbeAsk ask;
    const auto integer = [&](Id id, Index& to, int least, int most) {
        if (!parsed.values[id].empty())
            to = integer_value(long_name(flags[id]), parsed.values[id].back(), least, most);
    };
    integer(tokens, ask.tokens, 2, 256);
    integer(heads, ask.heads, 1, 64);
    integer(width, ask.width, 1, 512);
    integer(kv_heads, ask.kv_heads, 1, 64);
    Index number = static_cast<Index>(ask.seed);
    integer(seed, number, 0, 1'000'000'000);
    ask.seed = static_cast<std::uint64_t>(number);
    if (!parsed.values[causal].empty()) {
        constexpr std::array<std::string_view, 4> kinds{"true", "false", "top_left", "bottom_right"};
        ask.causal = kinds[choice_value("--causal", parsed.values[causal].back(), kinds)];
    }
    if (!parsed.values[window].empty()) {
        number = 0;
        integer(window, number, 0, 1'000'000);
        ask.window = number;
    }
    if (!parsed.values[softcap].empty())
        ask.softcap = number_value("--softcap", parsed.values[softcap].back());
    if (ask.softcap && !(*ask.softcap > 0)) fail_usage("--softcap has to be above 0");
    ask.rope = parsed.counts[rope] != 0;
    return ask;
}

Options convert(const Parsed& parsed, Options options) {
    const auto given = [&](Id id) { return !parsed.values[id].empty(); };
    const auto last = [&](Id id) -> const std::string& { return parsed.values[id].back(); };
    const auto choice = [&](Id id, std::initializer_list<std::string_view> names) {
        return choice_value(long_name(flags[id]), last(id), {names.begin(), names.size()});
    };
    options.quiet = parsed.counts[quiet] != 0;
    options.verbose = parsed.counts[verbose] != 0;
    options.squeeze = parsed.counts[squeeze] != 0;
    options.compact = parsed.counts[compact] != 0;
    options.ascii = parsed.counts[ascii] != 0;
    if (given(error_format)) options.messages = static_cast<Messages>(choice(error_format, {"text", "json"}));
    if (given(color)) options.colour = static_cast<When>(choice(color, {"auto", "always", "never"}));
    if (given(nonfinite))
        options.nonfinite = static_cast<NonFinite>(choice(nonfinite, {"string", "null", "bare"}));
    if (given(dtype) && options.command == Command::convert) {  // in the order of Element
        options.element = static_cast<Element>(choice(dtype, {"float64", "float32", "float16", "bfloat16"}));
    } else if (given(dtype)) {
        options.request.dtype = static_cast<DType>(choice(dtype, {"float32", "float64"}));
    }
    if (options.command == Command::explain) options.explain = explain_options(parsed);
    if (given(format)) options.format = format_value(last(format), options.command);
    if (given(precision)) options.precision = integer_value("--precision", last(precision), 0, 30);
    if (given(top)) options.top = integer_value("--top", last(top), 1, 1'000'000);
    if (given(width) && options.command != Command::probe)
        options.width = integer_value("--width", last(width), 20, 10'000);
    if (given(threads)) options.request.threads = integer_value("--threads", last(threads), 0, 4096);
    if (given(max_memory)) options.request.max_memory = size_value("--max-memory", last(max_memory));
    if (given(batch)) options.request.batch = last(batch);
    if (given(heads) && options.command != Command::probe) options.request.heads = last(heads);
    if (given(rows)) options.request.rows = last(rows);
    if (given(cols)) options.request.cols = last(cols);
    if (given(weights)) options.weights = last(weights);
    if (given(prefix)) options.prefix = last(prefix);
    for (const std::string& text : parsed.values[stages])
        text == "?" ? void(options.list_stages = true) : append_stages(text, options.request.stages);
    if (options.command == Command::diff) options.diff = read_diff(parsed);
    if (options.command == Command::probe) options.probe = read_probe(parsed);
    read_outputs(parsed, options);
    return options;
}

}  // namespace

Options parse_options(std::span<const char* const> arguments) {
    Parsed parsed = parse_words(arguments);
    Options options;
    options.help = parsed.counts[help] != 0;
    options.version = parsed.counts[version] != 0;
    if (!options.version) choose_command(parsed, options);
    if (!parsed.values[kernel_set].empty()) {
        options.kernels = parsed.values[kernel_set].back();
        kernels::check_name(options.kernels, "--kernels");
    }
    if (options.help || options.version) {
        options.verbose = parsed.counts[verbose] != 0;
        return options;
    }
    refuse_foreign_flags(parsed, options.command);
    options = convert(parsed, std::move(options));
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
