#include "lib/models/tree.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "lib/text.hpp"

namespace attn {
namespace {

using Kind = Value::Kind;

std::string shortest(double number) {
    std::array<char, 40> text{};
    const auto done = std::to_chars(text.data(), text.data() + text.size(), number);
    return {text.data(), done.ptr};
}

bool is_scalar(const Value& v) {
    return v.kind != Kind::object && v.kind != Kind::array && v.kind != Kind::row;
}

/// Whether a value stands on one line.
bool is_flat(const Value& v) {
    constexpr std::size_t few = 8;
    if (v.kind == Kind::array) return std::all_of(v.items.begin(), v.items.end(), is_scalar);
    if (v.kind != Kind::object) return true;
    return v.members.size() <= few && std::all_of(v.members.begin(), v.members.end(), [](const Member& m) {
               return m.value.kind != Kind::object && is_flat(m.value);
           });
}

void write(const Value& v, std::size_t indent, std::string& out) {
    const auto new_line = [&](std::size_t depth) { out += "\n" + std::string(2 * depth, ' '); };
    const bool flat = is_flat(v);
    switch (v.kind) {
        case Kind::null:
            out += "null";
            return;
        case Kind::boolean:
            out += v.boolean ? "true" : "false";
            return;
        case Kind::integer:
        case Kind::real:
            out += v.text;
            return;
        case Kind::string:
            out += json_string(v.text);
            return;
        case Kind::row:
            for (Index k = 0; k < v.row.numbers.size(); ++k)
                out += (k == 0 ? "[" : ", ") + shortest(v.row.numbers[k]);
            out += v.row.numbers.empty() ? "[]" : "]";
            return;
        case Kind::array:
            out += "[";
            for (std::size_t k = 0; k < v.items.size(); ++k) {
                if (k > 0) out += flat ? ", " : ",";
                if (!flat) new_line(indent + 1);
                write(v.items[k], indent + 1, out);
            }
            if (!flat) new_line(indent);
            out += "]";
            return;
        case Kind::object:
            out += "{";
            for (std::size_t k = 0; k < v.members.size(); ++k) {
                if (k > 0) out += flat ? ", " : ",";
                if (!flat) new_line(indent + 1);
                out += json_string(v.members[k].name) + ": ";
                write(v.members[k].value, indent + 1, out);
            }
            if (!flat) new_line(indent);
            out += "}";
            return;
    }
}

}  // namespace

Value tree_text(std::string_view text) {
    Value v;
    v.kind = Kind::string;
    v.text = text;
    return v;
}

Value tree_number(double number) {
    Value v;
    v.kind = Kind::real;
    v.real = number;
    v.text = shortest(number);
    return v;
}

Value tree_integer(std::int64_t number) {
    Value v;
    v.kind = Kind::integer;
    v.integer = number;
    v.real = static_cast<double>(number);
    v.text = std::to_string(number);
    return v;
}

Value tree_boolean(bool yes) {
    Value v;
    v.kind = Kind::boolean;
    v.boolean = yes;
    return v;
}

Value tree_object() {
    Value v;
    v.kind = Kind::object;
    return v;
}

Value tree_list(std::vector<Value> items) {
    Value v;
    v.kind = Kind::array;
    v.items = std::move(items);
    return v;
}

Value tree_numbers(const std::vector<double>& numbers) {
    std::vector<Value> items;
    items.reserve(numbers.size());
    for (const double n : numbers) items.push_back(tree_number(n));
    return tree_list(std::move(items));
}

Value& add_member(Value& object, std::string_view name, Value value) {
    return object.members.emplace_back(Member{std::string(name), std::move(value)}).value;
}

Value copy_of(const Value& value) {
    if (value.kind == Kind::integer) return tree_integer(value.integer);
    if (value.kind == Kind::real) return tree_number(value.real);
    return value;
}

std::string tree_json(const Value& value) {
    std::string out;
    write(value, 0, out);
    return out + "\n";
}

}  // namespace attn
