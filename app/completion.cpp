#include "app/completion.hpp"

#include <map>
#include <utility>

#include "app/flags.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Words = std::vector<std::string_view>;

constexpr std::string_view bash_script =
    R"(# Completion of attn-calc for bash, from its tables: attn-calc completion bash
_attn_calc_words() { COMPREPLY+=($(compgen -W "$1" -- "$word")); }
_attn_calc_files() {
    local -a files
    mapfile -t files < <(compgen -f -- "$word")
    COMPREPLY+=("${files[@]}")
    compopt -o filenames 2>/dev/null
}
_attn_calc_list() {
    local begun=''
    if [[ $word == *,* ]]; then begun=${word%,*},; fi
    COMPREPLY+=($(compgen -P "$begun" -W "$1" -- "${word##*,}"))
    compopt -o nospace 2>/dev/null
}
_attn_calc_keys() {
    COMPREPLY+=($(compgen -S = -W "$1" -- "$word"))
    compopt -o nospace 2>/dev/null
}
_attn_calc() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' k
    COMPREPLY=()
    # Readline takes --option=value for three words.
    if [[ $word == = ]]; then
        word=''
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((k = 1; k < COMP_CWORD; ++k)); do
        case ${COMP_WORDS[k]} in
            {valued})
                if [[ ${COMP_WORDS[k+1]} == = ]]; then ((++k)); fi
                ((++k))
                ;;
            -?*|help) ;;
            {commands}) command=${COMP_WORDS[k]}; break ;;
            *) command=run; break ;;
        esac
    done
    case ${command:-run}:$before in
{values}    esac
    if [[ $word == -* ]]; then
        case ${command:-run} in
{options}        esac
        return
    fi
    case $command in
        '') _attn_calc_words '{first}'; _attn_calc_files ;;
{words}        *) _attn_calc_files ;;
    esac
}
complete -F _attn_calc attn-calc
)";

constexpr std::string_view zsh_script = R"(#compdef attn-calc
# Completion of attn-calc for zsh, from its tables: attn-calc completion zsh
_attn_calc() {
    local -a known=(
{commands}    )
    local command=run
    if (( CURRENT == 2 )); then
        _describe -t commands command known
    elif (( ${known[(I)${words[2]}:*]} )); then
        command=${words[2]}
        shift words
        (( CURRENT-- ))
    fi
    case $command in
{options}    esac
}
if [[ ${funcstack[1]} == _attn_calc ]]; then
    _attn_calc "$@"
else
    compdef _attn_calc attn-calc
fi
)";

constexpr std::string_view fish_script =
    R"(# Completion of attn-calc for fish, from its tables: attn-calc completion fish
function __attn_calc_at
    set -l command run
    for word in (commandline -opc)[2..-1]
        if contains -- $word {commands}
            set command $word
            break
        end
    end
    contains -- $command $argv
end
function __attn_calc_list
    set -l begun (string replace -r '^--[^=]*=' '' -- (commandline -ct) | string replace -rf '^(.*,).*$' '$1')
    for word in $argv
        echo "$begun$word"
    end
end
complete -c attn-calc -e
{first}{options})";

std::string joined(const Words& words, std::string_view between) {
    std::string out;
    for (const std::string_view word : words)
        out += (out.empty() ? "" : std::string(between)) + std::string(word);
    return out;
}

Words command_names() {
    Words out;
    for (const CommandRow& c : all_commands()) out.push_back(c.name);
    return out;
}

/// "-f" and "--format"
Words spellings(const FlagRow& flag) {
    Words out{flag.long_name()};
    if (!flag.short_name().empty()) out.insert(out.begin(), flag.short_name());
    return out;
}

