// Text to numbers: every syntax against strtof and strtod, blocks against the numbers one by one, precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/number_text.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

float by_library(const std::string& text, float) { return std::strtof(text.c_str(), nullptr); }
double by_library(const std::string& text, double) { return std::strtod(text.c_str(), nullptr); }

std::uint32_t bits(float v) { return std::bit_cast<std::uint32_t>(v); }
std::uint64_t bits(double v) { return std::bit_cast<std::uint64_t>(v); }

/// Read to its end, and to the last bit what the C library reads; followed by something that goes on, and by
/// the end of the text.
template <class T>
bool same(const std::string& text) {
    for (const char* tail : {"", ", 12345678"}) {
        const std::string whole = text + tail;
        NumberText<T> number;
        const char* const end = number.read(whole.data(), whole.data() + whole.size());
        if (end != whole.data() + text.size()) return false;
        if (bits(number.value) != bits(by_library(text, T{}))) return false;
        if (number.is_integer != (text.find_first_of(".eE") == std::string::npos)) return false;
    }
    return true;
}

void check(const std::string& text) {
    if (!same<float>(text)) FAIL_CHECK("float32 of " << text);
    if (!same<double>(text)) FAIL_CHECK("float64 of " << text);
}

class Texts {
  public:
    std::mt19937_64 random{20240607};

    std::uint64_t below(std::uint64_t n) { return random() % n; }
    std::string digits(std::size_t n) {
        std::string s;
        for (std::size_t k = 0; k < n; ++k) s += static_cast<char>('0' + below(10));
        return s;
    }
    /// Any form of RFC 8259 section 6.
    std::string number(std::size_t most_digits, int most_exponent) {
        std::string s = below(2) ? "-" : "";
        if (below(3)) {
            s += "0";
        } else {
            s += static_cast<char>('1' + below(9));
            s += digits(below(most_digits));
        }
        if (below(4)) s += "." + digits(1 + below(most_digits));
        if (below(3) == 0) {
            s += below(2) ? "e" : "E";
            s += below(3) == 0 ? "+" : below(2) ? "-" : "";
            s += std::to_string(below(static_cast<std::uint64_t>(most_exponent) + 1));
        }
        return s;
    }
};

template <class... Arguments>
std::string print(const char* format, Arguments... arguments) {
    std::string s(2000, '\0');
    s.resize(static_cast<std::size_t>(std::snprintf(s.data(), s.size(), format, arguments...)));
    return s;
}

/// The release build goes over all of them, sanitizers over a tenth.
constexpr int share = ATTN_SANITIZED ? 10 : 1;

}  // namespace

TEST_CASE("read numbers: a million of every form, short and long") {
    Texts texts;
    for (int k = 0; k < 500000 / share; ++k) check(texts.number(10, 12));
    for (int k = 0; k < 300000 / share; ++k) check(texts.number(22, 50));
    for (int k = 0; k < 100000 / share; ++k) check(texts.number(40, 400));
    for (int k = 0; k < 1000 / share; ++k) check(texts.number(800, 900));
}

TEST_CASE("read numbers: what programs print of any float32 and float64, subnormal ones too") {
    Texts texts;
    for (int k = 0; k < 200000 / share; ++k) {
        const float f = std::bit_cast<float>(static_cast<std::uint32_t>(texts.random()));
        const double d = std::bit_cast<double>(texts.random());
        const double unit = std::ldexp(static_cast<double>(texts.random()), -64);
        if (std::isfinite(f)) {
            check(print("%.9g", static_cast<double>(f)));
            check(print("%.8e", static_cast<double>(f)));
        }
        if (std::isfinite(d)) check(print("%.17g", d));
        for (const char* format : {"%.17g", "%.16g", "%.18f", "%.10f", "%.19e"}) check(print(format, unit));
    }
}

