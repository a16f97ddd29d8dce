#include "lib/text.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/render/escape.hpp"
#include "lib/render/terminal.hpp"

using attn::clip;
using attn::csv_cell;
using attn::display_width;
using attn::harmless;
using attn::json_string;
using attn::visible;

namespace {

/// Every byte string is either taken as it stands or replaced by "\x.."; nothing raw is left.
bool is_clean(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const attn::CodePoint point = attn::decode_utf8(text, at);
        const char32_t c = point.value;
        const bool mark = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E ||
                          c == 0x200F || c == 0x61C || c == 0x2028 || c == 0x2029;
        if (!point.valid || c < 0x20 || (c >= 0x7F && c < 0xA0) || mark) return false;
        at += point.size;
    }
    return true;
}

}  // namespace

TEST_CASE("utf-8: pieces that are no text") {
    const auto decoded = [](std::string_view bytes) {
        const attn::CodePoint point = attn::decode_utf8(bytes, 0);
        return std::pair(point.valid, point.size);
    };
    CHECK(decoded("\xF0\x9F\x98\x80") == std::pair(true, std::size_t{4}));
    CHECK(decoded("\xC0\x80") == std::pair(false, std::size_t{1}));
    CHECK(decoded("\xE0\x80\x80") == std::pair(false, std::size_t{1}));
    CHECK(decoded("\xED\xA0\x80") == std::pair(false, std::size_t{1}));
    CHECK(decoded("\xF4\x90\x80\x80") == std::pair(false, std::size_t{1}));
    CHECK(decoded("\xE2\x82") == std::pair(false, std::size_t{2}));
    CHECK(decoded("\xF0\x9F\x98z") == std::pair(false, std::size_t{3}));
    CHECK(attn::decode_utf8("\xF4\x8F\xBF\xBF", 0).value == 0x10FFFF);
    for (const char32_t c : {U'a', U'é', U'€', U'\U0001F600', U'\U0010FFFF'}) {
        std::string bytes;
        attn::append_utf8(bytes, c);
        const attn::CodePoint point = attn::decode_utf8(bytes, 0);
        CHECK(point.valid);
        CHECK(point.value == c);
        CHECK(point.size == bytes.size());
    }
}

TEST_CASE("width: columns of a terminal") {
    CHECK(display_width("") == 0);
    CHECK(display_width("journey") == 7);
    CHECK(display_width("é") == 1);
    CHECK(display_width("e\u0301") == 1);
    CHECK(display_width("注意力") == 6);
    CHECK(display_width("ﾊﾝｶｸ") == 4);
    CHECK(display_width("Ａ") == 2);
    CHECK(display_width("한국") == 4);
    CHECK(display_width("\u1112\u1161\u11AB") == 2);
    CHECK(display_width("🤖") == 2);
    CHECK(display_width("\U0001FAE8") == 2);  // new in Unicode 15
    CHECK(display_width("👩\u200D💻") == 2);
    CHECK(display_width("👍🏽") == 2);
    CHECK(display_width("🇩🇪🇫🇷") == 4);
    CHECK(display_width("❤\uFE0F") == 2);
    CHECK(display_width("1\uFE0F\u20E3") == 2);
    CHECK(display_width("a\u200Bb") == 2);
    CHECK(display_width("кот → ∑√·ᵀ…␣") == 12);
    CHECK(display_width("שָׁלוֹם") == 4);
    CHECK(display_width("\xFF") == 1);
    CHECK(attn::code_point_width(0x3FFFD) == 2);
    CHECK(attn::code_point_width(0xE0100) == 0);
    CHECK(attn::code_point_width(0x4DC0) == 1);
}

TEST_CASE("clip: whole characters and an ellipsis") {
    CHECK(clip("journey", 7) == "journey");
    CHECK(clip("journey", 6) == "journ…");
    CHECK(clip("journey", 1) == "…");
    CHECK(clip("journey", 0) == "");
    CHECK(clip("注意力", 6) == "注意力");
    CHECK(clip("注意力", 5) == "注意…");
    CHECK(clip("注意力", 4) == "注…");
    CHECK(clip("e\u0301e\u0301e\u0301", 3) == "e\u0301e\u0301e\u0301");
    CHECK(clip("e\u0301e\u0301e\u0301", 2) == "e\u0301…");
    CHECK(clip("👩\u200D💻👩\u200D💻", 3) == "👩\u200D💻…");
    std::string pile = "abc";
    for (int k = 0; k < 100000; ++k) pile += "\u0301";
    CHECK(clip(pile, 20) == "ab…");
    CHECK(clip(std::string(1000000, 'x'), 4) == "xxx…");
}

