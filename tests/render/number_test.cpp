#include "lib/render/numbers/number.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

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
    CHECK(number(-infinity, NonFinite::csv) == "-inf");
    CHECK(number(infinity, NonFinite::csv) == "inf");
    CHECK(number(nan, NonFinite::csv) == "NaN");
    CHECK(number(nan, NonFinite::empty).empty());
}

TEST_CASE("number: shortest text that reads back, over random bit patterns") {
    std::mt19937_64 random(20240817);
    int bad = 0;
    for (int k = 0; k < 50000; ++k) {
        const float f = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
        const double d = std::bit_cast<double>(random());
        bad += std::isfinite(f) && !is_shortest(f);
        bad += std::isfinite(d) && (!is_shortest(d) || number(d).size() > 25);
    }
    for (int e = -1074; e < 1024; ++e) {
        bad += !is_shortest(std::ldexp(1.0, e)) + !is_shortest(-std::ldexp(1.0, e));
        if (e >= -149 && e < 128) bad += !is_shortest(std::ldexp(1.0f, e));
    }
    for (const float f : {0.0f, -0.0f, 1.0f, 16777216.0f, 0x1.fffffep-127f, 9.5367431640625e-7f})
        bad += !is_shortest(f);
    CHECK(bad == 0);
}

/// std::to_chars, which is shortest and nearest; large integers with zeros for the digits that tell nothing.
std::string by_the_library(float v) {
    char plain[64];
    char* end = std::to_chars(plain, plain + sizeof plain, v).ptr;
    if (std::abs(v) < 16777216 || std::find(plain, end, 'e') != end) return {plain, end};
    char text[32];
    char* e =
        std::find(text, std::to_chars(text, text + sizeof text, v, std::chars_format::scientific).ptr, 'e');
    std::string digits(text, e);
    if (digits.find('.') != std::string::npos) digits.erase(digits.find('.'), 1);
    digits.append(static_cast<std::size_t>(end - plain) - digits.size(), '0');
    return digits;
}

/// How many of the floats of bits first, first + step, ... below `last` are not written as the library does.
std::uint64_t unlike_the_library(std::uint64_t first, std::uint64_t last, std::uint64_t step) {
    std::uint64_t bad = 0;
    std::string text;
    for (std::uint64_t bits = first; bits < last; bits += step) {
        const auto v = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
        if (!std::isfinite(v) || v == 0) continue;
        text.clear();
        attn::append_number(text, v, NonFinite::bare);
        bad += text != by_the_library(v) || text.size() > 16;
    }
    return bad;
}

/// A prime step visits every exponent and every ending; ATTN_ALL_FLOATS=1 takes them all.
TEST_CASE("number: floats as the C++ library writes them") {
    const char* all = std::getenv("ATTN_ALL_FLOATS");  // NOLINT(concurrency-mt-unsafe)
    const std::uint64_t step = all ? 1 : ATTN_SANITIZED ? 4001 : 83;
    constexpr std::uint64_t end = std::uint64_t{1} << 32, parts = 64;
    std::atomic<std::uint64_t> next{0}, bad{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < std::max(1U, std::thread::hardware_concurrency()); ++t)
        threads.emplace_back([&] {
            for (std::uint64_t k = next++; k < parts; k = next++) {
                const std::uint64_t from = k * (end / parts);
                bad += unlike_the_library((from + step - 1) / step * step, from + end / parts, step);
            }
        });
    for (std::thread& t : threads) t.join();
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
    const std::vector<double> several{0.28994999, -0.0625, 1e9, INFINITY, 3};
    std::vector<std::size_t> ends{0};
    out.clear();
    attn::append_fixed(out, several, 3, false, ends);
    CHECK(out == "0.290-0.0621000000000.000inf3.000");
    CHECK(ends == std::vector<std::size_t>{0, 5, 11, 25, 28, 33});
    out.clear();
    attn::append_fixed(out, several, 1, true, ends);
    CHECK(out == "2.9e-01-6.2e-021.0e+09inf3.0e+00");
    CHECK(ends.size() == 11);
    CHECK(ends.back() == out.size());
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
    // Those of tables, and those that end in a half or beside one.
    std::uniform_real_distribution<double> uniform(-3, 3);
    for (int k = 0; k < 200000; ++k) {
        const int precision = k % 11;
        double d = std::pow(10, uniform(random) * 2) * uniform(random);
        if (k % 3 == 0) d = (std::floor(d * 1000) + 0.5) / std::pow(10, precision);
        if (k % 3 == 1) d = static_cast<double>(static_cast<float>(d));
        if (k % 2 == 0) d = std::nextafter(d, k % 4 == 0 ? INFINITY : 0.0);
        bad += fixed(d, precision) != printf_text("%.*f", precision, d);
    }
    for (const double d : {0.125, 0.375, -0.5, 2.5, 0.0, -0.0, 999999.99995, 4294967.295, 4294967.2955})
        for (int precision = 0; precision < 12; ++precision)
            bad += fixed(d, precision) != printf_text("%.*f", precision, d);
    for (const double d : {999999999999999.875, 1e15, std::numeric_limits<double>::max(), -1e22})
        bad += fixed(d, 60) != printf_text("%.*f", 60, d);
    CHECK(bad == 0);
}
