#include "app/command.hpp"

#include <algorithm>
#include <array>

#include "app/commands/commands.hpp"
#include "app/examples.hpp"

namespace attn {
namespace {

/// A command that ends well where it does not throw.
template <auto work>
Exit done(const Options& options, const Diagnostics& diagnostics) {
    work(options, diagnostics);
    return Exit::ok;
}

std::vector<std::string_view> example_names() {
    std::vector<std::string_view> names;
    for (const Example& e : examples()) names.push_back(e.name);
    return names;
}

constexpr unsigned text_form = obeys_width | obeys_ascii;
constexpr std::array check_formats{CommandFormat{Format::text, obeys_width | obeys_ascii},
                                   CommandFormat{Format::json, obeys_compact | obeys_ascii}};
constexpr std::array convert_formats{CommandFormat{Format::json, 0}, CommandFormat{Format::csv, 0},
                                     CommandFormat{Format::npz, 0}, CommandFormat{Format::npy, 0},
                                     CommandFormat{Format::safetensors, 0}};
constexpr std::array explain_formats{
    CommandFormat{Format::text, text_form | obeys_precision},
    CommandFormat{Format::json, obeys_nonfinite | obeys_compact | obeys_precision},
    CommandFormat{Format::md, obeys_precision | obeys_ascii},
    CommandFormat{Format::tex, obeys_precision | obeys_ascii | obeys_standalone},
    CommandFormat{Format::html, obeys_precision}};
constexpr std::array diff_formats{
    CommandFormat{Format::text, text_form}, CommandFormat{Format::json, obeys_compact},
    CommandFormat{Format::svg, obeys_precision | obeys_ascii}, CommandFormat{Format::html, obeys_precision}};
constexpr std::array blindspots_formats{CommandFormat{Format::text, obeys_width},
                                        CommandFormat{Format::json, 0}};
constexpr std::array probe_formats{CommandFormat{Format::json, 0}, CommandFormat{Format::npz, 0},
                                   CommandFormat{Format::safetensors, 0}};

constexpr std::array view_formats{
    CommandFormat{Format::text, text_form | obeys_precision | obeys_sums | obeys_background},
    CommandFormat{Format::svg, obeys_precision | obeys_ascii}, CommandFormat{Format::html, obeys_precision}};

/// THE TABLE of commands, in the order of Command.
constexpr std::array<CommandRow, 11> command_rows{{
    {.command = Command::run,
     .name = "run",
     .summary = "compute documents; print or write every stage (the default)",
     .usage = "[OPTIONS] [FILE...]        (FILE - or none: standard input)",
     .examples = R"(  attn-calc run x.json                          every stage as text
  attn-calc run x.json --stages                 which stages are there
  attn-calc run x.json --stages weights --rows 0:2
  attn-calc run x.json -o trace.json -o weights.dat:csv
  attn-calc run --model DIR --layer 3 --block hidden.npy)",
     .traces = true,
     .waits = true,
     .several = true,
     .obey = run_command},
    {.command = Command::check,
     .name = "check",
     .summary = "validate documents and print the plan, compute nothing",
     .usage = "[OPTIONS] [FILE...]      (FILE - or none: standard input)",
     .examples = R"(  attn-calc check x.json                 layouts, shapes, stages, cost
  attn-calc check x.json -f json         the same for programs
  attn-calc check w.safetensors          names, shapes and types of a file
  attn-calc check *.json -q > /dev/null  only what is wrong)",
     .writes = check_formats,
     .waits = true,
     .several = true,
     .obey = done<check_command>},
    {.command = Command::init,
     .name = "init",
     .summary = "list the built-in examples, or write one; write a model's layer",
     .usage = "[OPTIONS] [EXAMPLE]",
     .examples = R"(  attn-calc init                         the examples, one by one
  attn-calc init multi_head              write multi_head.json
  attn-calc init multi_head -o my.json   write it under another name
  attn-calc init models/llama3           settings of a released model
  attn-calc init multi_head -o - | attn-calc
  attn-calc init --model DIR --layer 3 --block hidden.npy -o layer.json
                                         a layer of a model's folder)",
     .words = example_names,
     .obey = done<init_command>},
    {.command = Command::schema,
     .name = "schema",
     .summary = "print the JSON Schema of an input or of a trace",
     .usage = "input|trace",
     .examples = R"(  attn-calc schema input > input.schema.json     of the documents that run reads
  attn-calc schema trace                         of what run -f json writes)",
     .words = schema_names,
     .obey = done<schema_command>},
    {.command = Command::convert,
     .name = "convert",
     .summary = "tensors between JSON, CSV, npz, npy and safetensors",
     .usage = "[OPTIONS] IN -o OUT",
     .examples = R"(  attn-calc convert trace.json -o trace.npz
  attn-calc convert weights.safetensors -o weights.json
  attn-calc convert weights.npz -o small.safetensors --dtype bfloat16
  attn-calc convert trace.npz --stages weights -o weights.npy)",
     .about = R"(IN is a trace in JSON, NDJSON or CSV, a JSON object of nested arrays or of
{"shape": [...], "data": [...]}, or by its suffix .npz, .npy, .safetensors,
.gguf, .onnx, .pb (one tensor of ONNX), .pt, .pth, .bin (torch.save), or
.index.json (shards).
Names and shapes stay; what is lost is said on standard error.)",
     .writes = convert_formats,
     .waits = true,
     .obey = done<convert_command>},
    {.command = Command::explain,
     .name = "explain",
     .summary = "the arithmetic of one row, step by step",
     .usage = "[OPTIONS] [FILE]       (FILE - or none: standard input)",
     .examples = R"(  attn-calc explain x.json                         the second row
  attn-calc explain x.json --row shiny --head 1    another one
  attn-calc explain x.json --cell "weights[1,0]"   one number, down to inputs
  attn-calc explain x.json -o sheet.md --blank weights,context
                                                  a worksheet; with --key solved)",
     .writes = explain_formats,
     .waits = true,
     .several = true,
     .obey = done<explain_command>},
    {.command = Command::diff,
     .name = "diff",
     .summary = "compare somebody's numbers with ours, stage by stage",
     .usage = "[OPTIONS] THEIRS OURS     (one of both may be -)",
     .examples = R"(  attn-calc diff theirs.json my.json          a trace with what my.json computes
  attn-calc diff output.csv my.json           one array: the last stage
  attn-calc diff hooks.json my.json --map tlens
  attn-calc diff theirs.json my.json -q       exit status alone: 0 equal, 1 not
  attn-calc diff THEIRS/ OURS/ -f json        folders, paired by file name
  attn-calc diff old.json new.json            two documents: settings, numbers
  attn-calc diff theirs.npz --model DIR --layer 3 --block hidden.npy)",
     .about = R"(THEIRS: a trace of attn-calc in any format, a JSON object of nested arrays by
