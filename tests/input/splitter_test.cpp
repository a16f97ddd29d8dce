// Where documents of a stream end, however their text is cut on its way.
#include "lib/input/splitter.hpp"

#include <doctest/doctest.h>

#include <string>

namespace attn::test {
namespace {

struct End {
    std::size_t at;
    bool cut;
    bool operator==(const End&) const = default;
};

/// What a splitter says of a text that comes in pieces of `step` bytes.
End end_of(const std::string& text, std::size_t step) {
    Splitter splitter;
    for (std::size_t size = 1; size < text.size(); size += step)
        if (splitter.look(std::string_view(text).substr(0, size))) return {splitter.end(), splitter.is_cut()};
    if (!splitter.look(text)) splitter.finish(text);
    return {splitter.end(), splitter.is_cut()};
}

void check_end(const std::string& document, const std::string& behind, bool cut) {
    for (const std::size_t step : {1U, 2U, 3U, 1000U}) {
        INFO(document << "|" << behind << " in steps of " << step);
        CHECK(end_of(document + behind, step) == End{document.size(), cut});
    }
}

}  // namespace

TEST_CASE("splitter: a document ends at its bracket") {
    for (const std::string behind : {"", "\n", "\r\n", " {\"a\": 1}", "}", "{}", "x", "\n\n{\"b\""}) {
        check_end("{}", behind, false);
        check_end(R"({"a": [1, {"b": {}}, 2]})", behind, false);
        check_end(R"({"a}": "{\"", "\\": "}\\\"{"})", behind, false);
        check_end("{\n  \"a\": [\n    [1, 2],\n    {\n}\n  ]\n}", behind, false);
        check_end("[1, [2, \"]\"], {}]", behind, false);
    }
    SUBCASE("lines of it may begin with a brace where a value may stand") {
        check_end("{\"a\": [\n{\"b\": 1},\n{\"c\": 2}\n], \"d\":\n{}}", "\n{}", false);
    }
}

TEST_CASE("splitter: a document that is cut ends with its line") {
    for (const std::string next : {"\n{\"b\": 2}\n", "\n{", "\r\n{\"b\": [1]}", "\n\n  \n{}"}) {
        check_end(R"({"a": 1)", next, true);
        check_end(R"({"a": [1, 2)", next, true);
        check_end(R"({"a": [1, 2])", next, true);
        check_end(R"({"a")", next, true);
        check_end("{", next, true);
        check_end(R"({"a": "b)", next, true);
        check_end(R"({"a": "b\)", next, true);
        check_end(R"({"a)", next, true);
    }
    SUBCASE("where a value may stand the line after the next tells") {
        check_end("{\"a\": [1,", "\n{\"b\": 2}\n{\"c\": 3}\n", true);
        check_end("{\"a\":", "\n{\"b\": 2}\n{\"c\": 3}\n", true);
        check_end("{\"a\":", "\n{\"b\": \"2\n{\"c\": 3}\n", true);
        check_end("{\"a\": [", "\n{\"b\": 2}", true);  // the text ends, and the first one is open
    }
}

TEST_CASE("splitter: nothing follows a NUL, and a text that ends is the end") {
    CHECK(end_of(std::string("{\"a\": \0, 1}\n{}", 14), 1) == End{7, true});
    CHECK(end_of("{\"a\": [1, 2", 1) == End{11, false});
    CHECK(end_of("{\"a\": \"b", 1) == End{8, false});
}

}  // namespace attn::test
