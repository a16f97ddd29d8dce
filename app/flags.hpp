#pragma once
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/command.hpp"

namespace attn {

namespace flag {
enum Id {
    stages,
    batch,
    heads,
    rows,
    cols,
    row,
    head,
    all_rows,
    cell,
    level,
    blank,
    key,
    tokens,
    kv_heads,
    causal,
    window,
    softcap,
    rope,
    gradient,
    seed,
    atol,
    rtol,
    ulp,
    digits,
    map_of_names,
    layout,
    layer,
    ignore_unknown,
    dtype,
    model,
    stack,
    as_type,
    embeddings,
    block,
    key_embeddings,
    weights,
    prefix,
    set_key,
    root,
    keep_going,
    threads,
    kernel_set,
    max_memory,
    format,
    output,
    top,
    precision,
    squeeze,
    compact,
    sums,
    background,
    nonfinite,
    standalone,
    width,
    ascii,
    color,
    quiet,
    verbose,
    watch,
    error_format,
    help,
    version,
    id_count
};
}  // namespace flag

/// The headings of a command's help, in order.
enum class Topic { what, numbers, theirs, work, form, messages };

/// An option in some commands.
struct FlagUse {
    unsigned commands;
    Topic topic;
    unsigned needs;         ///< Obeyed: it acts on the form of formats that obey this; 0: on something else
    std::string_view text;  ///< what it does there; {suffixes}: those of the command's formats
    /// The values that it knows there: {words}, or {choices} where the first is the default; null: others.
    std::vector<std::string_view> (*words)(Command command) = nullptr;
};

/// A row of THE TABLE of options (flags.cpp). Everything that is said about an option is made of it.
struct FlagRow {
    flag::Id id;
    std::string_view names;  ///< "-f,--format"
    std::string_view value;  ///< what stands for its value in the help; empty: it takes none
    std::array<FlagUse, 4> uses;
    bool often = false;  ///< stands in the help of the program

    bool takes_value() const { return !value.empty(); }
    constexpr std::string_view long_name() const { return names.substr(names.find("--")); }
    constexpr std::string_view short_name() const { return names.substr(0, names.find("--") == 0 ? 0 : 2); }
    bool takes_list() const { return value == "A,B"; }
    bool takes_key() const { return value == "KEY=JSON"; }
    bool takes_file() const { return value == "FILE" || value == "DIR"; }
    /// "-f, --format F"
    std::string shown() const;
    /// What it is in a command; null: the command does not take it.
    const FlagUse* use(Command command) const;
};

std::span<const FlagRow> all_flags();
const FlagRow& row_of(flag::Id id);

/// The values that an option knows in a command that takes it; none: it takes others.
std::vector<std::string_view> words_of(const FlagRow& row, Command command);

/// What an option does in a command that takes it, as one line.
std::string text_of(const FlagRow& row, Command command);

/// Which formats of a command obey an option of the form: "text, md or tex"; empty: none does.
std::string formats_that_obey(Command command, unsigned needs);

}  // namespace attn
