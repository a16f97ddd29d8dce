#pragma once
#include <span>
#include <string>
#include <string_view>

namespace attn {

/// What people write for a name of ours: keys, variants, types, weights. Names of formats are in the table of
/// formats, names of stages in other
/// systems are rows of lib/theirs/names.cpp.
struct Synonym {
    std::string_view word;  ///< in lower case, without spaces, `-` and `_`
    std::string_view name;  ///< ours
    std::string_view form;  ///< how it is written, where that is more than the name; else empty
};

/// The synonym of `word` whose name is among `names` (what may stand at that place), or null.
const Synonym* synonym_of(std::string_view word, std::span<const std::string_view> names);

/// THE TABLE of synonyms.
std::span<const Synonym> all_synonyms();

}  // namespace attn
