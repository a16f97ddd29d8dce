#include "lib/render/number.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace {

using attn::NonFinite;

template <typename Float>
std::string number(Float v, NonFinite policy = NonFinite::string) {
    std::string out;
    attn::append_number(out, v, policy);
    return out;
}

std::string fixed(double v, int precision, bool exponent = false) {
    std::string out;
    attn::append_fixed(out, v, precision, exponent);
    return out;
}

std::string printf_text(const char* format, int precision, double v) {
    char text[512];
    std::snprintf(text, sizeof text, format, precision, v);
    return text;
}

float read(const std::string& text, float) { return std::strtof(text.c_str(), nullptr); }
double read(const std::string& text, double) { return std::strtod(text.c_str(), nullptr); }

/// Reads back to the same bits, is JSON, and no text with fewer significant digits reads back.
template <typename Float>
bool is_shortest(Float v) {
    const std::string text = number(v);
    const Float back = read(text, v);
    if (std::memcmp(&v, &back, sizeof v) != 0) return false;
    if (!nlohmann::json::accept(text)) return false;
    int digits = 0, zeros = 0;
    for (const char c : text) {
        if (c == 'e') break;
        if (c < '0' || c > '9' || (digits == 0 && c == '0')) continue;
        ++digits;
        zeros = c == '0' ? zeros + 1 : 0;
    }
    digits -= zeros;
    return digits <= 1 || read(printf_text("%.*e", digits - 2, static_cast<double>(v)), v) != v;
}

}  // namespace

TEST_CASE("number: known texts") {
    CHECK(number(0.1f) == "0.1");
    CHECK(number(0.1) == "0.1");
    CHECK(number(static_cast<double>(0.1f)) == "0.10000000149011612");
    CHECK(number(0.0) == "0");
    CHECK(number(-0.0f) == "-0.0");
    CHECK(std::signbit(nlohmann::json::parse(number(-0.0)).get<double>()));
    CHECK(number(123456792.0f) == "123456790");
    CHECK(number(-16777216.0f) == "-16777216");
    CHECK(number(9007199254740993.0) == "9007199254740992");
    CHECK(number(18446744073709551616.0) == "18446744073709552000");
    CHECK(number(1e30f) == "1e+30");
    CHECK(number(std::numeric_limits<float>::max()) == "3.4028235e+38");
    CHECK(number(std::numeric_limits<float>::denorm_min()) == "1e-45");
    CHECK(number(std::numeric_limits<double>::max()) == "1.7976931348623157e+308");
    CHECK(number(std::numeric_limits<double>::denorm_min()) == "5e-324");
}

TEST_CASE("number: non-finite values by policy") {
    const float infinity = std::numeric_limits<float>::infinity();
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(number(infinity) == "\"Infinity\"");
    CHECK(number(-infinity) == "\"-Infinity\"");
    CHECK(number(-nan) == "\"NaN\"");
    CHECK(number(-infinity, NonFinite::null) == "null");
    CHECK(number(nan, NonFinite::bare) == "NaN");
    CHECK(number(-infinity, NonFinite::bare) == "-Infinity");
}

TEST_CASE("number: shortest text that reads back, over random bit patterns") {
    std::mt19937_64 random(20240817);
    int bad = 0;
    for (int k = 0; k < 50000; ++k) {
        const float f = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
        const double d = std::bit_cast<double>(random());
        bad += std::isfinite(f) && !is_shortest(f);
        bad += std::isfinite(d) && !is_shortest(d);
    }
    for (int e = -1074; e < 1024; ++e) {
        bad += !is_shortest(std::ldexp(1.0, e)) + !is_shortest(-std::ldexp(1.0, e));
        if (e >= -149 && e < 128) bad += !is_shortest(std::ldexp(1.0f, e));
    }
    for (const float f : {0.0f, -0.0f, 1.0f, 16777216.0f, 0x1.fffffep-127f, 9.5367431640625e-7f})
        bad += !is_shortest(f);
    CHECK(bad == 0);
}

TEST_CASE("fixed: known texts") {
    CHECK(fixed(0.28994999, 4) == "0.2899");
    CHECK(fixed(0.5, 0) == "0");
    CHECK(fixed(1.5, 0) == "2");
    CHECK(fixed(2.675, 2) == "2.67");
    CHECK(fixed(-1e-9, 4) == "-0.0000");
    CHECK(fixed(-1234567.0, 4, true) == "-1.2346e+06");
    CHECK(fixed(0.0, 2, true) == "0.00e+00");
    CHECK(fixed(1e-300, 1, true) == "1.0e-300");
    CHECK(fixed(std::numeric_limits<double>::infinity(), 4) == "inf");
    CHECK(fixed(-std::numeric_limits<double>::infinity(), 4, true) == "-inf");
    CHECK(fixed(-std::numeric_limits<double>::quiet_NaN(), 4) == "nan");
    CHECK(fixed(3.25, -1) == "3");
    std::string out = "x = ";
    attn::append_fixed(out, 2.0, 1, false);
    CHECK(out == "x = 2.0");
}

TEST_CASE("fixed: equal to the C library's correctly rounded text") {
    std::mt19937_64 random(7);
    int bad = 0;
    for (int k = 0; k < 20000; ++k) {
        const double d = std::bit_cast<double>(random());
        if (!std::isfinite(d)) continue;
        const int precision = k % 40;
        bad += fixed(d, precision) != printf_text("%.*f", precision, d);
        bad += fixed(d, precision, true) != printf_text("%.*e", precision, d);
    }
    for (const double d : {999999999999999.875, 1e15, std::numeric_limits<double>::max(), -1e22})
        bad += fixed(d, 60) != printf_text("%.*f", 60, d);
    CHECK(bad == 0);
}
