#include "app/pages.hpp"

#include <array>

#include "app/help.hpp"
#include "lib/render/escape.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace {

struct Variable {
    std::string_view name, text;
};
/// What is read of the environment: app/terminal.cpp, app/main.cpp.
constexpr std::array<Variable, 5> variables{
    {{"NO_COLOR", "not empty: no colours, unless --color says otherwise"},
     {"CLICOLOR_FORCE", "neither empty nor 0: colours also where no terminal is written to"},
     {"TERM", "dumb: no colours"},
     {"COLUMNS", "columns of a line, unless --width says otherwise"},
     {"ATTN_CALC_KERNELS", "as --kernels, which goes before it"}}};

/// A text without the line breaks of a screen.
std::string flowing(std::string_view text) { return replaced(text, "\n", " "); }

/// Text of a manual page: hyphens that are copied as such, no line that is a request.
std::string roff(std::string_view text) {
    const std::string escaped = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
    const bool acts = escaped.starts_with('.') || escaped.starts_with('\'');
    return (acts ? "\\&" : "") + replaced(replaced(escaped, "\n.", "\n\\&."), "\n'", "\n\\&'");
}

std::string manual_head(std::string_view name, std::string_view summary) {
    std::string title(name);
    for (char& c : title) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return ".\\\" Printed from the tables of commands and options (app/pages.cpp).\n.TH " + roff(title) +
           " 1 \"\" \"attn\\-calc " ATTN_VERSION "\" \"User Commands\"\n.SH NAME\n" + roff(name) + " \\- " +
           roff(summary) + "\n";
}

std::string manual_item(std::string_view tag, std::string_view text) {
    return ".TP\n.B " + roff(tag) + "\n" + roff(text) + "\n";
}

/// The options of a topic below its heading.
std::string options_of(const HelpTopic& topic, std::string_view begin, std::string_view end,
                       Command command) {
    std::string out = std::string(begin) + roff(topic.heading) + std::string(end) + "\n";
    for (const FlagRow* f : topic.flags) out += manual_item(f->shown(), text_of(*f, command));
    return out;
}

}  // namespace

std::string markdown_code(std::string_view text) { return "`" + replaced(text, "|", "\\|") + "`"; }

std::string commands_page() {
    std::string out = R"(# Commands and options

This page is printed from the tables of commands (`app/command.cpp`) and options (`app/flags.cpp`), as `--help`, the manual page `attn-calc.1` and
`attn-calc completion` are: `python3 tests/app/commands_page.py build/release/attn-pages`.

A call without a command is `run`. An option that could do nothing is refused.

| command | what it does |
| --- | --- |
)";
    for (const CommandRow& c : all_commands())
        out += "| " + markdown_code(c.name) + " | " + markdown_text(c.summary) + " |\n";
    out += "\n## Every option, by command\n\n| option |";
    std::string rule = "| --- |";
    for (const CommandRow& c : all_commands()) {
        out += " " + std::string(c.name) + " |";
        rule += " :-: |";
    }
    out += "\n" + rule + "\n";
    for (const FlagRow& f : all_flags()) {
        out += "| " + markdown_code(f.shown()) + " |";
        for (const CommandRow& c : all_commands()) out += f.use(c.command) ? " • |" : " |";
        out += "\n";
    }
    for (const CommandRow& c : all_commands()) {
        out += "\n## " + std::string(c.name) + "\n\n" + markdown_text(c.summary) +
               "\n\n```sh no-run\nattn-calc " + std::string(c.name) + " " + std::string(c.usage) + "\n\n" +
               std::string(c.examples) + "\n```\n";
        if (!c.about.empty()) out += "\n" + markdown_text(flowing(c.about)) + "\n";
        out += "\n| option | what it does |\n| --- | --- |\n";
        for (const HelpTopic& topic : topics_of(c.command))
            for (const FlagRow* f : topic.flags)
                out +=
                    "| " + markdown_code(f->shown()) + " | " + markdown_text(text_of(*f, c.command)) + " |\n";
    }
    out += "\n## Exit status\n\n| status | meaning |\n| --- | --- |\n";
    for (const ExitRow& e : all_exits())
        out += "| " + std::to_string(static_cast<int>(e.code)) + " | " + markdown_text(e.text) + " |\n";
    out += "\n## Environment\n\n| variable | what it does |\n| --- | --- |\n";
    for (const Variable& v : variables)
        out += "| " + markdown_code(v.name) + " | " + markdown_text(v.text) + " |\n";
    return out;
}

std::string manual_page(Command command) {
    const CommandRow& c = row_of(command);
    std::string out = manual_head("attn-calc-" + std::string(c.name), c.summary) +
                      ".SH SYNOPSIS\n.B attn\\-calc " + roff(c.name) + "\n" + roff(c.usage) + "\n";
    out += ".SH DESCRIPTION\n" + roff(c.about.empty() ? c.summary : flowing(c.about)) + "\n";
    for (const HelpTopic& topic : topics_of(command)) out += options_of(topic, ".SH \"", "\"", command);
    out += ".SH EXAMPLES\n.nf\n" + roff(c.examples) + "\n.fi\n.SH EXIT STATUS\n";
    for (const ExitRow& e : all_exits()) out += manual_item(std::to_string(static_cast<int>(e.code)), e.text);
    return out + ".SH SEE ALSO\n.BR attn\\-calc (1)\n";
}

std::string manual_page() {
    std::string out = manual_head("attn-calc", program_summary) +
                      ".SH SYNOPSIS\n.B attn\\-calc\n[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR] [\\fIFILE\\fR...]\n"
                      ".SH DESCRIPTION\nA call without a command is\n.BR run .\n"
                      "An option that could do nothing is refused.\n"
                      "Standard input is read where no file is named, or where it is called\n.BR \\- .\n"
                      ".SH COMMANDS\n";
    const auto item = [&](std::string_view tag, std::string_view text) { out += manual_item(tag, text); };
    for (const CommandRow& c : all_commands()) item(c.name, c.summary);
    for (const CommandRow& c : all_commands()) {
        out += ".SH \"attn\\-calc " + roff(c.name) + "\"\n.B attn\\-calc " + roff(c.name) + "\n" +
               roff(c.usage) + "\n.PP\n" + roff(c.summary) + "\n";
        if (!c.about.empty()) out += ".PP\n" + roff(flowing(c.about)) + "\n";
        out += ".PP\n.nf\n" + roff(c.examples) + "\n.fi\n";
        for (const HelpTopic& topic : topics_of(c.command)) out += options_of(topic, ".SS ", "", c.command);
    }
    out += ".SH EXIT STATUS\n";
    for (const ExitRow& e : all_exits()) item(std::to_string(static_cast<int>(e.code)), e.text);
    out += ".SH ENVIRONMENT\n";
    for (const Variable& v : variables) item(v.name, v.text);
    return out;
}

}  // namespace attn