/// Text between single quotes: bash and zsh end them for a quote, fish has a backslash before it.
std::string quoted_for_sh(std::string_view text) { return "'" + replaced(text, "'", "'\\''") + "'"; }
std::string quoted_for_fish(std::string_view text) {
    return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

/// The commands that take an option, by what `same` says of it there.
template <class Same>
std::map<std::string, Words> commands_by(const FlagRow& flag, Same same) {
    std::map<std::string, Words> out;
    for (const CommandRow& c : all_commands())
        if (flag.use(c.command)) out[same(c.command)].push_back(c.name);
    return out;
}

/// "run:-f|run:--format"
std::string cases_of(const FlagRow& flag, const Words& commands) {
    std::string out;
    for (const std::string_view command : commands)
        for (const std::string_view name : spellings(flag))
            out += (out.empty() ? "" : "|") + std::string(command) + ":" + std::string(name);
    return out;
}

/// What completes the value of an option, in bash, zsh and fish.
std::string value_in_bash(const FlagRow& flag, Command command) {
    if (flag.takes_file()) return "_attn_calc_files";
    const Words words = words_of(flag, command);
    if (words.empty()) return ":";
    const std::string how = flag.takes_list()  ? "_attn_calc_list "
                            : flag.takes_key() ? "_attn_calc_keys "
                                               : "_attn_calc_words ";
    return how + quoted_for_sh(joined(words, " "));
}

std::string value_in_zsh(const FlagRow& flag, Command command) {
    if (!flag.takes_value()) return {};
    const std::string words = joined(words_of(flag, command), " "),
                      begin = ":" + std::string(flag.value) + ":";
    if (flag.takes_file()) return begin + "_files";
    if (words.empty()) return begin + " ";
    if (flag.takes_key()) return begin + "compadd -S = - " + words;
    return begin + (flag.takes_list() ? "_sequence compadd - " + words : "(" + words + ")");
}

std::string value_in_fish(const FlagRow& flag, Command command) {
    if (!flag.takes_value()) return {};
    if (flag.takes_file()) return " -r -F";
    const Words known = words_of(flag, command);
    if (known.empty()) return " -x";
    const std::string words = flag.takes_key() ? joined(known, "= ") + "=" : joined(known, " ");
    return " -x -a " + quoted_for_fish(flag.takes_list() ? "(__attn_calc_list " + words + ")" : words);
}

std::string zsh_option(const FlagRow& flag, const CommandRow& command) {
    const Words names = spellings(flag);
    const bool again =
        (flag.id == flag::output && command.several) || flag.id == flag::root || flag.id == flag::set_key;
    const std::string once = again ? "*" : names.size() > 1 ? "(" + joined(names, " ") + ")" : "";
    const std::string text =
        replaced(replaced(replaced(text_of(flag, command.command), "\\", "\\\\"), "[", "\\["), "]", "\\]");
    const std::string rest = "[" + text + "]" + value_in_zsh(flag, command.command);
    if (names.size() == 1) return quoted_for_sh(once + std::string(names[0]) + rest);
    return quoted_for_sh(once) + "{" + joined(names, ",") + "}" + quoted_for_sh(rest);
}

}  // namespace

std::string bash_completion() {
    Words valued;
    std::string values, options, words;
    for (const FlagRow& f : all_flags()) {
        if (!f.takes_value()) continue;
        for (const std::string_view name : spellings(f)) valued.push_back(name);
        for (const auto& [does, commands] : commands_by(f, [&](Command c) { return value_in_bash(f, c); }))
            values += "        " + cases_of(f, commands) + ") " + does + "; return ;;\n";
    }
    for (const CommandRow& c : all_commands()) {
        Words names;
        for (const FlagRow& f : all_flags())
            if (f.use(c.command))
                for (const std::string_view name : spellings(f)) names.push_back(name);
        const std::string begin(12, ' '), name = std::string(c.name) + ") _attn_calc_words ";
        options += begin + name + quoted_for_sh(joined(names, " ")) + " ;;\n";
        if (c.words) words += begin.substr(4) + name + quoted_for_sh(joined(c.words(), " ")) + " ;;\n";
    }
    std::string out(bash_script);
    out = replaced(out, "{valued}", joined(valued, "|"));
    out = replaced(out, "{commands}", joined(command_names(), "|"));
    out = replaced(out, "{first}", joined(command_names(), " ") + " help");
    out = replaced(out, "{values}", values);
    out = replaced(out, "{options}", options);
    return replaced(out, "{words}", words);
}

std::string zsh_completion() {
    std::string commands, options;
    for (const CommandRow& c : all_commands()) {
        commands += "        " + quoted_for_sh(std::string(c.name) + ":" + std::string(c.summary)) + "\n";
        options += "        " + std::string(c.name) + ")\n            _arguments -s -S \\\n";
        for (const FlagRow& f : all_flags())
            if (f.use(c.command)) options += "                " + zsh_option(f, c) + " \\\n";
        options += "                " +
                   quoted_for_sh(c.words ? "1:name:(" + joined(c.words(), " ") + ")" : "*:file:_files") +
                   "\n            ;;\n";
    }
    return replaced(replaced(zsh_script, "{commands}", commands), "{options}", options);
}

std::string fish_completion() {
    std::string first, options;
    const auto line = [](const std::string& when, const std::string& rest) {
        return "complete -c attn-calc -n " + quoted_for_fish(when) + rest + "\n";
    };
    for (const CommandRow& c : all_commands()) {
        const std::string name(c.name);
        first += line("test (count (commandline -opc)) -eq 1",
                      " -a " + name + " -d " + quoted_for_fish(c.summary));
        if (c.words)
            options += line("__attn_calc_at " + name, " -f -a " + quoted_for_fish(joined(c.words(), " ")));
    }
    for (const FlagRow& f : all_flags())
        for (const auto& [rest, commands] : commands_by(
                 f, [&](Command c) { return value_in_fish(f, c) + " -d " + quoted_for_fish(text_of(f, c)); }))
            options += line("__attn_calc_at " + joined(commands, " "),
                            (f.short_name().empty() ? "" : " -s " + std::string(f.short_name().substr(1))) +
                                " -l " + std::string(f.long_name().substr(2)) + rest);
    std::string out(fish_script);
    out = replaced(out, "{commands}", joined(command_names(), " "));
    out = replaced(out, "{first}", first);
    return replaced(out, "{options}", options);
}

}  // namespace attn
