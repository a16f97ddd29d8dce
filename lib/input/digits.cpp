#include <algorithm>
#include <cstdlib>

#include "lib/input/value.hpp"

namespace attn {

Digits digits_of(std::string_view number) {
    Digits out;
    const std::size_t e = std::min(number.find_first_of("eE"), number.size());
    const std::size_t point = std::min(number.find('.'), e);
    const std::size_t decimals = point == e ? 0 : e - point - 1;
    out.decimals = static_cast<std::uint8_t>(std::min<std::size_t>(decimals, 255));
    out.padded = decimals > 1 && number[e - 1] == '0';
    if (e < number.size()) {
        const long power = std::strtol(std::string(number.substr(e + 1)).c_str(), nullptr, 10);
        out.exponent = static_cast<std::int16_t>(std::clamp(power, -1000L, 1000L));
    }
    return out;
}

std::vector<Digits> Scalars::digits() const {
    std::vector<Digits> out;
    for (std::size_t at = 0; (at = text.find_first_not_of("[], \t\r\n", at)) < text.size();) {
        const std::size_t end = std::min(text.find_first_of("[], \t\r\n", at), text.size());
        const std::string_view element = text.substr(at, end - at);
        const bool is_number = element[0] == '-' || (element[0] >= '0' && element[0] <= '9');
        out.push_back(is_number ? digits_of(element) : Digits{});
        at = end;
    }
    return out;
}

}  // namespace attn
