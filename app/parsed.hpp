#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "app/flags.hpp"
#include "app/options.hpp"

namespace attn {

/// The words of a command line by option, before they mean anything.
struct Parsed {
    std::array<std::vector<std::string>, flag::id_count> values;
    std::array<std::int64_t, flag::id_count> counts{};
    std::vector<std::string> words;  ///< no options
    std::size_t after_dashes = 0;    ///< how many of them stand after --
    bool list_stages = false;
    bool given(flag::Id id) const { return counts[id] != 0 || !values[id].empty(); }
};

/// The value of an option: a whole number.
int integer(const Parsed& parsed, flag::Id id, int least, int most);
/// Which of the words that an option knows was given.
std::size_t choice(const Parsed& parsed, flag::Id id, Command command);

/// --model and what goes with it; files in place of a document's keys; --root.
void read_model_options(const Parsed& parsed, Options& options);

}  // namespace attn
