#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/value.hpp"

namespace attn {

/// A value, and in words where it came from.
template <class T>
struct Said {
    T value{};
    std::string from;
};

/// What a key of a configuration holds.
struct ConfigKey {
    const Value* value = nullptr;  ///< null: no such key
    std::string name;              ///< as a path from the top: "text_config.rope_theta"

    explicit operator bool() const { return value != nullptr; }
    bool is_null() const { return value && value->kind == Value::Kind::null; }
    /// Its JSON pointer.
    std::string pointer() const;
};

/// One configuration of config.json, which remembers what was asked of it.
class Config {
  public:
    /// Names of keys as their file has them.
    using Names = std::map<std::string, std::string, std::less<>>;

    /// `under`: the path of `object` in the file, "text_config", or "". `said`: what its keys are called
    /// there, where they have other names; it outlives this.
    Config(const Value& object, std::string under, const Names* said = nullptr)
        : object_(&object), under_(std::move(under)), said_(said) {}

    const Value& object() const { return *object_; }
    const std::string& under() const { return under_; }

    /// The first of some keys (a|b, a dot leads into an object) that is there, null or not.
    ConfigKey find(std::string_view keys) const;
    /// The same; nothing where it is null.
    ConfigKey given(std::string_view keys) const;
    /// A key of an object that was found.
    ConfigKey below(const ConfigKey& object, std::string_view name) const;

    std::optional<Said<Index>> integer(std::string_view keys, Index least) const;
    std::optional<Said<double>> number(std::string_view keys) const;
    std::optional<Said<bool>> boolean(std::string_view keys) const;
    std::optional<Said<std::string>> text(std::string_view keys) const;

    /// An integer of a value. \throws Error
    static Index integer_of(const ConfigKey& key, Index least);
    static double number_of(const ConfigKey& key);
    static bool boolean_of(const ConfigKey& key);
    static const std::string& text_of(const ConfigKey& key);
    /// A list as values, whether its elements are numbers or not.
    static std::vector<Value> list_of(const ConfigKey& key);

    /// Keys that nobody asked for and whose names are of attention: they might change it. `unread`: names
    /// that do not, apart from those known for it everywhere. \throws Error for the first
    void refuse_unread(std::string_view unread) const;

  private:
    std::string name_of_key(std::string_view key) const;

    const Value* object_;
    std::string under_;
    const Names* said_;
    mutable std::set<std::string, std::less<>> asked_;  ///< keys of the object
};

/// Calls use(word) for each of the words of a list.
template <class Use>
void each_of(std::string_view list, char between, Use use) {
    while (!list.empty()) {
        const std::size_t end = list.find(between);
        const std::string_view word = list.substr(0, end);
        if (!word.empty()) use(word);
        if (end == std::string_view::npos) return;
        list.remove_prefix(end + 1);
    }
}

}  // namespace attn
