#include "app/help.hpp"

namespace attn {

std::string_view main_help() {
    return R"(attn-calc: every number of an attention mechanism, stage by stage

  attn-calc init hello_shiny_sun             write a first example
  attn-calc hello_shiny_sun.json             compute it, print every stage
  attn-calc x.json --stages scores,weights   only these two
  attn-calc x.json --rows shiny --top 3      one query, its largest weights
  attn-calc x.json -f json | jq .stages      a trace for programs
  cat x.json | attn-calc -o trace.csv        from standard input to a file

usage: attn-calc [COMMAND] [OPTIONS] [FILE...]

commands
  run      compute documents; print or dump every stage (without a command)
  check    validate documents and print the plan, compute nothing
  init     list the built-in examples, or write one
  explain  the arithmetic of one row, step by step
  schema   print the JSON Schema of an input or of a trace
  convert  tensors between JSON, CSV, npz, npy and safetensors
  diff     compare somebody's numbers with ours, stage by stage
  blindspots, probe
           what known mistakes an input cannot show; an input that shows them

most used options of run
  -f, --format F     text (default), json, ndjson, csv, torch, md, tex,
                     npz, npy, safetensors
  -o, --output FILE  write to FILE, format by its suffix or FILE:FORMAT
  --stages A,B       only these stages; as the last word: list them
  --rows, --cols, --heads, --batch
                     0 or 0,2 or 0:8; a token for rows and columns
  -p, --precision N  digits after the point in text (4)
  -q, -v             say less, say more on standard error
  -h, --help         this help; after a command: all its options
  --version          the version; with -v of the libraries too

exit status: 0 done, 1 diff found a difference, 2 wrong command line, 3 wrong
input, 4 output cannot be written, 5 out of memory, 70 a defect of the program,
130 interrupted
)";
}

namespace {

constexpr std::string_view run_help = R"(attn-calc run: compute documents and print or dump every stage

  attn-calc run x.json                          every stage as text
  attn-calc run x.json --stages                 which stages are there
  attn-calc run x.json --stages weights --rows 0:2
  attn-calc run x.json -o trace.json -o weights.dat:csv

usage: attn-calc run [OPTIONS] [FILE...]        (FILE - or none: standard input)

what is computed
  --stages A,B        only these; --stages as the last word lists them
  --batch, --heads N  batch items and query heads: 0 or 0,2 or 0:8
  --rows, --cols N    queries and keys, also by token
  --dtype T           float32 or float64, whatever the document says
  --weights FILE      weights from npz or safetensors; --prefix P: names below P
  --threads N         workers (0: what the machine offers)
  --kernels NAME      instruction set: auto, avx512, avx2, sse2, neon
  --max-memory SIZE   refuse what needs more: 800M, 1.5G, 2GiB

how it is written
  -f, --format F      text (default), json, ndjson, csv, torch, md, tex,
                      npz, npy, safetensors
  -o, --output FILE   repeatable; format by suffix (.json .ndjson .csv .txt .md
                      .tex .npz .npy .safetensors) or FILE:FORMAT; standard
                      output only with -f as well
  -p, --precision N   digits after the point in text (4)
  --top K             text: the K largest weights of each row
  --width N           columns of text (the terminal's, or 80)
  --ascii             text without letters beyond ASCII in rules and marks
  --color WHEN        auto (default), always, never
  --nonfinite P       infinities and NaN in JSON: string (default), null, bare
  --squeeze           leave out axes of length 1
  --compact           JSON on one line; tex: a bmatrix in place of a table

messages
  -q, --quiet         no warnings and no progress
  -v, --verbose       time, workers and memory on standard error
  --error-format F    text (default) or json, one object a line
  -h, --help          this help
)";

constexpr std::string_view check_help =
    R"(attn-calc check: validate documents and print the plan, compute nothing

  attn-calc check x.json                 layouts, shapes, stages, cost
  attn-calc check x.json -f json         the same for programs
  attn-calc check w.safetensors          names, shapes and types of a file
  attn-calc check *.json -q > /dev/null  only what is wrong

usage: attn-calc check [OPTIONS] [FILE...]      (FILE - or none: standard input)

