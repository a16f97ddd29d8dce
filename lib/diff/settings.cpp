#include "lib/diff/settings.hpp"

#include <algorithm>
#include <cmath>

#include "lib/input/read_tensor.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Kind = Value::Kind;

constexpr Index few = 8;

/// Numbers with a shape: an array, or {"shape": ..., "data": ...}.
struct TensorView {
    Shape shape;
    const Numbers* numbers;
};

std::optional<TensorView> tensor_of(const Value& v) {
    if (v.kind == Kind::row) return TensorView{v.row.shape, &v.row.numbers};
    if (v.kind != Kind::object) return std::nullopt;
    const Value *shape = v.find("shape"), *data = v.find("data");
    if (!shape || !data || shape->kind != Kind::row || data->kind != Kind::row) return std::nullopt;
    Shape sizes;
    for (Index k = 0; k < shape->row.numbers.size(); ++k)
        sizes.push_back(static_cast<Index>(shape->row.numbers[k]));
    return TensorView{std::move(sizes), &data->row.numbers};
}

/// A list that is read at a glance.
bool is_short(const Value& v) {
    return v.kind == Kind::row && v.row.shape.size() == 1 && v.row.numbers.size() <= few;
}

bool is_number(const Value& v) { return v.kind == Kind::integer || v.kind == Kind::real; }

/// A number as JSON has it, one that is not finite as documents do.
std::string number_json(double x) {
    if (std::isnan(x)) return "\"NaN\"";
    if (std::isinf(x)) return x > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return tree_number(x).text;
}

template <class List, class Write>
std::string joined(const List& list, Write write) {
    std::string out;
    for (const auto& one : list) out += (out.empty() ? "" : ", ") + write(one);
    return out;
}

std::string setting_json(const Value& v) {
    if (is_short(v)) {
        const bool switches = v.row.first_of(Scalar::boolean) == 0;
        std::string out;
        for (Index k = 0; k < v.row.numbers.size(); ++k) {
            const double x = v.row.numbers[k];
            out +=
                (k == 0 ? "" : ", ") + (switches ? std::string(x != 0 ? "true" : "false") : number_json(x));
        }
        return "[" + out + "]";
    }
    if (const auto tensor = tensor_of(v)) return "{\"shape\": " + to_string(tensor->shape) + "}";
    switch (v.kind) {
        case Kind::null:
            return "null";
        case Kind::boolean:
            return v.boolean ? "true" : "false";
        case Kind::integer:
        case Kind::real:
            return number_json(v.real);
        case Kind::string:
            return json_string(v.text);
        case Kind::row:
        case Kind::array:
            return "[" + joined(v.items, setting_json) + "]";
        case Kind::object:
            return "{" +
                   joined(
                       v.members,
                       [](const Member& m) { return json_string(m.name) + ": " + setting_json(m.value); }) +
                   "}";
    }
    return {};
}

bool same_number(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// What is largest; a number that is none beside one is more than all.
double difference_of(double a, double b) { return same_number(a, b) ? 0 : std::abs(a - b); }

class Settings {
  public:
    std::vector<SettingDifference> found;

    void compare(const std::string& key, const Value& theirs, const Value& ours) {
        const auto a = tensor_of(theirs), b = tensor_of(ours);
        if (a && b) return compare_tensors(key, theirs, *a, ours, *b);
        if (theirs.kind == Kind::object && ours.kind == Kind::object)
            return compare_members(key, theirs, ours);
        const bool lists = theirs.kind == Kind::array && ours.kind == Kind::array &&
                           theirs.items.size() == ours.items.size();
        if (lists && !theirs.items.empty() && theirs.items.front().kind != Kind::string) {
            for (std::size_t k = 0; k < theirs.items.size(); ++k)
                compare(key + "[" + std::to_string(k) + "]", theirs.items[k], ours.items[k]);
            return;
        }
        const bool same = is_number(theirs) && is_number(ours)
                              ? same_number(theirs.real, ours.real)
                              : theirs.kind == ours.kind && setting_json(theirs) == setting_json(ours);
        if (!same) found.push_back({key, setting_json(theirs), setting_json(ours), {}, {}});
    }

    void compare_members(const std::string& key, const Value& theirs, const Value& ours) {
        const auto below = [&](const Member& m) { return key.empty() ? m.name : key + "." + m.name; };
        for (const Member& m : theirs.members) {
            if (is_ignored(m.name)) continue;
            if (const Value* other = ours.find(m.name))
                compare(below(m), m.value, *other);
            else
                found.push_back({below(m), setting_json(m.value), {}, {}, {}});
        }
        for (const Member& m : ours.members)
            if (!is_ignored(m.name) && !theirs.find(m.name))
                found.push_back({below(m), {}, setting_json(m.value), {}, {}});
    }

  private:
    void compare_tensors(const std::string& key, const Value& theirs, const TensorView& a, const Value& ours,
                         const TensorView& b) {
        SettingDifference one{key, setting_json(theirs), setting_json(ours), {}, {}};
        if (a.shape != b.shape || a.numbers->size() != b.numbers->size()) {
            found.push_back(std::move(one));
            return;
        }
        Index at = 0;
        double largest = 0;
        for (Index k = 0; k < a.numbers->size(); ++k) {
            const double d = difference_of((*a.numbers)[k], (*b.numbers)[k]);
            if (d <= largest || std::isnan(largest)) continue;
            largest = d;
            at = k;
        }
        if (largest == 0) return;
        one.largest = largest;
        one.at.assign(a.shape.size(), 0);
        for (std::size_t axis = a.shape.size(); axis-- > 0; at /= a.shape[axis])
            one.at[axis] = at % a.shape[axis];
        found.push_back(std::move(one));
    }
};

}  // namespace

std::vector<SettingDifference> compare_settings(const Value& theirs, const Value& ours) {
    Settings settings;
    settings.compare_members({}, theirs, ours);
    return std::move(settings.found);
}

}  // namespace attn
