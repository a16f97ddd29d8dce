#include "lib/render/json_text.hpp"

#include "lib/render/numbers/number.hpp"
#include "lib/text.hpp"

namespace attn {

std::string json_object(const JsonMembers& members, int indent) {
    if (members.empty()) return "{}";
    const std::string line = indent > 0 ? "\n" + std::string(static_cast<std::size_t>(indent), ' ') : "";
    std::string out = "{";
    for (std::size_t k = 0; k < members.size(); ++k)
        out += (k == 0       ? ""
                : indent > 0 ? ","
                             : ", ") +
               line + json_string(members[k].first) + ": " + members[k].second;
    if (indent > 0) out += "\n" + std::string(static_cast<std::size_t>(indent - 2), ' ');
    return out + "}";
}

std::string json_strings(const std::vector<std::string>& strings) {
    std::string out = "[";
    for (const std::string& s : strings) out += (out.size() > 1 ? ", " : "") + json_string(s);
    return out + "]";
}

std::string json_indices(const std::vector<Index>& numbers) { return to_string(numbers); }

std::string json_number(double value) { return json_number(value, DType::float64); }

std::string json_number(double value, DType type) {
    std::string out;
    append_shortest(out, value, type, NonFinite::string);
    return out;
}

}  // namespace attn
