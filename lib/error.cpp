#include "lib/error.hpp"

#include <algorithm>
#include <utility>

#include "lib/synonyms.hpp"

namespace attn {
namespace {

constexpr std::size_t longest_compared = 64;  ///< bytes of a name

/// Letters and digits only, in lower case: what is left of a name when case and separators do not count.
std::string plain(std::string_view s) {
    std::string out;
    for (const char c : s) {
        if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
    }
    return out;
}

/// Edits from a to b: insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
std::size_t edits(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = std::min(now[j], before[j - 2] + 1);
        }
        std::swap(before, last);
        std::swap(last, now);
    }
    return last[b.size()];
}

/// The name that is `word` but for case and separators, or "".
std::string same_name(std::string_view word, std::span<const std::string_view> names) {
    if (word.size() > longest_compared) return {};
    const std::string wanted = plain(word);
    for (const auto& n : names)
        if (n == word || (!wanted.empty() && plain(n) == wanted)) return std::string(n);
    return {};
}

}  // namespace

void fail(std::string pointer, std::string message, std::string hint) {
    throw Error(Exit::input, std::move(pointer), std::move(message), std::move(hint));
}

void fail_at_key(std::string pointer, std::string message, std::string hint) {
    Error e(Exit::input, std::move(pointer), std::move(message), std::move(hint));
    e.at_key = true;
    throw e;
}

void fail_usage(std::string message, std::string hint) {
    throw Error(Exit::usage, {}, std::move(message), std::move(hint));
}

std::string nearest_name(std::string_view word, std::span<const std::string_view> names) {
    if (word.empty() || word.size() > longest_compared) return {};
    if (std::string same = same_name(word, names); !same.empty()) return same;
    // What a word means here goes before what it looks like.
    if (const Synonym* s = synonym_of(word, names)) return std::string(s->name);
    const std::string wanted = plain(word);
    std::string best;
    std::size_t fewest = SIZE_MAX;
    for (const auto& n : names) {
        if (n.size() > longest_compared) continue;
        const std::size_t d = std::min(edits(word, n), edits(wanted, plain(n)));
        const std::size_t allowed = std::max<std::size_t>(1, std::min(word.size(), n.size()) / 3);
        if (d <= allowed && d < fewest && d < std::min(word.size(), n.size())) {
            fewest = d;
            best = n;
        }
    }
    if (!best.empty() || wanted.size() < 3) return best;
    // The beginning of one name only.
    std::size_t begins = 0;
    for (const auto& n : names) {
        if (!plain(n).starts_with(wanted)) continue;
        best = n;
        ++begins;
    }
    return begins == 1 ? best : std::string{};
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> names) {
    const Synonym* s = synonym_of(word, names);
    if (s && !s->form.empty() && same_name(word, names).empty()) return "here it is " + std::string(s->form);
    const std::string name = nearest_name(word, names);
    return name.empty() ? name : "did you mean \"" + name + "\"?";
}

std::vector<std::string_view> near_names(std::string_view word, std::span<const std::string_view> names,
                                         std::size_t most) {
    std::vector<std::pair<std::size_t, std::string_view>> order;
    const std::string wanted = plain(word.substr(0, longest_compared));
    for (const auto& n : names) order.emplace_back(edits(wanted, plain(n.substr(0, longest_compared))), n);
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string_view> out;
    for (std::size_t k = 0; k < std::min(most, order.size()); ++k) out.push_back(order[k].second);
    return out;
}

std::string child(std::string_view pointer, std::string_view name) {
    std::string out(pointer);
    out += '/';
    for (const char c : name) {
        if (c == '~') {
            out += "~0";
        } else if (c == '/') {
            out += "~1";
        } else {
            out += c;
        }
    }
    return out;
}

std::string child(std::string_view pointer, std::int64_t index) {
    return std::string(pointer) + "/" + std::to_string(index);
}

}  // namespace attn