TEST_CASE("harmless and visible: nothing acts on a terminal") {
    CHECK(harmless("\x1b[31mred\x1b[0m") == "\\x1b[31mred\\x1b[0m");
    CHECK(harmless("real\rfake\n\t\a\x7f") == "real\\rfake\\n\\t\\x07\\x7f");
    CHECK(harmless(std::string_view("a\0b", 3)) == "a\\x00b");
    CHECK(harmless("a\u0085b") == "a\\u0085b");
    CHECK(harmless("\u202E.cod.exe") == "\\u202e.cod.exe");
    CHECK(harmless("a\u2028b\u2029c\u200E\u061C") == "a\\u2028b\\u2029c\\u200e\\u061c");
    CHECK(harmless("a\u200B\uFEFFb\U000E0041") == "a\\u200b\\ufeffb\\U000e0041");
    CHECK(harmless("👩\u200D💻") == "👩\u200D💻");
    CHECK(harmless("a\xFF\xE2\x82z") == "a\\xff\\xe2\\x82z");
    CHECK(harmless(R"(\u0041\n)") == R"(\u0041\n)");
    CHECK(harmless("  x ") == "  x ");
    CHECK(visible(" journey") == "␣journey");
    CHECK(visible("a b  ") == "a b␣␣");
    CHECK(visible("   ") == "␣␣␣");
    CHECK(visible("") == "");
    CHECK(visible("x") == "x");
    CHECK(visible(" \x1b ") == "␣\\x1b␣");
    std::mt19937 random(5);
    for (int k = 0; k < 2000; ++k) {
        std::string bytes(24, ' ');
        for (char& byte : bytes) byte = static_cast<char>(random() & 255U);
        REQUIRE(is_clean(harmless(bytes)));
        REQUIRE(is_clean(visible(bytes)));
        REQUIRE(is_clean(csv_cell(bytes)));
        REQUIRE(is_clean(json_string(bytes)));
        REQUIRE(nlohmann::json::accept(json_string(bytes)));
        REQUIRE(display_width(clip(visible(bytes), 9)) <= 9);
    }
}

TEST_CASE("json: strings that read back") {
    CHECK(json_string("") == "\"\"");
    CHECK(json_string("a\"b\\c/\n\b") == R"("a\"b\\c/\n\u0008")");
    CHECK(json_string("\x7f\u0085\u202E\u2028\u061C") == R"("\u007f\u0085\u202e\u2028\u061c")");
    CHECK(json_string("注 🤖 \u200B") == "\"注 🤖 \u200B\"");
    CHECK(json_string("a\xE2\x82z\xFF") == "\"a\uFFFDz\uFFFD\"");
    for (const std::string text :
         {"\x1b]0;pwned\a", "\u202E\u2066", "}\n{\"stage\":\"softmax\"", "\\\"\\u0041"}) {
        CHECK(nlohmann::json::parse(json_string(text)).get<std::string>() == text);
    }
}

TEST_CASE("csv: cells that no spreadsheet takes for a formula") {
    CHECK(csv_cell("") == "");
    CHECK(csv_cell("token") == "token");
    CHECK(csv_cell("a,b") == "\"a,b\"");
    CHECK(csv_cell("a;b") == "\"a;b\"");
    CHECK(csv_cell("\"\"\"") == "\"\"\"\"\"\"\"\"");
    CHECK(csv_cell("a\nb") == "a\\nb");
    CHECK(csv_cell(" leading") == "\" leading\"");
    CHECK(csv_cell("=SUM(1)") == "'=SUM(1)");
    CHECK(csv_cell("@SUM(1+1)*cmd|' /C calc'!A0") == "'@SUM(1+1)*cmd|' /C calc'!A0");
    CHECK(csv_cell("\r=1+1") == "'\\r=1+1");
    CHECK(csv_cell("\tx") == "'\\tx");
    CHECK(csv_cell("＝SUM(1)") == "'＝SUM(1)");
    CHECK(csv_cell("  =1") == "'  =1");
    CHECK(csv_cell("-1,2") == "\"'-1,2\"");
    CHECK(csv_cell("--help") == "'--help");
    CHECK(csv_cell("1-2") == "1-2");
}

TEST_CASE("padding: by columns") {
    CHECK(attn::pad_left("注", 4) == "  注");
    CHECK(attn::pad_right("注", 4) == "注  ");
    CHECK(attn::pad_left("long", 2) == "long");
    CHECK(attn::pad_right("e\u0301", 2) == "e\u0301 ");
}

TEST_CASE("escapes: one table of marks, three ways to write them") {
    CHECK(attn::in_ascii("√2 · ᵀ ≤ … ü 😀") == "sqrt 2 . ^T <= ... \\u00fc \\U0001f600");
    CHECK(attn::latex_words("√2 · φ_1") == "$\\surd$2 $\\cdot$ $\\varphi$\\_1");
    CHECK(attn::latex_text("√ {a} …") == "√ \\{a\\} \\dots{}");
    CHECK(attn::text_of_mathematics("√_a\"é日", false) == "$\\surd$$\\_$a''éU+65E5");
    CHECK(attn::text_of_mathematics("é", true) == "U+00E9");
    CHECK(attn::json_in_ascii("{\"é\": \"😀a\"}") == "{\"\\u00e9\": \"\\ud83d\\ude00a\"}");
    CHECK(csv_cell("ü,", true) == "\"\\u00fc,\"");
    CHECK(attn::markdown_text("a|b <c> :d: e: f") == "a\\|b &lt;c&gt; \\:d: e: f");
}

TEST_CASE("words in lines: no line is wider, nothing is lost") {
    using Lines = std::vector<std::string>;
    CHECK(attn::lines_of_words("one two three", 7, 7) == Lines{"one two", "three"});
    CHECK(attn::lines_of_words("one two three", 7, 3) == Lines{"one", "two", "three"});
    CHECK(attn::lines_of_words("seven one", 7, 3) == Lines{"", "seven", "one"});
    CHECK(attn::lines_of_words("  a bb", 4, 4) == Lines{"  a", "bb"});
    CHECK(attn::lines_of_words("longer than that", 3, 3) == Lines{"longer", "than", "that"});
    CHECK(attn::lines_of_words("√√√ √√√", 7, 7) == Lines{"√√√ √√√"});  // columns, not bytes
    CHECK(attn::lines_of_words("", 5, 5) == Lines{""});
}
