#include "app/help.hpp"

#include <array>

#include "lib/render/terminal.hpp"

namespace attn {
namespace {

constexpr int help_columns = 80, text_column = 22, command_column = 14;

constexpr std::array<std::string_view, 6> topics{"what is shown",      "when numbers are equal",
                                                 "how theirs is read", "what is computed",
                                                 "how it is written",  "messages"};

constexpr std::array<ExitRow, 8> exits{{{Exit::ok, "done"},
                                        {Exit::difference, "a difference (diff)"},
                                        {Exit::usage, "wrong command line"},
                                        {Exit::input, "wrong input"},
                                        {Exit::output, "output cannot be written"},
                                        {Exit::resource, "out of memory"},
                                        {Exit::defect, "a defect"},
                                        {Exit::interrupted, "interrupted"}}};

/// "  first    text", the text broken into lines from `column` on.
std::string entry(const std::string& first, std::string_view text, int column) {
    std::string lines = wrapped(text, help_columns, column, column);
    const std::string lead = "  " + first;
    if (lead.size() + 2 > idx(column)) return lead + "\n" + lines;
    return lines.replace(0, lead.size(), lead);
}

std::string entry(const FlagRow& row, Command command) {
    return entry(row.shown(), text_of(row, command), text_column);
}

}  // namespace

std::span<const ExitRow> all_exits() { return exits; }

std::vector<HelpTopic> topics_of(Command command) {
    std::vector<HelpTopic> out;
    for (std::size_t k = 0; k < topics.size(); ++k) {
        HelpTopic topic{topics[k], {}};
        for (const FlagRow& f : all_flags())
            if (const FlagUse* use = f.use(command); use && use->topic == static_cast<Topic>(k))
                topic.flags.push_back(&f);
        if (!topic.flags.empty()) out.push_back(std::move(topic));
    }
    return out;
}

std::string main_help() {
    std::string out = "attn-calc: " + std::string(program_summary) + R"(

  attn-calc init hello_shiny_sun             write a first example
  attn-calc hello_shiny_sun.json             compute it, print every stage
  attn-calc x.json --stages scores,weights   only these two
  attn-calc x.json --rows shiny --top 3      one query, its largest weights
  attn-calc x.json -f json | jq .stages      a trace for programs
  cat x.json | attn-calc -o trace.csv        from standard input to a file

usage: attn-calc [COMMAND] [OPTIONS] [FILE...]

commands
)";
    for (const CommandRow& c : all_commands()) out += entry(std::string(c.name), c.summary, command_column);
    out += "\nmost used options of run\n";
    for (const FlagRow& f : all_flags())
        if (f.often && f.use(Command::run)) out += entry(f, Command::run);
    std::string status;
    for (const ExitRow& e : exits)
        status += (status.empty() ? "exit status: " : ", ") + std::to_string(static_cast<int>(e.code)) + " " +
                  std::string(e.text);
    return out + "\n" + wrapped(status, help_columns, 0, 0);
}

std::string help_of(Command command) {
    const CommandRow& row = row_of(command);
    std::string out = "attn-calc " + std::string(row.name) + ": " + std::string(row.summary) + "\n\n" +
                      std::string(row.examples) + "\n\nusage: attn-calc " + std::string(row.name) + " " +
                      std::string(row.usage) + "\n";
    if (!row.about.empty()) out += "\n" + std::string(row.about) + "\n";
    for (const HelpTopic& topic : topics_of(command)) {
        out += "\n" + std::string(topic.heading) + "\n";
        for (const FlagRow* f : topic.flags) out += entry(*f, command);
    }
    return out;
}

}  // namespace attn
