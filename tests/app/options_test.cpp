#include "app/options.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>

#include "app/diagnostics.hpp"
#include "app/flags.hpp"
#include "app/help.hpp"
#include "app/progress.hpp"
#include "lib/text.hpp"

using namespace attn;

namespace {

Options parse(std::initializer_list<const char*> words) {
    return parse_options({words.begin(), words.size()});
}

Error refusal(std::initializer_list<const char*> words) {
    try {
        parse(words);
    } catch (const Error& error) {
        return error;
    }
    return {Exit::ok, {}, "accepted"};
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("a call without a subcommand is run") {
    CHECK(parse({}).command == Command::run);
    CHECK(parse({"x.json"}).words == Words{"x.json"});
    CHECK(parse({"-"}).words == Words{"-"});
    CHECK(parse({"dir/x"}).words == Words{"dir/x"});
    const Options o = parse({"-f", "json", "x.json"});
    CHECK(o.command == Command::run);
    CHECK_FALSE(o.command_named);
    CHECK(o.format == Format::json);
    CHECK(o.words == Words{"x.json"});
}

TEST_CASE("subcommands stand before or after options") {
    CHECK(parse({"check", "x.json"}).command == Command::check);
    CHECK(parse({"-f", "json", "check", "x.json"}).command == Command::check);
    CHECK(parse({"init"}).command == Command::init);
    CHECK(parse({"explain", "x.json", "--row", "sun"}).explain.row == "sun");
    CHECK(parse({"schema", "trace"}).words == Words{"trace"});
    CHECK(parse({"run", "--help"}).help);
    CHECK(parse({"--help", "run"}).command_named);
    CHECK(parse({"help", "check"}).command == Command::check);
    CHECK(refusal({"complete", "x.json"}).message == "unknown command \"complete\"");
    CHECK(refusal({"rnu", "x.json"}).hint == "did you mean \"run\"?");
    CHECK(refusal({"xyzzy"}).code == Exit::usage);
    CHECK(refusal({"init", "--rows", "1"}).message == "attn-calc init takes no --rows");
}

TEST_CASE("words after -- are files") {
    CHECK(parse({"--", "run"}).words == Words{"run"});
    CHECK(parse({"run", "--", "-x.json", "--top"}).words == Words{"-x.json", "--top"});
    CHECK(parse({"-f", "csv", "--", "a"}).format == Format::csv);
}

TEST_CASE("an option never takes the file behind its value") {
    const Options o = parse({"-o", "a.json", "x.json", "-o", "b:csv", "y.json"});
    CHECK(o.words == Words{"x.json", "y.json"});
    REQUIRE(o.targets.size() == 2);
    CHECK(o.targets[0].path == "a.json");
    CHECK(o.targets[0].format == Format::json);
    CHECK(o.targets[1].path == "b");
    CHECK(o.targets[1].format == Format::csv);
    CHECK(parse({"--stages", "scores,weights", "x.json"}).request.stages == Words{"scores", "weights"});
    CHECK(parse({"--rows", "-.5", "x.json"}).request.rows == "-.5");
    CHECK(parse({"--rows=[a,b]", "x.json"}).request.rows == "[a,b]");
    CHECK(parse({"-qfjson", "x.json"}).format == Format::json);
    CHECK(parse({"-p2", "--precision", "7", "x.json"}).precision == 7);
}

TEST_CASE("stages without a value are listed") {
    CHECK(parse({"x.json", "--stages"}).list_stages);
    CHECK(parse({"--stages=", "x.json"}).list_stages);
    CHECK(parse({"--stages=", "x.json"}).words == Words{"x.json"});
    CHECK(parse({"--stages=scores", "--stages", "weights", "x.json"}).request.stages ==
          Words{"scores", "weights"});
    CHECK(refusal({"--stages", "x.json"}).code == Exit::usage);
    CHECK(refusal({"--stages", "a,,b", "x.json"}).code == Exit::usage);
}

TEST_CASE("formats by name and by suffix") {
    CHECK(parse({"-f", "torch", "x.json"}).format == Format::torch);
    CHECK(parse({"-f", "md", "x.json"}).format == Format::md);
    CHECK(parse({"-f", "tex", "x.json"}).format == Format::tex);
    CHECK(parse({"-o", "x.md", "x.json"}).targets[0].format == Format::md);
    CHECK(parse({"-o", "x.tex", "x.json"}).targets[0].format == Format::tex);
    CHECK(parse({"-o", "x.jsonl", "x.json"}).targets[0].format == Format::ndjson);
    CHECK(parse({"-o", "a.b/x.txt", "x.json"}).targets[0].format == Format::text);
    CHECK(parse({"-o", "/dev/stdout:json", "x.json"}).targets[0].path == "/dev/stdout");
    CHECK(parse({"-o", "-", "x.json"}).targets[0].path == "-");
    CHECK(refusal({"-f", "jsn", "x.json"}).hint == "did you mean \"json\"?");
    CHECK(refusal({"check", "-o", "a.npz", "x.json"}).message ==
          "attn-calc check writes text or json, not npz");
    CHECK(parse({"-o", "a.npz", "x.json"}).targets[0].format == Format::npz);
    CHECK(parse({"-o", "a.b:safetensors", "x.json"}).targets[0].format == Format::safetensors);
    CHECK(parse({"convert", "--dtype", "bfloat16", "x.json", "-o", "a.npy"}).element == Element::bfloat16);
    CHECK(refusal({"--dtype", "float8", "x.json"}).code == Exit::usage);
    CHECK(refusal({"convert", "x.json", "-o", "a.npz", "-o", "b.npz"}).code == Exit::usage);
    CHECK(refusal({"-f", "bmp", "x.json"}).message == "unknown format \"bmp\"");
    CHECK(refusal({"-f", "latex", "x.json"}).hint == "did you mean \"tex\"?");
    CHECK(refusal({"-f", "jsonl", "x.json"}).hint == "did you mean \"ndjson\"?");
    CHECK(refusal({"-o", "a.bmp", "x.json"}).hint == "-o a.bmp:json");
    CHECK(parse({"explain", "x.json", "-o", "a.txt:md"}).targets[0].format == Format::md);
    CHECK(refusal({"explain", "x.json", "-f", "csv"}).message ==
          "attn-calc explain writes text, json, md, tex or html, not csv");
    CHECK(refusal({"probe", "-o", "x.csv"}).message ==
          "attn-calc probe writes json, npz or safetensors, not csv");
    CHECK(parse({"schema", "input", "-o", "x"}).targets[0].path == "x");
    CHECK(refusal({"-o", "a.dat", "x.json"}).hint == "-o a.dat:json");
    CHECK(refusal({"-o", "a.b/x", "x.json"}).code == Exit::usage);
    CHECK(refusal({"-o", "a.json", "-o", "a.json", "x.json"}).code == Exit::usage);
    CHECK(refusal({"check", "-f", "csv", "x.json"}).code == Exit::usage);
}

TEST_CASE("values are checked") {
    const Options o = parse({"--top", "3", "--threads", "2", "--max-memory", "1.5GiB", "--dtype", "float64",
                             "--color=never", "--width", "120", "--heads", "0:2", "--batch", "1", "x.json"});
    CHECK(o.top == 3);
    CHECK(o.request.threads == 2);
    CHECK(o.request.max_memory == 1'610'612'736);
    CHECK(o.request.dtype == DType::float64);
    CHECK(o.colour == When::never);
    CHECK(parse({"--nonfinite", "null", "-f", "json", "x.json"}).nonfinite == NonFinite::null);
    CHECK(o.width == 120);
    CHECK(o.request.heads == "0:2");
    CHECK(o.request.batch == "1");
    CHECK(parse({"--max-memory", "200k", "x.json"}).request.max_memory == 200'000);
    CHECK(parse({"--max-memory", "3MB", "x.json"}).request.max_memory == 3'000'000);
    CHECK(parse({"--max-memory", "12345", "x.json"}).request.max_memory == 12'345);
    for (const char* word : {"-1", "0", "1e3", "12q", "", "1XiB", "nan", "99999999999G"})
        CHECK(refusal({"--max-memory", word, "x.json"}).code == Exit::usage);
    for (const char* word : {"-1", "abc", "99", "1.5", ""})
        CHECK(refusal({"-p", word, "x.json"}).code == Exit::usage);
    CHECK(refusal({"--top", "0", "x.json"}).code == Exit::usage);
    CHECK(refusal({"--kernels", "avx9", "x.json"}).code == Exit::usage);
    CHECK(refusal({"--dtype", "float23", "x.json"}).hint == "did you mean \"float32\"?");
}

TEST_CASE("what is wrong with an option is said") {
    CHECK(refusal({"--stagse", "a", "x.json"}).hint == "did you mean --stages?");
    CHECK(refusal({"--sqeeze=1", "x.json"}).hint == "did you mean --squeeze?");
    CHECK(refusal({"-format", "json"}).hint == "did you mean --format?");
    CHECK(refusal({"-heads", "0"}).hint == "did you mean --heads?");
    CHECK(refusal({"-z", "x.json"}).message == "unknown option -z");
    CHECK(refusal({"x.json", "--format"}).message == "--format needs a value");
    CHECK(refusal({"--format=", "x.json"}).message == "--format= needs a value");
    CHECK(refusal({"init", "--weights", "w.npz"}).code == Exit::usage);
}

TEST_CASE("the form of messages is read from a wrong command line, too") {
    const auto form = [](std::initializer_list<const char*> words) {
        return parse_message_options({words.begin(), words.size()}).messages;
    };
    CHECK(form({"--error-format", "json", "--bad"}) == Messages::json);
    CHECK(form({"--error-format=json"}) == Messages::json);
    CHECK(form({"--", "--error-format=json"}) == Messages::text);
    CHECK(form({"--error-format"}) == Messages::text);
}

TEST_CASE("help fits a screen") {
    const auto lines = [](std::string_view text, int columns) {
        int n = 0;
        for (std::size_t from = 0; from < text.size(); ++n) {
            const std::size_t end = text.find('\n', from);
            CHECK(display_width(text.substr(from, end - from)) <= columns);
            from = end + 1;
        }
        return n;
    };
    CHECK(lines(main_help(), 80) <= 40);
    for (const CommandRow& c : all_commands()) CHECK(lines(help_of(c.command), 80) <= 70);
}

TEST_CASE("an option is accepted by a command exactly where its help has it") {
    for (const CommandRow& c : all_commands()) {
        const std::string help = help_of(c.command);
        CAPTURE(c.name);
        for (const FlagRow& f : all_flags()) {
            CAPTURE(f.names);
            const std::string start =
                "\n  " + (f.names.starts_with("--")
                              ? std::string(f.names)
                              : std::string(f.names.substr(0, 3)) + " " + std::string(f.names.substr(3)));
            const std::size_t at = help.find(start);
            const bool shown =
                at != std::string::npos && help.find_first_of(" \n", at + start.size()) == at + start.size();
            std::vector<const char*> words{c.name.data(), f.long_name().data()};
            if (f.takes_value()) words.push_back("?");
            const std::string said = [&] {
                try {
                    parse_options(words);
                } catch (const Error& error) {
                    return error.message;
                }
                return std::string();
            }();
            const bool foreign = said.find(" takes no ") != std::string::npos;
            CHECK(shown == (f.use(c.command) != nullptr));
            CHECK(foreign != shown);
        }
        // Nothing else looks like an option there.
        for (std::size_t at = help.find("\n  -"); at != std::string::npos; at = help.find("\n  -", at + 1)) {
            const std::size_t from = help.find("--", at);
            const std::string name = help.substr(from, help.find_first_of(" \n", from) - from);
            const auto all = all_flags();
            CHECK(
                std::any_of(all.begin(), all.end(), [&](const FlagRow& f) { return f.long_name() == name; }));
        }
    }
}

TEST_CASE("an option that could do nothing is refused") {
    const auto said = [](std::initializer_list<const char*> words) { return refusal(words).message; };
    CHECK(said({"x.json", "-f", "json", "--top", "3"}) == "--top is for text, and the output is json");
    CHECK(said({"x.json", "-f", "csv", "-o", "a.npz", "-p", "3"}) ==
          "--precision is for text, md, tex, svg, xlsx or html, and the output is npz and csv");
    CHECK(parse({"x.json", "-f", "csv", "-o", "a.md", "-p", "3"}).precision == 3);
    CHECK(said({"diff", "a", "b", "--compact"}) == "--compact is for json, and the output is text");
    CHECK(said({"diff", "a", "b", "-q", "--width", "40"}) == "--width is for text, and nothing is written");
    CHECK(said({"diff", "a", "b", "-q", "-f", "json"}) ==
          "--format has no use: -q writes nothing to standard output");
    CHECK(said({"check", "w.npz", "--rows", "0"}) == "--rows has no use: a file of tensors is listed");
    CHECK(said({"init", "-o", "x"}) == "--output has no use: the examples are listed");
    CHECK(said({"init", "gpt2", "--width", "40"}) == "--width has no use: the example is written as it is");
    CHECK(said({"x.json", "-f", "json", "--stages"}) ==
          "--format has no use: --stages without names lists them");
    CHECK(said({"check", "x.json", "--stages"}) == "attn-calc check: --stages needs names");
    CHECK(said({"x.json", "-q", "-v"}) == "--quiet and --verbose exclude each other");
    CHECK(said({"explain", "x.json", "--standalone"}) == "--standalone is for tex, and the output is text");
    // "?" was once a word for the list.
    CHECK_FALSE(parse({"x.json", "--stages=?"}).list_stages);
}

TEST_CASE("an error as text") {
    Error error(Exit::input, "/weights/W_query/1", "has 3 numbers, but /weights/W_query/0 has 2",
                "every row of a matrix has the same length");
    error.place = {"my.json", -1, 14, 22, "    \"W_query\": [[0.1, 0.2], [0.3, 0.4, 0.5]],", 27, 1};
    CHECK(error_text(error, false, {}) ==
          "attn-calc: error: my.json:14:22: /weights/W_query/1 has 3 numbers, but /weights/W_query/0 has 2\n"
          "   14 |     \"W_query\": [[0.1, 0.2], [0.3, 0.4, 0.5]],\n"
          "      |                            ^\n"
          "  hint: every row of a matrix has the same length\n");
    Error key(Exit::input, "/casual", "unknown key \"casual\"", "did you mean \"causal\"?");
    key.at_key = true;
    key.place = {"my.json", -1, 9, 3, "  \"casual\": true,", 2, 8};
    CHECK(error_text(key, false, {}) ==
          "attn-calc: error: my.json:9:3: unknown key \"casual\"\n"
          "    9 |   \"casual\": true,\n"
          "      |   ^^^^^^^^\n"
          "  hint: did you mean \"causal\"?\n");
    CHECK(error_text({Exit::usage, {}, "unknown option --x"}, false, "attn-calc run --help") ==
          "attn-calc: error: unknown option --x\n  try: attn-calc run --help\n");
}

TEST_CASE("diagnostics are short and harmless") {
    Error error(Exit::input, "/" + std::string(5000, 'p'), "is \033[31m" + std::string(5000, '\001'),
                std::string(5000, 'h'));
    error.place = {"a\nb" + std::string(5000, 'f'), -1, 1, 1, std::string(300, 'e'), 200, 3};
    for (const std::string& text : {error_text(error, false, {}), error_json(error, "error")}) {
        CHECK(text.size() <= 2000);
        CHECK(text.find('\033') == std::string::npos);
    }
    CHECK(error_json({Exit::usage, {}, "m"}, "error") ==
          "{\"level\":\"error\",\"code\":2,\"file\":null,\"line\":null,\"column\":null,\"pointer\":\"\","
          "\"message\":\"m\",\"hint\":\"\"}\n");
}

TEST_CASE("progress: stage, share, rate and time left") {
    CHECK(progress_line("weights", 0.34, 17e6, "numbers", 2) ==
          "attn-calc: weights 34 %, 17 M numbers/s, 4 s left");
    CHECK(progress_line("computing context", 0.05, 2.4e12, "operations", 10) ==
          "attn-calc: computing context 5 %, 2.4 T operations/s, 4 min left");
    CHECK(progress_line("scores", 0, 0, "numbers", 1) == "attn-calc: scores 0 %");
    CHECK(progress_line("scores", 1, 999.7, "numbers", 1) ==
          "attn-calc: scores 100 %, 1 k numbers/s, 0 s left");
    CHECK(progress_line("scores", 0.5, 12, "numbers", 1) == "attn-calc: scores 50 %, 12 numbers/s, 1 s left");
}
