#include "app/flags.hpp"

namespace attn {
namespace {

constexpr unsigned run = bit(Command::run), check = bit(Command::check), init = bit(Command::init),
                   schema = bit(Command::schema), convert = bit(Command::convert),
                   explain = bit(Command::explain), diff = bit(Command::diff),
                   blindspots = bit(Command::blindspots), probe = bit(Command::probe),
                   view = bit(Command::view);
constexpr unsigned all = run | check | init | schema | convert | explain | diff | blindspots | probe | view;
constexpr bool often = true;

/// THE TABLE of options, in the order in which help shows them.
constexpr std::array<FlagRow, flag::id_count> rows{{
    {flag::stages,
     "--stages",
     "A,B",
     {{{run, Topic::what, 0, "only these; as the last word, without names: list them"},
       {check | diff, Topic::what, 0, "these stages only"},
       {view, Topic::what, 0, "these stages, or arrays of a file (the last weights)"},
       {convert, Topic::what, 0, "only these tensors, in this order"}}},
     often},
    {flag::batch,
     "--batch",
     "N",
     {{{run | check | view, Topic::what, 0, "batch items: 0 or 0,2 or 0:8"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"},
       {explain, Topic::what, 0, "the batch item, of several (0)"}}}},
    {flag::heads,
     "--heads",
     "N",
     {{{run | check | view, Topic::what, 0, "query heads: 0 or 0,2 or 0:8"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"},
       {probe, Topic::what, 0, "query heads (2)"}}}},
    {flag::rows,
     "--rows",
     "N",
     {{{run | check | view, Topic::what, 0, "queries: 0 or 0,2 or 0:8, or a token"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"}}},
     often},
    {flag::cols,
     "--cols",
     "N",
     {{{run | check | view, Topic::what, 0, "keys: 0 or 0,2 or 0:8, or a token"},
       {diff, Topic::what, 0, "theirs is this part: ours is cut alike"}}}},
    {flag::row, "--row", "R", {{{explain, Topic::what, 0, "a query: its number from 0, or its token (1)"}}}},
    {flag::head, "--head", "N", {{{explain, Topic::what, 0, "the query head, of several (0)"}}}},
    {flag::all_rows, "--all-rows", "", {{{explain, Topic::what, 0, "every query, one after another"}}}},
    {flag::cell,
     "--cell",
     "CELL",
     {{{explain, Topic::what, 0,
        "one number and all that it is made of: \"STAGE[I,J]\", or [B,H,I,J] with batch item and head"}}}},
    {flag::level,
     "--level",
     "L",
     {{{explain, Topic::what, 0,
        "brief: results only; normal (default); full: where each number comes from, every term, every "
        "key"}}}},
    {flag::blank,
     "--blank",
     "A,B",
     {{{explain, Topic::what, 0, "leave the numbers of these stages as boxes"}}}},
    {flag::key, "--key", "", {{{explain, Topic::what, 0, "with --blank: the solution"}}}},
    {flag::tokens,
     "--tokens",
     "T",
     {{{probe, Topic::what, 0, "queries and keys (6)"},
       {view, Topic::what, 0, "labels a,b,c of queries and keys, as many as there are"}}}},
    {flag::kv_heads, "--kv-heads", "N", {{{probe, Topic::what, 0, "heads of keys and values (as many)"}}}},
    {flag::causal,
     "--causal",
     "KIND",
     {{{probe, Topic::what, 0, "true (default), false, top_left, bottom_right"}}}},
    {flag::window, "--window", "N", {{{probe, Topic::what, 0, "tokens to the left that are seen"}}}},
    {flag::softcap, "--softcap", "C", {{{probe, Topic::what, 0, "scores become C tanh(score / C)"}}}},
    {flag::rope, "--rope", "", {{{probe, Topic::what, 0, "rotary positions"}}}},
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
     "--digits",
     "N",
     {{{diff, Topic::numbers, 0,
        "theirs were printed with N digits after the point: equal where ours rounds to it (default: "
        "counted); "
        "full: compare all"}}}},
    {flag::map_of_names,
     "--map",
     "NAME",
     {{{diff, Topic::theirs, 0, "names of own (default), tutorial, tlens, onnx, onnx-1.21, llama"}}}},
    {flag::layout,
     "--layout",
     "L",
     {{{diff, Topic::theirs, 0, "heads-first, tokens-first: where the sizes fit both; any (default)"}}}},
    {flag::layer, "--layer", "N", {{{diff, Topic::theirs, 0, "this layer only"}}}},
    {flag::ignore_unknown,
     "--ignore-unknown",
     "",
     {{{diff, Topic::theirs, 0, "names that are compared with nothing are no difference"}}}},
    {flag::dtype,
     "--dtype",
     "T",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "float32 or float64, whatever the document says"},
       {convert, Topic::work, 0,
        "float16, bfloat16, float32 or float64: round to nearest, ties to even. Booleans stay"}}}},
    {flag::weights,
     "--weights",
     "FILE",
     {{{run | check | explain | view, Topic::work, 0, "weights from a file of tensors"}}}},
    {flag::prefix, "--prefix", "P", {{{run | check | explain | view, Topic::work, 0, "its names below P"}}}},
    {flag::threads,
     "--threads",
     "N",
     {{{run | check | explain | diff | view, Topic::work, 0, "workers (0: what the machine offers)"}}}},
    {flag::kernel_set,
     "--kernels",
     "NAME",
     {{{run | explain | diff | view, Topic::work, 0, "instruction set: auto, avx512, avx2, sse2, neon"}}}},
    {flag::max_memory,
     "--max-memory",
     "SIZE",
     {{{run | check | explain | diff | blindspots | view, Topic::work, 0,
        "refuse what needs more: 800M, 1.5G, 2GiB"}}}},
    {flag::format,
     "-f,--format",
     "F",
     {{{run | check | explain | diff | blindspots | probe | view, Topic::form, 0, "{formats}"},
       {convert, Topic::form, 0, "to standard output, as {names}"}}},
     often},
    {flag::output,
     "-o,--output",
     "FILE",
     {{{run | check | explain | diff | blindspots | probe | view, Topic::form, 0,
        "format by suffix ({suffixes}) or FILE:FORMAT; repeatable; - is standard output, which gets nothing "
        "beside a file unless -f is given"},
       {convert, Topic::form, 0, "format by suffix ({suffixes}) or FILE:FORMAT"},
       {init | schema, Topic::form, 0, "the file to write; -: standard output"}}},
     often},
    {flag::top, "--top", "K", {{{run, Topic::form, obeys_top, "the K largest weights of each row"}}}},
    {flag::precision,
     "-p,--precision",
     "N",
     {{{run | explain | view, Topic::form, obeys_precision, "digits after the point (4)"}}},
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
     {{{view, Topic::form, obeys_background, "the terminal's ground: auto (default), dark, light"}}}},
    {flag::nonfinite,
     "--nonfinite",
     "P",
     {{{run | explain, Topic::form, obeys_nonfinite, "infinities and NaN as string (default), null, bare"}}}},
    {flag::standalone,
     "--standalone",
     "",
     {{{explain, Topic::form, obeys_standalone, "a whole document that compiles"}}}},
    {flag::width,
     "--width",
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
     {{{run | explain | diff | view, Topic::messages, 0,
        "auto (default), always, never: in text and messages"},
       {check | init | schema | convert | blindspots | probe, Topic::messages, 0,
        "auto (default), always, never: in messages"}}}},
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
    {flag::error_format,
     "--error-format",
     "F",
     {{{all, Topic::messages, 0, "text (default) or json, one object a line"}}}},
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

void replace(std::string& text, std::string_view mark, const std::string& by) {
    if (const std::size_t at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), by);
}

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

std::string text_of(const FlagRow& row, Command command) {
    const FlagUse& use = *row.use(command);
    std::string text(use.text), names, formats, suffixes;
    for (const CommandFormat& f : writes_of(command)) {
        const std::string name(name_of(f.format));
        formats += names.empty() ? name + " (default)" : ", " + name;
        names += (names.empty() ? "" : ", ") + name;
        const std::string_view suffix = row_of(f.format).suffixes[0];
        if (!suffix.empty()) suffixes += (suffixes.empty() ? "." : " .") + std::string(suffix);
    }
    replace(text, "{formats}", formats);
    replace(text, "{names}", names);
    replace(text, "{suffixes}", suffixes);
    return use.needs == 0 ? text : formats_that_obey(command, use.needs) + ": " + text;
}

}  // namespace attn
