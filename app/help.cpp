#include "app/help.hpp"

#include <algorithm>
#include <array>

#include "app/flags.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr int help_columns = 80;
constexpr std::size_t text_column = 22, command_column = 14;

constexpr std::array<std::string_view, 6> topics{"what is shown",      "when numbers are equal",
                                                 "how theirs is read", "what is computed",
                                                 "how it is written",  "messages"};

/// "  first    text", the text broken into lines from `column` on.
std::string entry(const std::string& first, std::string_view text, std::size_t column) {
    std::string lines = wrapped(text, help_columns, column);
    std::string lead = "  " + first;
    if (lead.size() + 2 > column) return lead + "\n" + lines;
    lead.resize(column, ' ');
    return lines.replace(0, column, lead);
}

std::string entry(const FlagRow& row, Command command) {
    std::string names(row.names);
    if (const std::size_t comma = names.find(','); comma != std::string::npos) names.insert(comma + 1, " ");
    if (row.takes_value()) names += " " + std::string(row.value);
    return entry(names, text_of(row, command), text_column);
}

}  // namespace

std::string wrapped(std::string_view text, int columns, std::size_t indent) {
    std::string out, line;
    while (!text.empty()) {
        const std::size_t space = std::min(text.find(' '), text.size());
        const std::string word(text.substr(0, space));
        text.remove_prefix(std::min(space + 1, text.size()));
        if (!line.empty() && static_cast<int>(indent) + display_width(line + " " + word) > columns) {
            out += std::string(indent, ' ') + line + "\n";
            line.clear();
        }
        line += (line.empty() ? "" : " ") + word;
    }
    return out + std::string(indent, ' ') + line + "\n";
}

std::string main_help() {
    std::string out = R"(attn-calc: every number of an attention mechanism, stage by stage

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
    return out + R"(
exit status: 0 done, 1 diff found a difference, 2 wrong command line, 3 wrong
input, 4 output cannot be written, 5 out of memory, 70 a defect of the program,
130 interrupted
)";
}

std::string help_of(Command command) {
    const CommandRow& row = row_of(command);
    std::string out = "attn-calc " + std::string(row.name) + ": " + std::string(row.summary) + "\n\n" +
                      std::string(row.examples) + "\n\nusage: attn-calc " + std::string(row.name) + " " +
                      std::string(row.usage) + "\n";
    if (!row.about.empty()) out += "\n" + std::string(row.about) + "\n";
    for (std::size_t k = 0; k < topics.size(); ++k) {
        std::string lines;
        for (const FlagRow& f : all_flags())
            if (const FlagUse* use = f.use(command); use && use->topic == static_cast<Topic>(k))
                lines += entry(f, command);
        if (!lines.empty()) out += "\n" + std::string(topics[k]) + "\n" + lines;
    }
    return out;
}

}  // namespace attn
