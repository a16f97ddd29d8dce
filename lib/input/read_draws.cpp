// One generator for all that a document draws.
#include <algorithm>
#include <string>

#include "lib/input/read_options.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

constexpr auto dropout_key = "dropout";

/// "/weights/W_query" belongs to "weights".
std::string key_of(const std::string& pointer) { return pointer.substr(1, pointer.find('/', 1) - 1); }

/// Objects with "init" and without "seed", and a dropout mask of that kind, as they stand.
void find_drawn(const Value& value, const std::string& pointer, std::vector<std::string>& out) {
    if (value.kind == Value::Kind::array)
        for (std::size_t k = 0; k < value.items.size(); ++k)
            find_drawn(value.items[k], child(pointer, static_cast<Index>(k)), out);
    if (value.kind != Value::Kind::object) return;
    const bool mask = pointer == child("", dropout_key) && !value.find("keep");
    if ((value.find("init") || mask) && !value.find("seed")) out.push_back(pointer);
    for (const auto& [name, member] : value.members)
        if (!is_ignored(name)) find_drawn(member, child(pointer, name), out);
}

}  // namespace

std::vector<std::string> read_draws(const Value& value, const std::string& pointer) {
    const std::string expected = "expected a list of keys, in the order in which they are drawn";
    if (value.kind != Value::Kind::array) fail(pointer, "is " + value.describe() + ", " + expected);
    std::vector<std::string> out;
    for (std::size_t k = 0; k < value.items.size(); ++k) {
        const std::string at = child(pointer, static_cast<Index>(k));
        const std::string& name = read_string(value.items[k], at, "a key of the document");
        if (std::find(out.begin(), out.end(), name) != out.end())
            fail(at, "is \"" + name + "\" again: each key is drawn once");
        out.push_back(name);
    }
    return out;
}

void order_draws(const Value& root, Problem& problem) {
    std::vector<std::string>& drawn = problem.drawn;
    find_drawn(root, "", drawn);
    if (!problem.manual_seed) {
        if (problem.draws)
            fail_at_key("/draws", "\"draws\" is the order of one generator, but there is no \"manual_seed\"");
        if (drawn.empty()) return;
        const std::string key = key_of(drawn.front());
        fail(drawn.front(),
             std::string("has no \"seed\": ") + (key == dropout_key ? "a mask that is drawn needs a seed"
                                                 : problem.init && drawn.front() == "/weights"
                                                     ? "drawn weights need a seed"
                                                     : "drawn tensors need a seed"),
             "\"manual_seed\": 42 in the document seeds all that has none of its own");
    }
    if (drawn.empty())
        fail_at_key("/manual_seed",
                    "\"manual_seed\" seeds nothing: nothing is drawn without a seed of its own");
    const auto named = [&](const std::string& key) {
        return problem.draws &&
               std::find(problem.draws->begin(), problem.draws->end(), key) != problem.draws->end();
    };
    const auto rank = [&](const std::string& pointer) -> std::ptrdiff_t {
        const std::string key = key_of(pointer);
        if (named(key))
            return std::find(problem.draws->begin(), problem.draws->end(), key) - problem.draws->begin();
        const std::ptrdiff_t after = problem.draws ? static_cast<std::ptrdiff_t>(problem.draws->size()) : 0;
        return key == dropout_key ? after + 1 : after;
    };
    if (problem.draws) {
        for (const std::string& pointer : drawn)
            if (const std::string key = key_of(pointer); !named(key) && key != dropout_key)
                fail("/draws", "does not name \"" + key + "\", which is drawn without a seed of its own");
        for (std::size_t k = 0; k < problem.draws->size(); ++k) {
            const std::string& key = (*problem.draws)[k];
            if (std::none_of(drawn.begin(), drawn.end(),
                             [&](const std::string& p) { return key_of(p) == key; }))
                fail(child("/draws", static_cast<Index>(k)),
                     "is \"" + key + "\", which is not drawn without a seed of its own");
        }
    }
    std::stable_sort(drawn.begin(), drawn.end(),
                     [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
}

}  // namespace attn