TEST_CASE("read numbers: the middle of two floats, and just beside it") {
    Texts texts;
    for (int k = 0; k < 100000 / share; ++k) {
        // Exact middles: of two float32 (a double), of two float64 (by hand, from a 54-bit integer).
        const auto f = std::bit_cast<float>(static_cast<std::uint32_t>(texts.random()));
        const float next = std::nextafter(f, INFINITY);
        if (!std::isfinite(f) || !std::isfinite(next)) continue;
        const double middle = (static_cast<double>(f) + static_cast<double>(next)) / 2;
        const std::string exact = print("%.200g", middle);
        check(exact);
        check(print("%.17g", middle));
        check(print("%.17g", std::nextafter(middle, INFINITY)));
        check(print("%.17g", std::nextafter(middle, -INFINITY)));
        if (exact.find('e') == std::string::npos && exact.find('.') != std::string::npos) {
            check(exact + "0000000000000000000000000000001");
            check(exact.substr(0, exact.size() - 1) + "4999999999999999999999999999");
        }
        // 54 bits, the last one set, and some with exponents: halves of the last place of a double.
        const std::uint64_t odd = (std::uint64_t{1} << 53U) + 2 * texts.below(std::uint64_t{1} << 52U) + 1;
        check(std::to_string(odd));
        check(std::to_string(odd) + "e" + std::to_string(texts.below(22)));
        check(std::to_string(odd).insert(1 + texts.below(15), "."));
        // 25 bits with zeros behind them, and as fractions: halves of the last place of a float.
        const std::uint64_t half = ((std::uint64_t{1} << 24U) + 2 * texts.below(1U << 23U) + 1)
                                   << texts.below(30);
        check(std::to_string(half));
        check(std::to_string(half) + ".0");
        check(print("%.60g", std::ldexp(static_cast<double>(half), -40)));
    }
}

TEST_CASE("read numbers: bounds of the types") {
    for (const char* text : {"0",
                             "-0",
                             "0.0",
                             "-0.0",
                             "0e5",
                             "-0E-400",
                             "1e-400",
                             "-1e-400",
                             "1e22",
                             "1e23",
                             "1e-22",
                             "1e-23",
                             "3.4028234663852886e38",
                             "3.40282356779733661637e38",
                             "3.4028235677973366163753939545814e38",
                             "3.4028235677973366163753939545815e38",
                             "1e39",
                             "1.7976931348623157e308",
                             "1.7976931348623159e308",
                             "2.2250738585072014e-308",
                             "2.2250738585072011e-308",
                             "4.9406564584124654e-324",
                             "2.47e-324",
                             "2.4703282292062327e-324",
                             "2.4703282292062328e-324",
                             "1.17549435e-38",
                             "1.4e-45",
                             "7.006492e-46",
                             "7.0064923216240853e-46",
                             "7.0064923216240854e-46",
                             "18446744073709551615",
                             "18446744073709551616",
                             "9007199254740993",
                             "9007199254740992.5",
                             "1000000000000000000000000000000000000000",
                             "1e400",
                             "0.000000000000000000000000000000000000000000000000000000000000001",
                             "1e0000000000000000000000001"})
        check(text);
    check("0." + std::string(400, '0') + "1e400");
    check("1" + std::string(400, '0') + "e-400");
}

TEST_CASE("read numbers: what is no number names its byte") {
    const auto fault_of = [](const std::string& text) -> std::ptrdiff_t {
        NumberText<float> number;
        if (number.read(text.data(), text.data() + text.size())) return -1;
        return number.fault - text.data();
    };
    CHECK(fault_of("") == 0);
    CHECK(fault_of("-") == 1);
    CHECK(fault_of("+1") == 0);
    CHECK(fault_of(".5") == 0);
    CHECK(fault_of("1.") == 2);
    CHECK(fault_of("1.e5") == 2);
    CHECK(fault_of("1e") == 2);
    CHECK(fault_of("1e+") == 3);
    CHECK(fault_of("Infinity") == 0);
    CHECK(fault_of("007") >= 0);
    CHECK(fault_of("-01") >= 0);
    CHECK(fault_of("0x1F") == -1);  // the number 0, and an x that the array refuses
}

