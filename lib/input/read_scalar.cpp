#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "lib/input/read_tensor.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

[[noreturn]] void wrong_type(const std::string& pointer, const Value& value, std::string_view expected) {
    fail(pointer, "is " + value.describe() + ", expected " + std::string(expected));
}

/// One element of a list as a value of its own, so that lists and single values share their rules. Up to the
/// first that is no integer, each is one.
Value element(const Scalars& list, const Numbers& exact, std::size_t k) {
    Value v;
    v.real = exact[static_cast<Index>(k)];
    v.kind = Value::Kind::integer;
    if (k == list.first_of(Scalar::real) || std::abs(v.real) >= 9.2e18) {
        v.kind = Value::Kind::real;
        if (!list.from.empty()) v.text = significant(v.real, 17);
    } else if (k == list.first_of(Scalar::boolean)) {
        v.kind = Value::Kind::boolean;
        v.boolean = v.real != 0;
    } else if (k == list.first_of(Scalar::nonfinite)) {
        v.kind = Value::Kind::string;
        v.text = std::isnan(v.real) ? "NaN" : v.real > 0 ? "Infinity" : "-Infinity";
    } else {
        v.integer = static_cast<std::int64_t>(v.real);
    }
    return v;
}

/// The numbers of a list, or of lists, row-major. \throws Error where one is none
std::vector<double> finite_numbers(const Scalars& row, const std::string& pointer, std::string_view what) {
    if (row.numbers.empty()) fail(pointer, "is an empty list, expected " + std::string(what));
    const Numbers exact = row.as_float64();
    const std::size_t wrong = std::min(row.first_of(Scalar::boolean), row.first_of(Scalar::nonfinite));
    if (wrong != Scalars::none) {
        const Index columns = row.shape.back(), at = static_cast<Index>(wrong);
        const std::string list = row.shape.size() > 1 ? child(pointer, at / columns) : pointer;
        wrong_type(child(list, at % columns), element(row, exact, wrong), std::string(what) + ", a number");
    }
    std::vector<double> out(static_cast<std::size_t>(exact.size()));
    exact.copy(std::span<double>(out));
    return out;
}

}  // namespace

bool is_ignored(std::string_view key) {
    return key == "comment" || key.starts_with('$') || key.starts_with('_');
}

Index read_integer(const Value& value, const std::string& pointer, Index least, std::string_view what) {
    const std::string expected = std::string(what) + ", an integer";
    if (value.kind == Value::Kind::real) {
        const bool written_as_integer =
            value.text.find_first_of(".eE") == std::string::npos && !value.text.empty();
        fail(pointer, "is " + (value.text.empty() ? "not an integer" : value.text) + ", expected " + expected,
             written_as_integer ? "integers have at most 64 bits" : "write it without fraction and exponent");
    }
    if (value.kind != Value::Kind::integer) wrong_type(pointer, value, expected);
    if (value.integer < least) {
        fail(pointer, "is " + std::to_string(value.integer) + ", expected " + std::string(what) +
                          ", at least " + std::to_string(least));
    }
    return value.integer;
}

std::vector<Index> read_integers(const Value& value, const std::string& pointer, Index least,
                                 std::string_view what) {
    if (value.kind == Value::Kind::array) {
        for (std::size_t k = 0; k < value.items.size(); ++k)
            read_integer(value.items[k], child(pointer, static_cast<Index>(k)), least, what);
    }
    if (value.kind != Value::Kind::row) wrong_type(pointer, value, "a list: " + std::string(what));
    if (value.row.shape.size() > 1)
        fail(child(pointer, Index{0}), "is an array, expected " + std::string(what) + ", an integer");
    if (value.row.numbers.empty()) fail(pointer, "is an empty list, expected " + std::string(what));
    std::vector<Index> out;
    const Numbers exact = value.row.as_float64();
    for (std::size_t k = 0; k < value.row.length(); ++k)
        out.push_back(
            read_integer(element(value.row, exact, k), child(pointer, static_cast<Index>(k)), least, what));
    return out;
}

std::vector<double> read_numbers(const Value& value, const std::string& pointer, std::string_view what) {
    if (value.kind == Value::Kind::array)
        for (std::size_t k = 0; k < value.items.size(); ++k)
            read_number(value.items[k], child(pointer, static_cast<Index>(k)), what);
    if (value.kind != Value::Kind::row) wrong_type(pointer, value, "a list: " + std::string(what));
    if (value.row.shape.size() > 1)
        fail(child(pointer, Index{0}), "is an array, expected " + std::string(what) + ", a number");
    return finite_numbers(value.row, pointer, what);
}

