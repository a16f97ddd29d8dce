// Files of ggml and gguf-py, number by number; files made here that are wrong in one way; a small file cut at
// every byte and with every bit turned over.
#include "lib/input/gguf.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/render/sha256.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

using Json = nlohmann::json;

/// A file whose bytes stand in memory of their own size.
std::unique_ptr<TensorFile> opened(const std::string& bytes) {
    const auto own = std::make_shared<std::vector<std::byte>>(bytes.size());
    if (!bytes.empty()) std::memcpy(own->data(), bytes.data(), bytes.size());
    return read_tensor_file("x.gguf", own, *own);
}

/// What a file is refused with when it is opened or its tensors are taken, or "".
std::string refused(const std::string& bytes) {
    try {
        const auto file = opened(bytes);
        for (std::size_t k = 0; k < file->tensors().size(); ++k) file->take(k);
        return "";
    } catch (const Error& error) {
        CHECK(error.code == Exit::input);
        return error.message;
    }
}

double number_of(const Json& value) {
    if (value.is_number()) return value.get<double>();
    if (value == "NaN") return std::numeric_limits<double>::quiet_NaN();
    REQUIRE((value == "Infinity" || value == "-Infinity"));
    return value == "Infinity" ? INFINITY : -INFINITY;
}

bool same(double a, double b) {
    return std::isnan(b) ? std::isnan(a) : a == b && std::signbit(a) == std::signbit(b);
}

/// All numbers as float32, little endian.
std::string float32_bytes(const Numbers& numbers) {
    std::string out;
    for (Index k = 0; k < numbers.size(); ++k) {
        auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(numbers[k]));
        for (int byte = 0; byte < 4; ++byte, bits >>= 8U) out += static_cast<char>(bits & 255U);
    }
    return out;
}

void check_numbers(const Numbers& found, const Json& wanted) {
    if (wanted.contains("sha256")) {
        std::string hex;
        for (const std::uint8_t byte : sha256(float32_bytes(found)))
            for (const int digit : {byte / 16, byte % 16}) hex += "0123456789abcdef"[digit];
        CHECK(hex == wanted["sha256"].get<std::string>());
        return;
    }
    const Json& data = wanted["data"];
    REQUIRE(found.size() == static_cast<Index>(data.size()));
    for (Index k = 0; k < found.size(); ++k) {
        const double number = number_of(data[idx(k)]);
        INFO("number " << k << ": " << found[k] << ", expected " << number);
        CHECK(same(found[k], found.element() == Element::float32 ? static_cast<float>(number) : number));
    }
}

constexpr const char* cases = ATTN_TEST_DATA "/files/gguf/";

// --- files made here
// ------------------------------------------------------------------------------------------

template <class T>
std::string little(T value) {
    std::string out;
    auto bits = static_cast<std::uint64_t>(value);
    for (std::size_t k = 0; k < sizeof(T); ++k, bits >>= 8U) out += static_cast<char>(bits & 255U);
    return out;
}
std::string u32(std::uint32_t v) { return little(v); }
std::string u64(std::uint64_t v) { return little(v); }
std::string text(const std::string& s) { return u64(s.size()) + s; }

/// `dimensions` as the file has them, the last axis first.
std::string entry(const std::string& name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                  std::uint64_t offset) {
    std::string out = text(name) + u32(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t axis : dimensions) out += u64(axis);
    return out + u32(type) + u64(offset);
}

struct Made {
    std::vector<std::string> pairs, tensors;
    std::string data;
    std::size_t alignment = 32;

    std::string bytes() const {
        std::string out = "GGUF" + u32(3) + u64(tensors.size()) + u64(pairs.size());
        for (const std::string& p : pairs) out += p;
        for (const std::string& t : tensors) out += t;
        if (!data.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment);
        return out + data;
    }
};

std::string alignment_pair(std::uint32_t alignment) {
    return text("general.alignment") + u32(4) + u32(alignment);
}

std::string zeros(std::size_t n) { return std::string(n, '\0'); }

/// Two tensors, the second in blocks, and two pairs.
std::string small_file() {
    return Made{{alignment_pair(16), text("names") + u32(9) + u32(8) + u64(2) + text("a") + text("")},
                {entry("first", {3, 2}, 1, 0), entry("second", {32}, 2, 16)},
                zeros(16) + std::string(18, '\x34') + zeros(14),
                16}
        .bytes();
}

}  // namespace

