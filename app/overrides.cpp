#include "app/overrides.hpp"

#include <algorithm>
#include <array>

#include "app/flags.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view weights_key = "weights";

/// A word that is no JSON for want of quotes.
bool is_bare_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-' || c == '.';
    });
}

/// KEY is there, or goes down from there.
bool begins_with_key(std::string_view path, std::string_view key) {
    return path.starts_with(key) && (path.size() == key.size() || path[key.size()] == '.');
}

/// The member with the longest name that is the path, or, of an object, the beginning of it.
Member* longest_match(Value& object, std::string_view path) {
    Member* best = nullptr;
    for (Member& m : object.members) {
        const bool fits =
            m.name == path || (m.value.kind == Value::Kind::object && begins_with_key(path, m.name));
        if (fits && (!best || m.name.size() > best->name.size())) best = &m;
    }
    return best;
}

/// A path with points that names no key: what is missing on the way.
std::string missing_on_the_way(const Value& object, std::string_view before, std::string_view rest,
                               const std::string& json) {
    const std::size_t point = rest.find('.');
    if (point == std::string_view::npos || before.starts_with(weights_key)) return {};
    const std::string first(rest.substr(0, point)), whole = std::string(before) + first;
    if (const Value* there = object.find(first))
        return "\"" + whole + "\" is " + there->describe() + ": a key goes into objects only";
    return "the document has no \"" + whole + "\" to go into: --set '" + whole + "={\"" +
           std::string(rest.substr(point + 1)) + "\": " + json + "}'";
}

}  // namespace

Override override_value(std::string_view flag, std::string_view word) {
    const std::string said = std::string(flag) + " " + clip(visible(word), 80);
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0)
        fail_usage(said + ": expected KEY=JSON", std::string(flag) + " causal=true");
    Override out{std::string(word.substr(0, equals)), std::string(word.substr(equals + 1)), {}};
    try {
        out.value = parse_value({said, out.json + "\n"});
    } catch (const Error& error) {
        if (error.code != Exit::input) throw;
        std::string hint = error.hint;
        if (is_bare_word(out.json) && hint.empty())
            hint = "a string stands in quotes, and those in quotes of the shell: " + std::string(flag) +
                   " '" + out.key + "=\"" + out.json + "\"'";
        fail_usage(said + " is no JSON: " + error.message, hint);
    }
    return out;
}

void Overrides::put_first() {
    for (const Override& one : options_.overrides)
        if (!put(one, false)) return;
}

void Overrides::put_rest() {
    if (put_.size() == options_.overrides.size()) return;
    while (put_.size() < options_.overrides.size()) put(options_.overrides[put_.size()], true);
    files_.resolve(root_);
}

bool Overrides::waits_for_files(const Value& object, std::string_view rest) const {
    if (!refers_to_file(object)) return false;
    const auto settings = weight_settings();
    return rest != "file" && rest != "name" &&
           std::find(settings.begin(), settings.end(), rest) == settings.end();
}

bool Overrides::put(const Override& one, bool files_are_read) {
    const bool other_weights = options_.weights || options_.prefix;
    if (!files_are_read && other_weights && begins_with_key(one.key, weights_key)) return false;
    Value* object = &root_;
    std::string_view rest = one.key;
    std::string pointer, hint;
    for (Member* found = nullptr; (found = longest_match(*object, rest));) {
        pointer = child(pointer, found->name);
        if (found->name == rest) {
            found->value = one.value;
            rest = {};
            break;
        }
        object = &found->value;
        rest.remove_prefix(found->name.size() + 1);
        if (!files_are_read && waits_for_files(*object, rest)) return false;
    }
    if (!rest.empty()) {
        hint = missing_on_the_way(*object, std::string_view(one.key).substr(0, one.key.size() - rest.size()),
                                  rest, one.json);
        pointer = child(pointer, rest);
        object->members.push_back({std::string(rest), one.value});
    }
    files_.trust_named(one.value);
    if (pointer.ends_with("/file")) files_.trust_named(*object);
    put_.push_back({std::move(pointer), one.key, std::move(hint)});
    return true;
}

bool Overrides::say_place(Error& error) const {
    for (auto put = put_.rbegin(); put != put_.rend(); ++put) {
        if (error.pointer != put->pointer && !error.pointer.starts_with(put->pointer + "/")) continue;
        error.place.file = std::string(row_of(flag::set_key).long_name()) + " " + put->key;
        if (error.at_key && error.pointer == put->pointer && !put->hint.empty()) error.hint = put->hint;
        return true;
    }
    return false;
}

std::vector<std::string> Overrides::said() const {
    std::vector<std::string> out;
    for (const Override& one : options_.overrides) out.push_back(one.key + "=" + one.json);
    return out;
}

}  // namespace attn
