#include "app/flags.hpp"

#include "lib/input/choices.hpp"
#include "lib/input/key_table.hpp"
#include "lib/kernels/dispatch.hpp"
#include "lib/option_words.hpp"
#include "lib/render/traces/store.hpp"
#include "lib/text.hpp"
#include "lib/theirs/names.hpp"

namespace attn {
namespace {

constexpr unsigned run = bit(Command::run), check = bit(Command::check), init = bit(Command::init),
                   schema = bit(Command::schema), convert = bit(Command::convert),
                   explain = bit(Command::explain), diff = bit(Command::diff),
                   blindspots = bit(Command::blindspots), probe = bit(Command::probe),
                   view = bit(Command::view), completion = bit(Command::completion);
constexpr unsigned all =
    run | check | init | schema | convert | explain | diff | blindspots | probe | view | completion;
constexpr bool often = true;

using Names = std::vector<std::string_view>;

template <const auto& names>
Names words_in(Command /*command*/) {
    return {names.begin(), names.end()};
}
constexpr std::array<std::string_view, 3> when_names{"auto", "always", "never"},
    nonfinite_names{"string", "null", "bare"}, layout_names{"any", "heads-first", "tokens-first"},
    level_names{"brief", "normal", "full"}, background_names{"auto", "dark", "light"};
constexpr std::array<std::string_view, 5> stack_names{"text", "encoder", "decoder", "cross", "vision"};
constexpr std::array<std::string_view, 2> message_names{"text", "json"};
constexpr std::array<std::string_view, 4> causal_names{"true", "false", "top_left", "bottom_right"};
constexpr auto dtype_names = choice_names<DType>();

Names float_names(Command /*command*/) {
    Names out;
    for (const Element e : float_elements) out.push_back(name_of(e));
    return out;
}
Names stage_names(Command /*command*/) {
    Names out;
    for (const StageInfo& s : all_stages()) out.push_back(s.name);
    return out;
}
Names names_of_maps(Command /*command*/) { return {map_names().begin(), map_names().end()}; }
Names key_names(Command /*command*/) {
    Names out;
    for (const KeySchema& key : all_keys()) out.push_back(key.name);
    return out;
}
Names kernel_names(Command /*command*/) {
    Names out{"auto"};
    for (const std::string_view set : kernels::known_sets()) out.push_back(set);
    return out;
}

/// THE TABLE of options, in the order in which help shows them.
constexpr std::array<FlagRow, flag::id_count> rows{{
    {flag::stages,
     option::stages,
     "A,B",
     {{{run, Topic::what, 0, "only these; as the last word, without names: list them", stage_names},
       {check | diff, Topic::what, 0, "these stages only", stage_names},
       {view, Topic::what, 0, "these stages, or arrays of a file (the last weights)", stage_names},
       {convert, Topic::what, 0, "only these tensors, in this order"}}},
     often},
    {flag::batch,
     option::batch,
     "N",
     {{{run | check | view, Topic::what, 0, "batch items: 0 or 0,2 or 0:8"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"},
       {explain, Topic::what, 0, "the batch item, of several (0)"}}}},
    {flag::heads,
     option::heads,
     "N",
     {{{run | check | view, Topic::what, 0, "query heads: 0 or 0,2 or 0:8"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"},
       {probe, Topic::what, 0, "query heads (2)"}}}},
    {flag::rows,
     option::rows,
     "N",
     {{{run | check | view, Topic::what, 0, "queries: 0 or 0,2 or 0:8, or a token"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"}}},
     often},
    {flag::cols,
     option::cols,
     "N",
     {{{run | check | view, Topic::what, 0, "keys: 0 or 0,2 or 0:8, or a token"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"}}}},
    {flag::row, "--row", "R", {{{explain, Topic::what, 0, "a query: its number from 0, or its token (1)"}}}},
    {flag::head, "--head", "N", {{{explain, Topic::what, 0, "the query head, of several (0)"}}}},
    {flag::all_rows, "--all-rows", "", {{{explain, Topic::what, 0, "every query, one after another"}}}},
    {flag::cell,
     option::cell,
     "CELL",
     {{{explain, Topic::what, 0,
        "one number and all that it is made of: \"STAGE[I,J]\", or [B,H,I,J] with batch item and head"}}}},
    {flag::level,
     option::level,
     "L",
     {{{explain, Topic::what, 0,
        "brief: results only; normal (default); full: where each number comes from, every term, every "
        "key",
        words_in<level_names>}}}},
    {flag::blank,
     "--blank",
     "A,B",
     {{{explain, Topic::what, 0, "leave the numbers of these stages as boxes", stage_names}}}},
    {flag::key, "--key", "", {{{explain, Topic::what, 0, "with --blank: the solution"}}}},
    {flag::tokens,
     option::tokens,
     "T",
     {{{probe, Topic::what, 0, "queries and keys (6)"},
       {view, Topic::what, 0, "labels a,b,c of queries and keys, as many as there are"}}}},
    {flag::kv_heads, "--kv-heads", "N", {{{probe, Topic::what, 0, "heads of keys and values (as many)"}}}},
    {flag::causal, "--causal", "KIND", {{{probe, Topic::what, 0, "{choices}", words_in<causal_names>}}}},
    {flag::window, "--window", "N", {{{probe, Topic::what, 0, "tokens to the left that are seen"}}}},
    {flag::softcap, "--softcap", "C", {{{probe, Topic::what, 0, "scores become C tanh(score / C)"}}}},
    {flag::rope, "--rope", "", {{{probe, Topic::what, 0, "rotary positions"}}}},
    {flag::gradient,
     "--gradient",
     "",
     {{{probe, Topic::what, 0, "what enters a backward pass: its mistakes, too"}}}},
    {flag::seed, "--seed", "N", {{{probe, Topic::what, 0, "the first seed that is tried (1)"}}}},
    {flag::atol,
     "--atol",
     "X",
     {{{diff, Topic::numbers, 0,
        "with --rtol: |theirs - ours| <= atol + rtol |ours|; by default as torch.testing.assert_close for "
        "the coarser type"}}}},
    {flag::rtol, "--rtol", "X", {{{diff, Topic::numbers, 0, "see --atol"}}}},
    {flag::ulp, "--ulp", "N", {{{diff, Topic::numbers, 0, "at most N steps apart, in place of both"}}}},
    {flag::digits,
     option::digits,
     "N",
     {{{diff, Topic::numbers, 0,
        "theirs were printed with N decimals: equal where ours rounds to it (default: counted); full: "
        "compare all"}}}},
    {flag::map_of_names,
     option::map,
     "NAME",
     {{{diff, Topic::theirs, 0, "names of {choices}", names_of_maps}}}},
    {flag::layout,
     option::layout,
     "L",
     {{{diff, Topic::theirs, 0, "{choices}: where both fit", words_in<layout_names>}}}},
    {flag::layer,
     option::layer,
     "N",
     {{{run | check | explain | blindspots | view | init, Topic::work, 0,
        "with --model: the layer, counted from 0, or all"},
       {diff, Topic::theirs, 0, "this layer only; with --model: of the model, or all"}}}},
    {flag::ignore_unknown,
     option::ignore_unknown,
     "",
     {{{diff, Topic::theirs, 0, "names that are compared with nothing do not count"}}}},
    {flag::dtype,
     option::dtype,
     "T",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0, "arithmetic: {words}",
        words_in<dtype_names>},
       {convert, Topic::work, 0, "{words}: round to nearest, ties to even. Booleans stay", float_names}}}},
    {flag::model,
     option::model,
     "DIR",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "a layer of a folder or .gguf for FILE (diff: OURS)"},
       {init, Topic::work, 0, "write the document of a layer of a folder or .gguf"}}}},
    {flag::stack,
     option::stack,
     "S",
     {{{run | check | explain | diff | blindspots | view | init, Topic::work, 0, "with --model: {words}",
        words_in<stack_names>}}}},
    {flag::as_type,
     option::as_type,
     "TYPE",
     {{{run | check | explain | diff | blindspots | view | init, Topic::work, 0,
        "with --model: read it as another model type"}}}},
    {flag::embeddings,
     option::embeddings,
     "FILE",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "FILE or FILE:NAME, already normed: no embeddings_norm"},
       {init, Topic::work, 0, "with --model: embeddings, already normed"}}}},
    {flag::block,
     "--block",
     "FILE",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "the same, before the norm: embeddings_norm stays"},
       {init, Topic::work, 0, "with --model: embeddings before the layer's norm"}}}},
    {flag::key_embeddings,
     "--key-embeddings",
     "FILE",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "key_embeddings from a file of tensors"},
       {init, Topic::work, 0, "with --model: what keys and values are made from"}}}},
    {flag::weights,
     "--weights",
     "FILE",
     {{{run | check | explain | view, Topic::work, 0, "weights from a file of tensors"}}}},
    {flag::prefix, "--prefix", "P", {{{run | check | explain | view, Topic::work, 0, "its names below P"}}}},
    {flag::set_key,
     "--set",
     "KEY=JSON",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "a member of the document: causal=true (repeatable)", key_names}}}},
    {flag::root,
     option::root,
     "DIR",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "documents may name files below it too (repeatable)"}}}},
    {flag::keep_going,
     "--keep-going",
     "",
     {{{run, Topic::work, 0, "a wrong document costs no other one; exit 3 at the end"}}}},
    {flag::threads,
     "--threads",
     "N",
     {{{run | check | explain | diff | view, Topic::work, 0, "workers (0: what the machine offers)"}}}},
    {flag::kernel_set,
     "--kernels",
     "NAME",
     {{{run | explain | diff | view, Topic::work, 0, "instruction set: {choices}", kernel_names}}}},
    {flag::max_memory,
     option::max_memory,
     "SIZE",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "refuse what needs more: 800M, 1.5G, 2GiB"}}}},
    {flag::format,
     "-f,--format",
     "F",
     {{{run | check | explain | diff | blindspots | probe | view, Topic::form, 0, "{choices}", formats_of},
       {convert, Topic::form, 0, "to standard output, as {words}", formats_of}}},
     often},
    {flag::output,
     "-o,--output",
     "FILE",
     {{{run | check | explain | diff | blindspots | probe | view, Topic::form, 0,
        "format by suffix ({suffixes}) or FILE:FORMAT; repeatable; - is standard output, which gets nothing "
        "beside a file unless -f is given"},
       {convert, Topic::form, 0, "format by suffix ({suffixes}) or FILE:FORMAT"},
       {init | schema | completion, Topic::form, 0, "the file to write; -: standard output"}}},
     often},
    {flag::top, option::top, "K", {{{run, Topic::form, obeys_top, "the K largest weights of each row"}}}},
    {flag::precision,
     "-p,--precision",
     "N",
     {{{run | explain | view, Topic::form, obeys_precision, "decimals (4)"}}},
     often},
    {flag::squeeze, "--squeeze", "", {{{run, Topic::form, obeys_squeeze, "leave out axes of length 1"}}}},
    {flag::compact,
     "--compact",
     "",
     {{{run, Topic::form, obeys_compact, "on one line; in tex a bmatrix in place of a table"},
       {check | explain | diff, Topic::form, obeys_compact, "on one line"}}}},
    {flag::sums,
     "--sums",
     "",
     {{{view, Topic::form, obeys_sums,
        "the sum of each row at its side, of weights their entropy too (nats)"}}}},
    {flag::background,
     "--background",
     "G",
     {{{view, Topic::form, obeys_background, "the terminal's ground: {choices}",
        words_in<background_names>}}}},
    {flag::nonfinite,
     option::nonfinite,
     "P",
     {{{run | explain, Topic::form, obeys_nonfinite, "infinities and NaN as {choices}",
        words_in<nonfinite_names>}}}},
    {flag::standalone,
     "--standalone",
     "",
     {{{explain, Topic::form, obeys_standalone, "a whole document that compiles"}}}},
    {flag::width,
     option::width,
     "N",
     {{{run | check | explain | diff | blindspots | view, Topic::form, obeys_width,
        "columns (the terminal's, or 80)"},
       {init, Topic::form, 0, "columns of the list of examples"},
       {probe, Topic::what, 0, "of the embeddings and the output (8)"}}}},
    {flag::ascii,
     "--ascii",
     "",
     {{{run | check | explain | diff | view, Topic::form, obeys_ascii, "no letters beyond ASCII"}}}},
    {flag::color,
     "--color",
     "WHEN",
     {{{run | explain | diff | view, Topic::messages, 0, "{choices}: in text and messages",
        words_in<when_names>},
       {check | init | schema | convert | blindspots | probe | completion, Topic::messages, 0,
        "{choices}: in messages", words_in<when_names>}}}},
    {flag::quiet,
     "-q,--quiet",
     "",
     {{{run | check | init | convert | explain | blindspots | probe | view, Topic::messages, 0,
        "no warnings, notes or progress"},
       {diff, Topic::messages, 0, "nothing on standard output, no warnings"}}},
     often},
    {flag::verbose,
     "-v,--verbose",
     "",
     {{{run, Topic::messages, 0, "time, workers and memory on standard error"}}}},
    {flag::watch,
     "--watch",
     "",
     {{{run | check | explain | view, Topic::messages, 0, "again whenever a file that it reads changes"}}}},
    {flag::error_format,
     "--error-format",
     "F",
     {{{all, Topic::messages, 0, "{choices}, one object a line", words_in<message_names>}}}},
    {flag::help,
     "-h,--help",
     "",
     {{{all, Topic::messages, 0, "this help; after a command: all its options"}}},
     often},
    {flag::version,
     "--version",
     "",
     {{{all, Topic::messages, 0, "the version; with -v of the libraries too"}}},
     often},
}};

