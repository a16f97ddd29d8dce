// Texts that programs print: brackets, tables, words for numbers.
#include "lib/theirs/printed.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "lib/error.hpp"
#include "lib/input/words.hpp"
#include "lib/theirs/dump.hpp"

using namespace attn;

namespace {

std::vector<GivenArray> arrays_of(const std::string& text) {
    return read_dumps(read_text(Source("t.txt", text)), std::nullopt).at(0).arrays;
}

std::string refusal(const std::string& text) {
    try {
        arrays_of(text);
    } catch (const Error& error) {
        return std::to_string(error.place.line) + " " + error.message;
    }
    return "taken";
}

}  // namespace

TEST_CASE("brackets as PyTorch and numpy print them") {
    const auto torch = arrays_of(
        "tensor([[ 0.2500, -1.5000],\n        [   -inf,     nan]], grad_fn=<X>, dtype=torch.float64)");
    REQUIRE(torch.size() == 1);
    CHECK(torch[0].name.empty());
    CHECK(torch[0].shape == Shape{2, 2});
    CHECK(torch[0].values[1] == -1.5);
    CHECK(std::isinf(torch[0].values[2]));
    CHECK(std::isnan(torch[0].values[3]));
    CHECK(torch[0].type == Element::float64);
    CHECK(torch[0].digits == 4);  // 0.2500 is padded: a print
    const auto numpy = arrays_of("[[0.5 1. ]\n [2.  3. ]]\n");
    CHECK(numpy.at(0).values == std::vector<double>{0.5, 1, 2, 3});
    const auto named =
        arrays_of("weights = \ntensor([[1., 0.]])\nout: array([1., 2.], dtype=float32)\n>>> x\n[3.]");
    REQUIRE(named.size() == 3);
    CHECK(named[0].name == "weights");
    CHECK(named[1].name == "out");
    CHECK(named[1].type == Element::float32);
    CHECK(named[2].name == "x");
    CHECK(arrays_of("{'weights': tensor([[1.]]), \"output\": tensor([2.])}").at(1).name == "output");
    CHECK(arrays_of("tensor([[True, False]])").at(0).values == std::vector<double>{1, 0});
}

TEST_CASE("a print that cannot be compared is refused where it stands") {
    CHECK(refusal("[1. 2. ... 9.]").starts_with("1 leaves numbers out"));
    CHECK(refusal("tensor([[1., 2.],\n        ...,\n        [3., 4.]])").starts_with("2 leaves numbers out"));
    CHECK(refusal("tensor([[1., 2.],\n        [3.]])").starts_with("2 has a row of 1"));
    CHECK(refusal("tensor([1., [2.]])").starts_with("1 has numbers and rows"));
    CHECK(refusal("tensor([1., x])").starts_with("1 has \"x\""));
    CHECK(refusal("tensor([[1., 2.]").starts_with("1 ends before"));
    CHECK(refusal("tensor([1.])\ntensor([2.])").find("without a name") != std::string::npos);
    CHECK(refusal("tensor(" + std::string(100000, '[') + "1").find("levels deep") != std::string::npos);
}

TEST_CASE("tables with names and tokens") {
    const std::vector<double> numbers{0.5, 1, 2, -3};
    for (const char* text :
         {"0.5 1\n2 -3\n", "0.5,1\n2,-3", "a,0.5,1\nb,2,-3\n", "x y\n0.5 1\n2 -3", "x,y\na,0.5,1\nb,2,-3\n",
          ",0,1\n0,0.5,1\n1,2,-3\n", "     0  1\n0  0.5  1\n1    2 -3\n", "a b  0.5 1\nc  2  -3\n",
          "| | x | y |\n|---|---:|---:|\n| a\\|b | 0.5 | 1 |\n| c | 2 | -3 |\n",
          "\"\",\"V1\",\"V2\"\n\"1\",0.5,1\n\"2\",2,-3\n"}) {
        CAPTURE(text);
        const auto arrays = arrays_of(text);
        REQUIRE(arrays.size() == 1);
        CHECK(arrays[0].shape == Shape{2, 2});
        CHECK(arrays[0].values == numbers);
    }
    CHECK(refusal("0.5 1\n2\n") == "2 has 1 number, but the line before has 2");
    CHECK(refusal("hello\nworld\n").find("is not a number") != std::string::npos);
    CHECK(refusal("0.5 ... 1\n").starts_with("1 leaves numbers out"));
}

TEST_CASE("words for what is not finite") {
    for (const char* word : {"NaN", "nan", "NAN", "-nan"}) CHECK(std::isnan(*nonfinite_word(word)));
    for (const char* word : {"inf", "Inf", "+inf", "Infinity", "INFINITY"})
        CHECK(*nonfinite_word(word) == HUGE_VAL);
    CHECK(*nonfinite_word("-Inf") == -HUGE_VAL);
    for (const char* word : {"", "-", "infin", "in", "nanx", "null", "+-inf", "NA"})
        CHECK_FALSE(nonfinite_word(word));
    CHECK(*number_of_text(" +1.5 ") == 1.5);
    CHECK(*number_of_text("1.") == 1);
    CHECK(*number_of_text("1e999") == HUGE_VAL);
    CHECK(*number_of_text("1e-999") == 0);
    for (const char* text : {"", " ", "+", "+-1", "--1", "0x1p3", "1,5", "1 2", "1e"})
        CHECK_FALSE(number_of_text(text));
    CHECK(with_our_words(R"({"a": [NaN, -inf, "Inf", "x\"NaN"], "nan": Infinity})") ==
          R"({"a": ["NaN", "-Infinity", "Infinity", "x\"NaN"], "nan": "Infinity"})");
    CHECK_FALSE(with_our_words(R"({"a": ["NaN", "-Infinity", 1e-5, null]})"));
    CHECK_FALSE(with_our_words(R"({"a": "unclosed)"));
}

TEST_CASE("an object of stages is numbers, but what can be computed as ours") {
    const auto form = [](const char* text, TextSide side) {
        return form_of(read_text(Source("t", std::string(text))), side);
    };
    CHECK(form(R"({"queries": [[1]], "keys": [[1]]})", TextSide::theirs) == TextForm::dump);
    CHECK(form(R"({"queries": [[1]], "keys": [[1]]})", TextSide::ours) == TextForm::dump);
    CHECK(form(R"({"queries": [[1]], "keys": [[1]], "values": [[1]]})", TextSide::theirs) == TextForm::dump);
    CHECK(form(R"({"queries": [[1]], "keys": [[1]], "values": [[1]]})", TextSide::ours) == TextForm::input);
    CHECK(form(R"({"queries": [[1]], "concat": [[1]]})", TextSide::ours) == TextForm::dump);
    CHECK(form(R"({"embeddings": [[1]]})", TextSide::theirs) == TextForm::input);
    CHECK(form(R"({"queries": [[1]], "keys": [[1]], "values": [[1]], "scale": 1})", TextSide::theirs) ==
          TextForm::input);
}