TEST_CASE("read numbers: a block is the numbers one by one, for either precision and every shape") {
    Texts texts;
    for (const Shape& shape : {Shape{1}, {7}, {1, 1}, {3, 5}, {2, 3, 4}, {4, 1, 2, 3}, {1, 1, 1, 1, 2}}) {
        std::string text;
        std::vector<std::string> numbers;
        const auto write = [&](auto&& self, std::size_t level) -> void {
            if (level == shape.size()) {
                numbers.push_back(texts.number(19, 30));
                text += numbers.back();
                return;
            }
            text += "[";
            for (Index k = 0; k < shape[level]; ++k) {
                if (k > 0) text += texts.below(2) ? "," : " ,\n\t\r ";
                self(self, level + 1);
            }
            text += texts.below(2) ? "]" : " ]";
        };
        write(write, 0);
        const std::string document = "{\"_x\": " + text + "}";
        for (const DType dtype : {DType::float32, DType::float64}) {
            const auto read = parse_documents({"x.json", document}, {dtype, false});
            const Value& v = *read[0].root.find("_x");
            INFO(document);
            REQUIRE(v.kind == Value::Kind::row);
            CHECK(v.row.shape == shape);
            CHECK(v.row.numbers.element() == (dtype == DType::float32 ? Element::float32 : Element::float64));
            const Numbers exact = v.row.as_float64();
            for (std::size_t k = 0; k < numbers.size(); ++k) {
                const double d = std::strtod(numbers[k].c_str(), nullptr);
                const double f = static_cast<double>(std::strtof(numbers[k].c_str(), nullptr));
                CHECK(v.row.numbers[static_cast<Index>(k)] == (dtype == DType::float32 ? f : d));
                CHECK(exact[static_cast<Index>(k)] == d);
            }
        }
    }
}

namespace {

/// Everything that was read, as text.
std::string told(const Value& v) {
    std::string out = v.describe() + " " + v.text + " ";
    if (v.kind == Value::Kind::row) {
        out += to_string(v.row.shape) + std::to_string(static_cast<int>(v.row.numbers.element()));
        for (const std::size_t first : v.row.first) out += " " + std::to_string(first);
        out += " " + std::to_string(v.row.first_other) + ":";
        for (Index k = 0; k < v.row.numbers.size(); ++k) {
            const double d = v.row.numbers[k];
            out.append(reinterpret_cast<const char*>(&d), sizeof d);
        }
    }
    for (const Value& item : v.items) out += "[" + told(item) + "]";
    for (const Member& member : v.members) out += member.name + "{" + told(member.value) + "}";
    return out;
}

/// What a text is read as, or the fault that it is refused with.
std::string read_by(int threads, const std::string& text, DType dtype) {
    try {
        return told(parse_documents({"x.json", text}, {dtype, false, threads})[0].root);
    } catch (const Error& e) {
        return e.pointer + " " + e.message + " " + e.hint + " " + std::to_string(e.place.line) + ":" +
               std::to_string(e.place.column) + " " + e.place.excerpt;
    }
}

}  // namespace