TEST_CASE("gguf: what ggml and gguf-py wrote is read, every bit") {
    std::map<std::string, int> types;
    int files = 0, refusals = 0;
    for (const auto& found : std::filesystem::directory_iterator(cases)) {
        const std::string path = found.path().string();
        if (!path.ends_with(".gguf")) continue;
        INFO(path);
        ++files;
        const Json wanted = Json::parse(read_file(path + ".json"));
        if (wanted.contains("refuse") || wanted.contains("may_refuse")) {
            CHECK(!refused(read_file(path)).empty());
            ++refusals;
            continue;
        }
        const auto file = opened(read_file(path));
        CHECK(file->format() == "gguf");
        REQUIRE(file->tensors().size() == wanted["tensors"].size());
        for (std::size_t k = 0; k < file->tensors().size(); ++k) {
            const StoredTensor& t = file->tensors()[k];
            INFO(t.name);
            REQUIRE(wanted["tensors"].contains(t.name));
            const Json& one = wanted["tensors"][t.name];
            CHECK(t.shape == one["shape"].get<Shape>());
            const auto stored = one.value("stored", "F32");
            ++types[stored];
            if (!t.unread.empty()) {
                CHECK(t.unread == stored);
                CHECK_THROWS_WITH_AS(file->take(k), doctest::Contains(t.unread.c_str()), Error);
                continue;
            }
            const Numbers numbers = file->take(k);
            CHECK(name_of(t.element) == one["dtype"].get<std::string>());
            CHECK(numbers.element() == t.element);
            CHECK((t.packed.empty() || t.packed == stored));
            check_numbers(numbers, one);
        }
    }
    CHECK(files == 44);
    CHECK(refusals == 4);
    CHECK(types.size() == 8 + 18 + 7);  // plain, in blocks, and those with tables, which are only listed
}

TEST_CASE("gguf: keys and values") {
    const std::string bytes = read_file(std::string(cases) + "metadata.gguf");
    const std::span<const std::byte> file = std::as_bytes(std::span(bytes));
    const GgufHeader header = read_gguf_header(nullptr, file);
    std::map<std::string, const GgufPair*> pairs;
    for (const GgufPair& p : header.pairs) pairs[p.key] = &p;
    CHECK(header.pairs.size() == 28);
    const std::map<std::string, std::vector<double>> numbers{
        {"a.u8", {255}},
        {"a.i8", {-128}},
        {"a.u16", {65535}},
        {"a.i16", {-32768}},
        {"a.u32", {4294967295}},
        {"a.i32", {-2147483648}},
        {"a.f32", {static_cast<double>(1e-5F)}},
        {"a.u64", {0x1p64}},  // the nearest double of 2^64 - 1
        {"a.i64", {-0x1p63}},
        {"a.f64", {0.1}},
        {"a.bool", {1}},
        {"a.no", {0}},
        {"tokenizer.ggml.scores", {0, -1.5}},
        {"tokenizer.ggml.token_type", {1, 2, 3}},
        {"b.bool", {1, 0}},
        {"b.u64", {0x1p63}},
        {"b.none", {}}};
    for (const auto& [key, wanted] : numbers) {
        INFO(key);
        REQUIRE(pairs.contains(key));
        const GgufPair& pair = *pairs[key];
        CHECK(!pair.is_text);
        CHECK(pair.is_array == !key.starts_with("a."));
        std::vector<double> found;
        for (Index k = 0; k < pair.numbers.size(); ++k) found.push_back(pair.numbers[k]);
        CHECK(found == wanted);
    }
    const GgufPair& name = *pairs["general.architecture"];
    CHECK((name.is_text && !name.is_array));
    CHECK(name.texts == std::vector<std::string_view>{"llama"});
    CHECK(pairs["a.empty"]->texts == std::vector<std::string_view>{""});
    const std::vector<std::string_view> tokens{"<s>", "", "\xe2\x96\x81the", "\xe6\x97\xa5\xe6\x9c\xac"};
    CHECK(pairs["tokenizer.ggml.tokens"]->texts == tokens);
}

