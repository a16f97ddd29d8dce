#include "lib/render/number.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace attn {
namespace {

void append_nonfinite(std::string& out, bool nan, bool negative, NonFinite policy) {
    if (policy == NonFinite::null) {
        out += "null";
        return;
    }
    const std::string_view quote = policy == NonFinite::string ? "\"" : "";
    out.append(quote).append(nan ? "NaN" : negative ? "-Infinity" : "Infinity").append(quote);
}

/// From here on not every integer is a float.
template <typename Float>
constexpr Float unit_gap = static_cast<Float>(std::uint64_t{1} << std::numeric_limits<Float>::digits);

/// A large integer in plain digits: std::to_chars writes them all out, though the first ones tell the float
/// and zeros would do for the rest.
template <typename Float>
void append_padded(std::string& out, Float value, const char* plain, const char* plain_end) {
    char text[32];
    char* end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    const std::size_t start = out.size();
    out.append(text, std::find(text, end, 'e'));
    if (const std::size_t point = out.find('.', start); point != std::string::npos) out.erase(point, 1);
    out.append(static_cast<std::size_t>(plain_end - plain) - (out.size() - start), '0');
}

template <typename Float>
void append_shortest(std::string& out, Float value, NonFinite policy) {
    if (!std::isfinite(value)) return append_nonfinite(out, std::isnan(value), std::signbit(value), policy);
    // "-0" is an integer to many readers of JSON, and loses its sign there.
    if (value == 0) {
        out += std::signbit(value) ? "-0.0" : "0";
        return;
    }
    char text[32];
    char* end = std::to_chars(text, text + sizeof text, value).ptr;
    if (std::abs(value) >= unit_gap<Float> && std::find(text, end, 'e') == end) {
        return append_padded(out, value, text, end);
    }
    out.append(text, end);
}

}  // namespace

void append_number(std::string& out, float value, NonFinite policy) { append_shortest(out, value, policy); }
void append_number(std::string& out, double value, NonFinite policy) { append_shortest(out, value, policy); }

void append_fixed(std::string& out, double value, int precision, bool exponent) {
    if (!std::isfinite(value)) {
        out += std::isnan(value) ? "nan" : std::signbit(value) ? "-inf" : "inf";
        return;
    }
    precision = std::max(precision, 0);
    // Sign, point, and up to 309 digits before the point (or an exponent of 5 characters).
    const std::size_t most =
        static_cast<std::size_t>(precision) + (!exponent && std::abs(value) >= 1e15 ? 320 : 24);
    const std::size_t start = out.size();
    out.resize(start + most);
    const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
    const auto end = std::to_chars(out.data() + start, out.data() + out.size(), value, format, precision).ptr;
    out.resize(static_cast<std::size_t>(end - out.data()));
}

}  // namespace attn
