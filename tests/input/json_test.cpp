// Reading documents: what is JSON, where faults stand, rows of numbers, suggestions.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>

#include "tests/support.hpp"

namespace attn::test {
namespace {

std::vector<Document> parse(const std::string& text) { return parse_documents({"x.json", text}); }

/// The error that a text is refused with, its place filled in.
Error fault(const std::string& text) {
    const Source source{"x.json", text};
    try {
        for (const Document& d : parse_documents(source)) {
            try {
                make_plan(read_problem(d.root), {});
            } catch (Error& e) {
                locate(e, source, d);
                return e;
            }
        }
    } catch (const Error& e) {
        return e;
    }
    return {Exit::ok, {}, {}};
}

void check_place(const std::string& text, std::int64_t line, std::int64_t column, const std::string& words) {
    const Error e = fault(text);
    INFO(text << " -> " << e.pointer << " " << e.message);
    CHECK(e.code == Exit::input);
    CHECK(e.place.line == line);
    CHECK(e.place.column == column);
    CHECK(e.message.find(words) != std::string::npos);
}

std::string nested(std::size_t levels) {
    return R"({"_x":)" + std::string(levels - 1, '[') + std::string(levels - 1, ']') +
           R"(,"embeddings":[[1]]})";
}

}  // namespace

TEST_CASE("json: syntax faults have their place") {
    check_place("", 1, 1, "empty");
    check_place("\n  \n", 3, 1, "empty");
    check_place("{\"a\":1,}", 1, 8, "name of a member");
    check_place("{\"a\" 1}", 1, 6, "':'");
    check_place("{\"a\":[1,]}", 1, 9, "a value");
    check_place("{\"a\":\n [1 2]}", 2, 5, "','");
    check_place("{\"a\":007}", 1, 7, "begins with 0");
    check_place("{\"a\":.5}", 1, 6, "a value");
    check_place("{\"a\":+1}", 1, 6, "a value");
    check_place("{\"a\":1.}", 1, 8, "digit");
    check_place("{\"a\":1e400}", 1, 6, "out of the range");
    check_place("{\"a\":NaN}", 1, 6, "a value");
    check_place("{\"a\":\"\\ud800\"}", 1, 8, "surrogate");
    check_place("{\"a\":\"b\nc\"}", 1, 8, "control character");
    check_place("{\"a\":1", 1, 7, "end of the file");
    check_place("{\"ä\":x}", 1, 6, "'x'");  // columns are characters, not bytes
    check_place("[{\"a\":1}]", 1, 1, "object");
    check_place("{\"embeddings\":[[1]]} 3", 1, 22, "object");
    check_place("{\"a\":\"\xC0\x80\"}", 1, 7, "UTF-8");
    check_place(std::string("{\"a\":1}\0", 8), 1, 8, "NUL");
    check_place("\xFF\xFE{", 1, 1, "UTF-16");
    check_place("\xEF\xBB\xBF\xEF\xBB\xBF{\"embeddings\":[[1]]}", 1, 1, "U+FEFF");
}

TEST_CASE("json: names that stand twice") {
    check_place("{\"scale\":1,\n\"scale\":2}", 2, 1, "/scale is a duplicate");
    check_place("{\"_x\":{\"a\":1,\"\\u0061\":2}}", 1, 14, "/_x/a is a duplicate");
    check_place("{\"_x\":[[],{\"a\":1,\"a\":2}]}", 1, 18, "/_x/1/a is a duplicate");
    std::string many = "{";
    for (int k = 0; k < 40; ++k) many += "\"_" + std::to_string(k) + "\":0,";
    check_place(many + "\"_7\":1}", 1, static_cast<std::int64_t>(many.size()) + 1, "duplicate");
}

TEST_CASE("json: at most 64 levels, also where keys are ignored") {
    CHECK(fault(nested(64)).code == Exit::ok);
    CHECK(fault(nested(65)).message.find("64 levels") != std::string::npos);
    CHECK(fault("{\"_x\":" + std::string(100000, '[')).message.find("64 levels") != std::string::npos);
}

TEST_CASE("json: documents follow one another") {
    CHECK(parse("{\"a\":1}{\"b\":2}\n\n{\"c\":3}").size() == 3);
    CHECK(parse("\xEF\xBB\xBF{}").size() == 1);
    const auto two = parse("{}\r\n {\"b\":2}");
    CHECK(two[1].begin == 5);
    CHECK(two[1].end == 12);
}

TEST_CASE("json: rows keep numbers, booleans and the three words") {
    const Value v =
        parse(R"({"a":[1,-0,-0.0,true,"-Infinity","NaN",1e2],"b":["NaN","x"],"c":[],"d":[1,null]})")[0].root;
    const Scalars& row = v.find("a")->row;
    REQUIRE(row.shape == Shape{7});
    CHECK(row.first_of(Scalar::integer) == 0);
    CHECK(row.first_of(Scalar::real) == 2);
    CHECK(row.first_of(Scalar::boolean) == 3);
    CHECK(row.first_of(Scalar::nonfinite) == 4);
    CHECK(row.first_other == 6);
    CHECK(std::signbit(row.numbers[1]));
    CHECK(std::signbit(row.numbers[2]));
    CHECK(row.numbers[3] == 1);
    CHECK(row.numbers[4] == -INFINITY);
    CHECK(std::isnan(row.numbers[5]));
    CHECK(row.numbers[6] == 100);
    CHECK(v.find("b")->kind == Value::Kind::array);
    CHECK(v.find("b")->items[0].text == "NaN");
    CHECK(v.find("c")->kind == Value::Kind::row);
    CHECK(v.find("d")->items[1].kind == Value::Kind::null);
}

TEST_CASE("json: a number is rounded to float32 once, not by way of float64") {
    // Just above the middle of two floats; its nearest double is the middle itself.
    const std::string text = "1.00000005960464477539062500000000000000001";
    const Recorder r = record("{\"embeddings\":[[" + text + "]]}");
    CHECK(r.stages().find("queries")->second.values[0] ==
          static_cast<double>(std::strtof(text.c_str(), nullptr)));
    CHECK(std::strtof(text.c_str(), nullptr) != static_cast<float>(std::strtod(text.c_str(), nullptr)));
}

TEST_CASE("json: errors of meaning point at the value, or at the name") {
    check_place("{\"embeddings\":\n[[1,2],\n [3]]}", 3, 2, "has 1 number, but /embeddings/0 has 2");
    check_place("{\"embeddings\":[[1,null]]}", 1, 19, "null");
    check_place("{\"embeddings\":[[1]],\n  \"casual\":true}", 2, 3, "unknown key \"casual\"");
    check_place("{\"embeddings\":{\"shape\":[2],\"data\":[1,2]}}", 1, 15, "matrix");
    check_place("{\"embeddings\":{\"shape\":[1,2],\"data\":[1,2,3]}}", 1, 37, "needs 2");
    check_place("{\"embeddings\":[[1]],\"tokens\":[\"a\",\"b\"]}", 1, 30, "2 tokens");
    const Error e = fault("{\"embeddings\":[[1]],\n  \"casual\":true}");
    CHECK(e.place.excerpt == "  \"casual\":true}");
    CHECK(e.place.caret == 2);
    CHECK(e.place.caret_width == 8);
    const Error far = fault("{\"_x\":\"" + std::string(100000, 'y') + "\",\"casual\":true," + "\"_y\":\"" +
                            std::string(100000, 'z') + "\"}");
    CHECK(far.place.excerpt.size() < 120);
    CHECK(far.place.excerpt.find("casual") != std::string::npos);
}

TEST_CASE("names: what was meant") {
    constexpr std::array<std::string_view, 14> names{
        "causal_attention", "self_attention", "embeddings", "tokens",    "weights",
        "W_query",          "num_heads",      "seed",       "generator", "scaled_scores",
        "torch.nn.Linear",  "key_tokens",     "d_out",      "dropout"};
    const auto near = [&](std::string_view w) { return nearest_name(w, names); };
    CHECK(near("casual_attention") == "causal_attention");
    CHECK(near("Self_Attention") == "self_attention");
    CHECK(near(" self_attention ") == "self_attention");
    CHECK(near("self") == "self_attention");
    CHECK(near("embedings") == "embeddings");
    CHECK(near("token") == "tokens");
    CHECK(near("weight") == "weights");
    CHECK(near("W_qeury") == "W_query");
    CHECK(near("num_head") == "num_heads");
    CHECK(near("sead") == "seed");
    CHECK(near("genrator") == "generator");
    CHECK(near("scaled-scores") == "scaled_scores");
    CHECK(near("torch.nn.Liner") == "torch.nn.Linear");
    CHECK(near("dout") == "d_out");
    CHECK(near("foo").empty());
    CHECK(near("").empty());
    CHECK(near(std::string(100000, 'x')).empty());
}

}  // namespace attn::test