TEST_CASE("read numbers: the same for any number of threads, and the same faults") {
    constexpr std::size_t matrices = 5, rows = 700, columns = 25;
    Texts texts;
    std::vector<std::string> numbers;
    std::vector<std::size_t> places;  // of the numbers in the text
    std::string text = "{\"_x\": ";
    for (std::size_t k = 0; k < matrices * rows * columns; ++k) {
        const std::size_t row = k / columns;
        if (k % columns == 0) {
            text += row == 0 ? "[[[" : row % rows == 0 ? "]],\n [[" : texts.below(2) ? "],\n[" : " ] , [ ";
        } else {
            text += texts.below(2) ? ", " : ",";
        }
        places.push_back(text.size());
        numbers.push_back(k == 60000 ? "true" : k == 60100 ? "\"-Infinity\"" : texts.number(17, 15));
        text += numbers.back();
    }
    text += "]]], \"_y\": [[1, 2], [3, 4]]}";
    REQUIRE(text.size() > 1 << 20);
    for (const DType dtype : {DType::float32, DType::float64}) {
        const auto read = parse_documents({"x.json", text}, {dtype, false, 3});
        const Scalars& block = read[0].root.find("_x")->row;
        CHECK(block.shape == Shape{matrices, rows, columns});
        CHECK(block.first[idx(Scalar::boolean)] == 60000);
        CHECK(block.first[idx(Scalar::nonfinite)] == 60100);
        for (std::size_t k = 0; k < numbers.size(); ++k) {
            if (k == 60000 || k == 60100) continue;
            const double d = std::strtod(numbers[k].c_str(), nullptr);
            const auto f = static_cast<double>(std::strtof(numbers[k].c_str(), nullptr));
            if (block.numbers[static_cast<Index>(k)] != (dtype == DType::float32 ? f : d))
                FAIL_CHECK(numbers[k]);
        }
        const auto agree = [&](const std::string& changed) {
            const std::string alone = read_by(1, changed, dtype);
            CHECK(read_by(2, changed, dtype) == alone);
            CHECK(read_by(5, changed, dtype) == alone);
            return alone;
        };
        agree(text);
        for (const std::size_t k :
             {std::size_t{0}, std::size_t{24}, std::size_t{25}, std::size_t{17500}, numbers.size() - 1})
            for (const char* other :
                 {"1e39", "null", "[1]", "1, 2", "", "1 2", "{}", "\"]\"", "x", "[", "]", "01"}) {
                std::string changed = text;
                changed.replace(places[k], numbers[k].size(), other);
                CAPTURE(k);
                CAPTURE(other);
                const std::string said = agree(changed);
                // The line of a fault is counted here as well.
                if (const std::string_view o = other; o == "x" || o == "1 2" || o == "01") {
                    const auto line =
                        1 +
                        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(places[k]), '\n');
                    CHECK(said.find(" " + std::to_string(line) + ":") != std::string::npos);
                }
            }
        for (const std::size_t size : {places[20], places[40000] + 1, text.size() - 1})
            agree(text.substr(0, size));
    }
}

TEST_CASE("read numbers: irregular arrays are read all the same") {
    const auto root = [](const std::string& text) {
        return parse_documents({"x.json", "{\"_x\":" + text + "}"})[0].root.members[0].value;
    };
    const Value ragged = root("[[1,2],[3]]");
    REQUIRE(ragged.kind == Value::Kind::array);
    REQUIRE(ragged.items.size() == 2);
    CHECK(ragged.items[0].row.shape == Shape{2});
    CHECK(ragged.items[1].row.numbers[0] == 3);
    const Value late = root("[[1,2],[3,4],{\"a\":[[5,6],[7,8]]}]");
    REQUIRE(late.items.size() == 3);
    CHECK(late.items[2].find("a")->row.shape == Shape{2, 2});
    CHECK(late.items[2].find("a")->row.numbers[3] == 8);
    CHECK(root("[[],[]]").items.at(1).row.shape == Shape{0});
    CHECK(root("[[[1],[2]],[[3]]]").kind == Value::Kind::array);
    CHECK(root("[1,[2]]").items.at(0).integer == 1);
    CHECK(root("[1e39]").row.numbers.element() == Element::float64);
    // 64 levels, the object among them.
    std::string deep(63, '[');
    deep.push_back('1');
    deep.append(63, ']');
    CHECK(root(deep).row.shape == Shape(63, 1));
}

TEST_CASE("read numbers: float64 is exact wherever it is asked for") {
    const std::string number = "0.1000000000000000055511151231257827";
    const std::string tensor = "\"embeddings\": [[" + number + ", 1], [2, 3]]";
    Request in_double;
    in_double.dtype = DType::float64;
    const auto first = [](const Recorder& r) { return r.stages().find("queries")->second.values[0]; };
    CHECK(first(record("{\"dtype\": \"float64\", " + tensor + "}")) == 0.1);
    CHECK(first(record("{" + tensor + ", \"dtype\": \"float64\"}")) == 0.1);
    CHECK(first(record("{" + tensor + "}", in_double)) == 0.1);
    CHECK(first(record("{" + tensor + "}")) == static_cast<double>(0.1F));
    Request in_single;
    in_single.dtype = DType::float32;
    CHECK(first(record("{\"dtype\": \"float64\", " + tensor + "}", in_single)) == static_cast<double>(0.1F));
    // Lists that are no tensors keep integers above 2^24.
    CHECK(refusal(R"({"embeddings": [[1]], "key_lengths": [16777217]})").message.find("16777217") !=
          std::string::npos);
}

}  // namespace attn::test