Places read_places(const Value& value, const std::string& pointer, std::string_view what) {
    if (value.kind == Value::Kind::row && value.row.shape.size() == 2)
        return {finite_numbers(value.row, pointer, what), value.row.shape[0]};
    if (value.kind == Value::Kind::array && !value.items.empty() && is_list(value.items.front())) {
        // Lists for batch items that are not alike: one of them is wrong, or of another length.
        std::optional<std::size_t> length;
        for (std::size_t k = 0; k < value.items.size(); ++k) {
            const std::string here = child(pointer, static_cast<Index>(k));
            const std::size_t found = read_numbers(value.items[k], here, what).size();
            if (length && found != *length)
                fail(here,
                     "has " + std::to_string(found) + " numbers, but " + child(pointer, Index{0}) + " has " +
                         std::to_string(*length),
                     "a list for each batch item, all of them as long");
            length = found;
        }
    }
    return {read_numbers(value, pointer, what), 1};
}

double read_number(const Value& value, const std::string& pointer, std::string_view what) {
    if (value.kind != Value::Kind::integer && value.kind != Value::Kind::real)
        wrong_type(pointer, value, std::string(what) + ", a number");
    return value.real;
}

bool read_boolean(const Value& value, const std::string& pointer, std::string_view what) {
    if (value.kind != Value::Kind::boolean) wrong_type(pointer, value, "true or false: " + std::string(what));
    return value.boolean;
}

const std::string& read_string(const Value& value, const std::string& pointer, std::string_view what) {
    if (value.kind != Value::Kind::string) wrong_type(pointer, value, "a string: " + std::string(what));
    return value.text;
}

std::uint64_t read_seed(const Value& value, const std::string& pointer) {
    if (value.kind == Value::Kind::real && !value.text.empty() &&
        value.text.find_first_not_of("0123456789") == std::string::npos) {
        std::uint64_t seed = 0;
        const char* const end = value.text.data() + value.text.size();
        if (std::from_chars(value.text.data(), end, seed).ec == std::errc{}) return seed;
        fail(pointer, "is " + value.text + ", expected a seed of at most 18446744073709551615, 2^64 - 1");
    }
    return static_cast<std::uint64_t>(read_integer(value, pointer, INT64_MIN, "a seed"));
}

std::size_t read_choice(const Value& value, const std::string& pointer,
                        std::span<const std::string_view> names) {
    std::string all;
    for (std::size_t k = 0; k < names.size(); ++k) {
        all += k == 0 ? "" : k + 1 == names.size() ? " or " : ", ";
        all += "\"" + std::string(names[k]) + "\"";
    }
    if (value.kind != Value::Kind::string) wrong_type(pointer, value, all);
    for (std::size_t k = 0; k < names.size(); ++k)
        if (value.text == names[k]) return k;
    fail(pointer, "is \"" + value.text + "\", expected " + all, did_you_mean(value.text, names));
}

std::string list_near(std::string_view name, std::span<const std::string_view> names) {
    constexpr std::size_t most = 8;
    std::string out = "keys that are known here:";
    if (names.size() <= most) {
        for (const auto& n : names) out += " " + std::string(n);
        return out;
    }
    for (const auto& n : near_names(name, names, most)) out += " " + std::string(n);
    return out + ", and " + std::to_string(names.size() - most) + " more (attn-calc schema input has all)";
}

void check_members(const Value& object, const std::string& pointer, std::span<const std::string_view> names) {
    for (const auto& [name, value] : object.members) {
        if (is_ignored(name)) continue;
        bool known = false;
        for (const auto& n : names) known = known || n == name;
        if (known) continue;
        std::string hint = did_you_mean(name, names);
        if (hint.empty()) hint = list_near(name, names);
        fail_at_key(child(pointer, name),
                    "unknown key \"" + name + "\"" + (pointer.empty() ? "" : " in " + pointer), hint);
    }
}

const Value& need(const Value& object, const std::string& pointer, std::string_view name,
                  std::string_view what) {
    if (const Value* v = object.find(name)) return *v;
    fail(pointer, "has no \"" + std::string(name) + "\": " + std::string(what));
}

}  // namespace attn