constexpr bool flags_are_in_order() {
    for (std::size_t k = 0; k < rows.size(); ++k)
        if (static_cast<std::size_t>(rows[k].id) != k) return false;
    return true;
}
static_assert(flags_are_in_order());
static_assert(rows[flag::format].short_name() == option::format &&
              rows[flag::output].short_name() == option::output &&
              rows[flag::precision].short_name() == option::precision);

}  // namespace

std::span<const FlagRow> all_flags() { return rows; }

const FlagRow& row_of(flag::Id id) { return rows[id]; }

std::string formats_that_obey(Command command, unsigned needs) {
    std::vector<std::string_view> names;
    for (const CommandFormat& f : writes_of(command))
        if ((f.obeys & needs) != 0) names.push_back(name_of(f.format));
    return listed(names);
}

const FlagUse* FlagRow::use(Command command) const {
    for (const FlagUse& u : uses)
        if ((u.commands & bit(command)) != 0) return &u;
    return nullptr;
}

std::string FlagRow::shown() const {
    std::string out(short_name());
    out += (out.empty() ? "" : ", ") + std::string(long_name());
    return out + (takes_value() ? " " : "") + std::string(value);
}

std::vector<std::string_view> words_of(const FlagRow& row, Command command) {
    const FlagUse& use = *row.use(command);
    return use.words ? use.words(command) : Names{};
}

std::string text_of(const FlagRow& row, Command command) {
    const FlagUse& use = *row.use(command);
    const Names words = words_of(row, command);
    std::string text(use.text), choices, suffixes;
    for (const std::string_view word : words)
        choices += choices.empty() ? std::string(word) + " (default)" : ", " + std::string(word);
    for (const CommandFormat& f : writes_of(command)) {
        const std::string_view suffix = row_of(f.format).suffixes[0];
        if (!suffix.empty()) suffixes += (suffixes.empty() ? "." : " .") + std::string(suffix);
    }
    text = replaced(replaced(replaced(text, "{choices}", choices), "{words}", listed(words)), "{suffixes}",
                    suffixes);
    return use.needs == 0 ? text : formats_that_obey(command, use.needs) + ": " + text;
}

}  // namespace attn