  -f, --format F      text (default) or json
  -o, --output FILE   plan.json or plan.txt
  --stages, --batch, --heads, --rows, --cols, --dtype, --threads, --max-memory
                      as in attn-calc run: the plan and the cost follow them
  --width N, --ascii, --color WHEN, --compact
                      as in attn-calc run
  -q, --quiet         no warnings
  --error-format F    text (default) or json, one object a line
  -h, --help          this help
)";

constexpr std::string_view init_help = R"(attn-calc init: list the built-in examples, or write one

  attn-calc init                         the examples, one by one
  attn-calc init multi_head              write multi_head.json
  attn-calc init multi_head -o my.json   write it under another name
  attn-calc init models/llama3           settings of a released model
  attn-calc init multi_head -o - | attn-calc

usage: attn-calc init [OPTIONS] [EXAMPLE]

  -o, --output FILE   the file to write (EXAMPLE.json); -: standard output.
                      A file that exists is never overwritten
  --width N           columns of the list
  -q, --quiet         no word about the file written
  -h, --help          this help
)";

constexpr std::string_view explain_help =
    R"(attn-calc explain: the arithmetic of one row, step by step, with its numbers

  attn-calc explain x.json                         the second row
  attn-calc explain x.json --row shiny --head 1    another one
  attn-calc explain x.json --cell "weights[1,0]"   one number, down to the inputs
  attn-calc explain x.json -o sheet.md --blank weights,context
                                                   a worksheet; with --key solved

usage: attn-calc explain [OPTIONS] [FILE]       (FILE - or none: standard input)

what is explained
  --row R             a query: its number from 0, or its token (1)
  --head, --batch N   of several (0)
  --all-rows          every query, one after another
  --cell "STAGE[I,J]" one number and all that it is made of; [B,H,I,J] with
                      batch item and head
  --level L           brief: results only; normal (default); full: where each
                      number comes from, every term, every key

how it is written
  -f, --format F      text (default), json, md, tex
  -o, --output FILE   format by suffix (.txt .json .md .tex) or FILE:FORMAT
  --standalone        tex: a whole document that compiles
  --blank A,B         leave the numbers of these stages as boxes
  --key               with --blank: the solution
  -p, --precision N   digits after the point (4)
  --width N, --ascii, --color WHEN, --compact, --nonfinite P, --dtype T
                      as in attn-calc run
  -q, --quiet         no warnings
  --error-format F    text (default) or json, one object a line
  -h, --help          this help
)";

constexpr std::string_view schema_help = R"(attn-calc schema: print a JSON Schema (2020-12)

  attn-calc schema input > input.schema.json     of the documents that run reads
  attn-calc schema trace                         of what run -f json writes

usage: attn-calc schema input|trace

  -o, --output FILE   write to FILE
  -h, --help          this help
)";

constexpr std::string_view convert_help = R"(attn-calc convert: tensors from one kind of file into another

  attn-calc convert trace.json -o trace.npz
  attn-calc convert weights.safetensors -o weights.json
  attn-calc convert weights.npz -o small.safetensors --dtype bfloat16
  attn-calc convert trace.npz --stages weights -o weights.npy

usage: attn-calc convert [OPTIONS] IN -o OUT

IN is a trace in JSON or CSV, a JSON object of nested arrays or of
{"shape": [...], "data": [...]}, or .npz, .npy, .safetensors, by its suffix.
Names and shapes stay; what is lost is said on standard error.

  -o, --output FILE   .json .csv .npz .npy .safetensors, or FILE:FORMAT
  -f, --format F      to standard output
  --stages A,B        only these tensors, in this order
  --dtype T           float16, bfloat16, float32 or float64: round to nearest,
                      ties to even. Booleans stay
  -q, --quiet         no word about what is lost
)";