the names of stages, one array, a printed tensor, rows of numbers, or another
input document: then both are computed, and what they say is compared too.
OURS: a trace, or an input document, which is computed: then the mistake that
makes theirs is looked for.)",
     .writes = diff_formats,
     .several = true,
     .obey = diff_command},
    {.command = Command::blindspots,
     .name = "blindspots",
     .summary = "which known mistakes an input cannot show, and why",
     .usage = "[OPTIONS] [FILE...] (FILE - or none: standard input)",
     .examples = R"(  attn-calc blindspots x.json            as text
  attn-calc blindspots x.json -f json    the same for programs)",
     .about = R"(Every known mistake (docs/mistakes.md) is made with the input, and the last
stage is looked at: which mistakes change nothing, which hardly anything beside
float32's rounding, which give the same numbers as others, and the smallest
change of the input that would show them.)",
     .writes = blindspots_formats,
     .waits = true,
     .several = true,
     .obey = done<blindspots_command>},
    {.command = Command::probe,
     .name = "probe",
     .summary = "write an input that tells known mistakes apart",
     .usage = "[OPTIONS]",
     .examples = R"(  attn-calc probe -o probe.json
  attn-calc probe --tokens 8 --width 16 --heads 4 --kv-heads 2 -o probe.json
  attn-calc probe | attn-calc blindspots)",
     .about = R"(Feed probe.json to your own code, then attn-calc diff YOURS probe.json: every
two mistakes (docs/mistakes.md) differ by more than 0.01 somewhere in the
output. What an option makes the same is said on standard error.)",
     .writes = probe_formats,
     .several = true,
     .obey = done<probe_command>},
    {.command = Command::view,
     .name = "view",
     .summary = "pictures of stages: on the terminal, as SVG, as a page of HTML",
     .usage = "[OPTIONS] [FILE]         (FILE - or none: standard input)",
     .examples = R"(  attn-calc view x.json                         the weights of all heads
  attn-calc view x.json --stages scores,weights --heads 0
  attn-calc view x.json -o weights.svg          for a paper
  attn-calc view x.json -o x.html               every stage, as a page
  attn-calc view theirs.npy --tokens The,cat,sat   somebody else's weights)",
     .about = R"(FILE is a document, a trace, or any numbers that diff reads: .npy, .npz,
.safetensors, .gguf, .pt, .onnx, JSON, CSV, a printed tensor. Weights have the
scale 0 to 1, all else a scale that is symmetric around 0. Without a colour of
its own (--color, NO_COLOR) a cell has a shade. run -f svg draws all stages side
by side.)",
     .writes = view_formats,
     .waits = true,
     .several = true,
     .obey = done<view_command>},
    {.command = Command::completion,
     .name = "completion",
     .summary = "print completion for a shell: commands, options, values",
     .usage = "bash|zsh|fish",
     .examples = R"(  . <(attn-calc completion bash)                 in ~/.bashrc
  attn-calc completion zsh > ~/.zfunc/_attn-calc     a folder of fpath
  attn-calc completion fish > ~/.config/fish/completions/attn-calc.fish)",
     .words = shell_names,
     .obey = done<completion_command>},
}};

constexpr bool commands_are_in_order() {
    for (std::size_t k = 0; k < command_rows.size(); ++k)
        if (static_cast<std::size_t>(command_rows[k].command) != k) return false;
    return true;
}
static_assert(commands_are_in_order());

}  // namespace

std::span<const CommandRow> all_commands() { return command_rows; }

const CommandRow& row_of(Command command) { return command_rows[idx(command)]; }

std::string listed(std::span<const std::string_view> names) {
    std::string all;
    for (std::size_t k = 0; k < names.size(); ++k)
        all += (k == 0 ? "" : k + 1 == names.size() ? " or " : ", ") + std::string(names[k]);
    return all;
}

std::vector<CommandFormat> writes_of(Command command) {
    const CommandRow& row = row_of(command);
    std::vector<CommandFormat> out(row.writes.begin(), row.writes.end());
    if (row.traces)
        for (const FormatRow& f : all_formats())
            if (f.make) out.push_back({f.format, f.obeys});
    return out;
}

std::vector<std::string_view> formats_of(Command command) {
    std::vector<std::string_view> names;
    for (const CommandFormat& w : writes_of(command)) names.push_back(name_of(w.format));
    return names;
}

}  // namespace attn