TEST_CASE("gguf: a file that is wrong in one way is refused by what is wrong") {
    struct Wrong {
        const char* words;
        Made made;
    };
    const std::string number = entry("x", {2}, 0, 0);
    const Wrong wrongs[] = {
        {"tensor \"x\" twice", {{}, {number, entry("x", {2}, 0, 32)}, zeros(64)}},
        {"key \"k\" twice", {{text("k") + u32(0) + "a", text("k") + u32(0) + "b"}, {}, ""}},
        {"neither 0 nor 1", {{text("k") + u32(7) + '\x02'}, {}, ""}},
        {"\"k\", a value of the type u64, but only 7", {{text("k") + u32(10) + zeros(7)}, {}, ""}},
        {"array of arrays", {{text("k") + u32(9) + u32(9) + u64(0)}, {}, ""}},
        {"type 13", {{text("k") + u32(9) + u32(13) + u64(0)}, {}, ""}},
        {"text below the key \"k\" of 9 bytes",
         {{text("k") + u32(9) + u32(8) + u64(1) + u64(9) + "8 bytes."}, {}, ""}},
        {"not of the type u32", {{text("general.alignment") + u32(10) + u64(32)}, {}, ""}},
        {"not of the type u32", {{text("general.alignment") + u32(9) + u32(4) + u64(0)}, {}, ""}},
        {"0 is no power of two", {{alignment_pair(0)}, {}, ""}},
        {"24 is no power of two", {{alignment_pair(24)}, {}, ""}},
        {"past the end", {{alignment_pair(1U << 31U)}, {number}, ""}},
        {"\"y\", whose offset 0 lies", {{}, {entry("x", {2}, 0, 0), entry("y", {3}, 0, 0)}, zeros(32)}},
        {"\"y\", before whose offset 64 is a hole", {{}, {number, entry("y", {2}, 0, 64)}, zeros(96)}},
        {"has 3 unused bytes", {{}, {number}, zeros(35)}},
        {"whose 8 bytes at the offset 0 go past", {{}, {number}, zeros(7)}},
        {"5 dimensions", {{}, {entry("x", {1, 1, 1, 1, 1}, 0, 0)}, zeros(32)}},
        {"size 9223372036854775808", {{}, {entry("x", {1ULL << 63U, 0}, 0, 0)}, zeros(32)}},
        {"too many numbers", {{}, {entry("x", {1ULL << 62U}, 1, 0)}, zeros(32)}},
        {"rows of 16 numbers are no multiple of the blocks of 32 of Q8_0",
         {{}, {entry("x", {16, 2}, 8, 0)}, zeros(64)}},
        {"rows of 1 number ", {{}, {entry("x", {}, 8, 0)}, zeros(64)}},
        {"Q4_0_4_8 (32), which was removed", {{}, {entry("x", {32}, 32, 0)}, zeros(32)}},
        {"type 43, which is not known", {{}, {entry("x", {32}, 43, 0)}, zeros(32)}},
        {"IQ2_XS, which is not read", {{}, {entry("x", {256}, 17, 0)}, zeros(74)}},
    };
    for (const Wrong& w : wrongs) {
        INFO(w.words);
        const std::string found = refused(w.made.bytes());
        INFO(found);
        CHECK(found.find(w.words) != std::string::npos);
    }
    for (const auto& [version, words] : std::map<std::uint32_t, const char*>{
             {0, "version 0"}, {1, "version 1"}, {4, "version 4"}, {0x03000000, "other byte order"}}) {
        std::string bytes = small_file();
        bytes.replace(4, 4, u32(version));
        CHECK(refused(bytes).find(words) != std::string::npos);
    }
}

TEST_CASE("gguf: what a writer may do") {
    const std::string number = entry("x", {2}, 0, 0);
    CHECK(refused(Made{}.bytes()).empty());
    CHECK(refused(Made{{}, {}, zeros(32)}.bytes()) ==
          "has 32 unused bytes at its end, behind the last tensor");
    CHECK(refused(Made{{}, {number}, zeros(8)}.bytes()).empty());
    CHECK(refused(Made{{}, {number}, zeros(32)}.bytes()).empty());
    // Out of order, an axis of length 0 among them.
    CHECK(refused(Made{{}, {entry("y", {2}, 0, 32), number, entry("z", {0, 2}, 0, 32)}, zeros(64)}.bytes())
              .empty());
    CHECK(refused(Made{{}, {entry("z", {0, 5}, 8, 0)}, ""}.bytes()).empty());
    // Numbers at an odd place are read as well.
    const auto file =
        opened(Made{{alignment_pair(1)},
                    {entry("a", {1}, 24, 0), entry("b", {2}, 28, 1)},
                    '\xff' + u64(std::bit_cast<std::uint64_t>(0.1)) + u64(std::bit_cast<std::uint64_t>(-7.5)),
                    1}
                   .bytes());
    CHECK(file->take(0)[0] == -1);
    CHECK(file->take(1)[0] == 0.1);
    CHECK(file->take(1)[1] == -7.5);
    CHECK(opened(small_file())->besides() == std::vector<std::string>{"2 pairs of metadata"});
}

TEST_CASE("gguf: a file that is cut anywhere is refused, but for the bytes that fill up its end") {
    const std::string whole = small_file();
    REQUIRE(refused(whole).empty());
    const std::size_t end = whole.size() - 14;
    for (std::size_t n = 0; n < whole.size(); ++n) {
        INFO("cut at " << n << " of " << whole.size());
        CHECK(refused(whole.substr(0, n)).empty() == (n >= end));
    }
    CHECK(!refused(whole + '\0').empty());
}

TEST_CASE("gguf: a bit that is turned over is refused, or another number, name or value") {
    const std::string whole = small_file();
    int refusals = 0;
    for (std::size_t k = 0; k < whole.size() * 8; ++k) {
        std::string other = whole;
        other[k / 8] = static_cast<char>(other[k / 8] ^ (1 << (k % 8)));
        INFO("bit " << k);
        const std::string said = refused(other);
        refusals += said.empty() ? 0 : 1;
        if (k < 24UL * 8 && k != 32) CHECK(!said.empty());  // but for version 3 as 2
        if (k >= (whole.size() - 48) * 8) CHECK(said.empty());
    }
    CHECK(refusals > 800);
}

}  // namespace attn::test