constexpr std::string_view diff_help = R"(attn-calc diff: compare somebody's numbers with ours, stage by stage

  attn-calc diff theirs.json my.json          a trace with what my.json computes
  attn-calc diff output.csv my.json           one array: the last stage
  attn-calc diff hooks.json my.json --map tlens
  attn-calc diff theirs.json my.json -q       exit status alone: 0 equal, 1 not
  attn-calc diff THEIRS/ OURS/ -f json        folders, paired by file name

usage: attn-calc diff [OPTIONS] THEIRS OURS     (one of both may be -)

THEIRS: a trace of attn-calc (JSON, NDJSON, CSV), a JSON object of nested
arrays by the names of stages, one array, or rows of numbers.
OURS: a trace, or an input document, which is computed: then the mistake that
makes theirs is looked for.

when numbers are equal
  --atol X, --rtol X  |theirs - ours| <= atol + rtol |ours|; by default as
                      torch.testing.assert_close for the coarser type
  --ulp N             at most N steps apart, in place of both
  --digits N|full     theirs were printed with N digits after the point: equal
                      where ours rounds to it (default: counted)

how theirs is read
  --map NAME          names of own (default), tutorial, tlens, onnx, onnx-1.21,
                      llama
  --layout L          heads-first, tokens-first: where the sizes fit both
  --layer N           this layer only
  --stages A,B        these stages only; one array alone is the one named

how it is written
  -f, --format F      text (default) or json
  -o, --output FILE   report.json or report.txt
  --width N, --ascii, --color WHEN, --dtype T, --threads N, --kernels NAME,
  --max-memory SIZE   as in attn-calc run
  -q, --quiet         nothing on standard output
  --error-format F    text (default) or json, one object a line
  -h, --help          this help
)";

constexpr std::string_view blindspots_help =
    R"(attn-calc blindspots: which known mistakes an input cannot show, and why

  attn-calc blindspots x.json            as text
  attn-calc blindspots x.json -f json    the same for programs

usage: attn-calc blindspots [OPTIONS] [FILE...] (FILE - or none: standard input)

Every known mistake (docs/mistakes.md) is made with the input, and the last
stage is looked at: which mistakes change nothing, which hardly anything beside
float32's rounding, which give the same numbers as others, and the smallest
change of the input that would show them.

  -f, --format F      text (default) or json
  -o, --output FILE   repeatable; spots.json or spots.txt
  --width N           columns of text (the terminal's, or 80)
  --dtype, --max-memory, --error-format, -q
                      as in attn-calc run
  -h, --help          this help
)";

constexpr std::string_view probe_help =
    R"(attn-calc probe: write an input that tells known mistakes apart

  attn-calc probe -o probe.json
  attn-calc probe --tokens 8 --width 16 --heads 4 --kv-heads 2 -o probe.json
  attn-calc probe | attn-calc blindspots

usage: attn-calc probe [OPTIONS]

Feed probe.json to your own code, then attn-calc diff YOURS probe.json: every
two mistakes (docs/mistakes.md) differ by more than 0.01 somewhere in the
output. What an option makes the same is said on standard error.

  --tokens N          6
  --width N           of the embeddings and the output (8)
  --heads N           2; --kv-heads N: as many
  --causal KIND       true (default), false, top_left, bottom_right
  --window N          tokens to the left that are seen
  --softcap C, --rope as in the input
  --seed N            the first seed that is tried (1)
  -o, --output FILE   repeatable; probe.json, or probe.npz, probe.safetensors: its
                      arrays alone, for your own code
  -q, --quiet         only the input
  -h, --help          this help
)";

}  // namespace

std::string_view help_of(Command command) {
    switch (command) {
        case Command::run:
            return run_help;
        case Command::check:
            return check_help;
        case Command::init:
            return init_help;
        case Command::schema:
            return schema_help;
        case Command::convert:
            return convert_help;
        case Command::explain:
            return explain_help;
        case Command::diff:
            return diff_help;
        case Command::blindspots:
            return blindspots_help;
        case Command::probe:
            return probe_help;
    }
    return {};
}

}  // namespace attn
