#include "lib/input/value.hpp"

#include <algorithm>
#include <optional>

#include "lib/input/scan.hpp"

namespace attn {

Source::Source(std::string name_, std::string text_) : name(std::move(name_)) {
    const auto kept = std::make_shared<const std::string>(std::move(text_));
    text = *kept;
    keeper = kept;
}

const Value* Value::find(std::string_view name) const {
    for (const auto& [key, value] : members)
        if (key == name) return &value;
    return nullptr;
}

std::string Value::describe() const {
    switch (kind) {
        case Kind::null:
            return "null";
        case Kind::boolean:
            return boolean ? "the boolean true" : "the boolean false";
        case Kind::integer:
        case Kind::real:
            return text.empty() ? "a number" : "the number " + text;
        case Kind::string:
            return text.empty() ? "an empty string" : "the string \"" + text + "\"";
        case Kind::row:
        case Kind::array:
            return "an array";
        case Kind::object:
            return members.empty() ? "an empty object" : "an object";
    }
    return {};
}

namespace {

std::size_t found_at(const std::optional<Index>& place) {
    return place ? static_cast<std::size_t>(*place) : Scalars::none;
}

}  // namespace

std::size_t Scalars::first_of(Scalar kind) const {
    if (in_file && kind == Scalar::nonfinite) return found_at(numbers.find_not_finite(0, numbers.size()));
    if (in_file && kind == Scalar::real) return found_at(numbers.find_fraction(0, numbers.size()));
    return first[idx(kind)];
}

std::size_t Scalars::first_that_is_other() const {
    return in_file ? found_at(numbers.find_other_than_0_and_1(0, numbers.size())) : first_other;
}

void locate(Error& error, const Source& source, const Document& document) {
    std::vector<std::string> tokens;
    for (std::size_t k = 0; k < error.pointer.size();) {
        const std::size_t next = std::min(error.pointer.find('/', k + 1), error.pointer.size());
        std::string token;
        for (std::size_t c = k + 1; c < next; ++c) {
            const bool escape = error.pointer[c] == '~' && c + 1 < next;
            token += !escape ? error.pointer[c] : error.pointer[++c] == '0' ? '~' : '/';
        }
        tokens.push_back(std::move(token));
        k = next;
    }
    Scanner scanner(source.text, document.begin);
    const auto found = scanner.follow(tokens);
    error.place.file = source.name;
    const bool structure = source.text[found.value_begin] == '{' || source.text[found.value_begin] == '[';
    const std::size_t begin = error.at_key ? found.name_begin : found.value_begin;
    const std::size_t end = error.at_key ? found.name_end : structure ? begin + 1 : found.value_end;
    fill_place(error.place, source, begin, end - begin);
}

}  // namespace attn
