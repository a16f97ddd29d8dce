// Each sink against literal texts, worked out by hand from the formats that docs/trace.md describes.
#include "lib/render/render.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "lib/text.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

std::string rendered(const std::string& document, Format format, const RenderOptions& options = {},
                     const Request& request = {}) {
    Text out;
    const Plan plan = plan_of(document, request);
    run(plan, *make_sink(format, out, options));
    return out.text;
}

Request stages(std::vector<std::string> names) {
    Request r;
    r.stages = std::move(names);
    return r;
}

constexpr const char* two = R"({"tokens":["a","b"],"embeddings":[[1,0],[0.5,2]],"causal":true})";

int widest(const std::string& text) {
    int w = 0;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t end = text.find('\n', from);
        w = std::max(w, display_width(text.substr(from, end - from)));
        from = end + 1;
    }
    return w;
}

/// One stage as text from rows given one by one; what a block points to is overwritten and gone after its
/// call.
std::string given_rows(const Plan& plan, Stage which, const std::vector<std::vector<float>>& given,
                       const RenderOptions& options) {
    Text out;
    const auto sink = make_sink(Format::text, out, options);
    const PlannedStage& stage = *plan.find(which);
    sink->begin(plan);
    sink->begin_stage(plan, stage);
    for (std::size_t i = 0; i < given.size(); ++i) {
        std::vector<Index> columns(given[i].size());
        std::iota(columns.begin(), columns.end(), 0);
        std::vector<float> data = given[i];
        Rows rows;
        rows.stage = &stage;
        rows.row_begin = static_cast<Index>(i);
        rows.row_end = rows.row_begin + 1;
        rows.columns = columns;
        rows.data = data.data();
        sink->rows(rows);
        std::fill(columns.begin(), columns.end(), 0);
        std::fill(data.begin(), data.end(), 0.0F);
    }
    sink->end_stage(stage);
    sink->end({});
    return out.text;
}

}  // namespace

TEST_CASE("text: plan, heading, named shape, labels, points below points, hidden cells") {
    RenderOptions o;
    o.width = 60;
    CHECK(rendered(two, Format::text, o, stages({"scores", "masked_scores", "weights"})) ==
          "simplified self-attention · 2 tokens · 1 head of 2\n"
          "  no scale · key j is visible to query i when j ≤ i\n"
          "  float32\n"
          "variant simplified, inferred: there are no weights\n"
          "\n"
          "scores = queries · keysᵀ                    [query 2, key 2]\n"
          "        a       b\n"
          "a  1.0000  0.5000\n"
          "b  0.5000  4.2500\n"
          "\n"
          "masked_scores = scores, -inf where hidden   [query 2, key 2]\n"
          "        a       b\n"
          "a  1.0000    -inf\n"
          "b  0.5000  4.2500\n"
          "\n"
          "weights = softmax(masked_scores)            [query 2, key 2]\n"
          "        a       b\n"
          "a  1.0000       ·\n"
          "b  0.0230  0.9770\n");
}

TEST_CASE("text: a large finite number turns the stage to exponents, a small one rounds") {
    RenderOptions o;
    o.precision = 2;
    const std::string text =
        rendered(R"({"embeddings":[[1e6,0.001]]})", Format::text, o, stages({"queries"}));
    CHECK(text.find("1.00e+06  1.00e-03") != std::string::npos);
    CHECK(rendered(R"({"embeddings":[[9e5,0.001]]})", Format::text, o, stages({"queries"}))
              .find("900000.00  0.00") != std::string::npos);
}

TEST_CASE("text: a wide and long stage is cut in the middle, and says so") {
    RenderOptions o;
    const std::string document = R"({"embeddings":{"init":"torch.randn","seed":1,"shape":[40,30]}})";
    for (const int width : {40, 80, 200}) {
        o.width = width;
        const std::string text = rendered(document, Format::text, o);
        CHECK(widest(text) <= width);
        CHECK(text.find("28 of 40 rows left out:") != std::string::npos);
        CHECK(text.find("columns left out:") != std::string::npos);
    }
    Request all;
    all.rows = "0:40";
    all.stages = {"scores"};
    CHECK(rendered(document, Format::text, o, all).find("rows left out") == std::string::npos);
}

TEST_CASE("text: tokens keep their columns and cannot act on the terminal") {
    const std::string text =
        rendered(R"({"tokens":["日本","e\u0301","\u001b[31m"],"embeddings":[[1],[2],[3]]})", Format::text, {},
                 stages({"queries"}));
    CHECK(text.find("日本      1.0000\n") != std::string::npos);
    CHECK(text.find("e\xCC\x81         2.0000\n") != std::string::npos);
    CHECK(text.find("\\x1b[31m  3.0000\n") != std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
    RenderOptions ascii;
    ascii.ascii = true;
    for (const char c : rendered(R"({"tokens":["日本"],"embeddings":[[1]]})", Format::text, ascii))
        CHECK(static_cast<unsigned char>(c) < 0x80);
}

TEST_CASE("text: no line is wider than asked for, headings and escaped labels included") {
    const std::string document =
        R"({"tokens":["日本語の長い単語です","übersetzen","xxxxxxxxxxxxxxxxxxxxxxxx"],)"
        R"("embeddings":[[1,0],[0.5,2],[3,1]],"causal":true,"scale":0.5})";
    for (const int width : {30, 40, 60, 80, 200})
        for (const bool ascii : {false, true})
            for (const bool top : {false, true}) {
                CAPTURE(width);
                CAPTURE(ascii);
                CAPTURE(top);
                RenderOptions o;
                o.width = width;
                o.ascii = ascii;
                if (top) o.top = 2;
                CHECK(widest(rendered(document, Format::text, o)) <= width);
                Text plan;
                write_plan(Format::text, plan_of(document, {}), plan, o);
                CHECK(widest(plan.text) <= width);
            }
}

TEST_CASE("text: among the largest weights NaN comes after every number") {
    const Plan plan = plan_of(two, stages({"weights"}));
    RenderOptions top;
    top.top = 2;
    CHECK(given_rows(plan, Stage::weights, {{NAN, 0.25F}, {0.5F, NAN}}, top)
              .ends_with("a  b 0.2500 · a nan\nb  a 0.5000 · b nan\n"));
}

TEST_CASE("text: nothing of a block of rows is read after its call") {
    const Plan plan = plan_of(two, stages({"queries"}));
    CHECK(given_rows(plan, Stage::queries, {{1, 2}, {3, 4}}, {})
              .ends_with("        0       1\na  1.0000  2.0000\nb  3.0000  4.0000\n"));
}

TEST_CASE("text: the largest weights of each row; colour only adds") {
    RenderOptions top;
    top.top = 1;
    CHECK(rendered(two, Format::text, top, stages({"weights"})).ends_with("a  a 1.0000\nb  b 0.9770\n"));
    RenderOptions colour;
    colour.colour = true;
    std::string text = rendered(two, Format::text, colour);
    for (const char* code : {"\x1b[1m", "\x1b[2m", "\x1b[0m"})
        for (auto at = text.find(code); at != std::string::npos; at = text.find(code)) text.erase(at, 4);
    CHECK(text == rendered(two, Format::text));
}

TEST_CASE("json: members in order, numbers that read back, nothing bare") {
    RenderOptions o;
    o.compact = true;
    const std::string text = rendered(two, Format::json, o, stages({"masked_scores"}));
    CHECK(
        text.find(
            R"("order": ["masked_scores"], "stages": {"masked_scores": {"formula": "scores, -inf where hidden", )"
            R"("axes": ["batch", "head", "query", "key"], "shape": [1, 1, 2, 2], "dtype": "float32", )"
            R"("data": [[[[1, "-Infinity"], [0.5, 4.25]]]]}}, "warnings": []})") != std::string::npos);
    o.squeeze = true;
    o.nonfinite = NonFinite::null;
    CHECK(
        rendered(two, Format::json, o, stages({"masked_scores"}))
            .find(
                R"("axes": ["query", "key"], "shape": [2, 2], "dtype": "float32", "data": [[1, null], [0.5, 4.25]]})") !=
        std::string::npos);
    std::vector<std::string> names;
    const auto trace = nlohmann::ordered_json::parse(rendered(two, Format::json));
    for (const auto& [name, member] : trace.items()) names.push_back(name);
    CHECK(names == std::vector<std::string>{"schema", "tool", "variant", "plan", "tokens", "order", "stages",
                                            "warnings"});
    CHECK(nlohmann::json::parse(rendered(two, Format::json)) ==
          nlohmann::json::parse(rendered(two, Format::json, [] {
              RenderOptions c;
              c.compact = true;
              return c;
          }())));
}

TEST_CASE("json: a selection follows the tokens, and cuts them alike") {
    Request r = stages({"weights"});
    r.rows = "b";
    const auto j = nlohmann::ordered_json::parse(rendered(two, Format::json, {}, r));
    CHECK(j["selection"].dump() == R"({"query":[1]})");
    CHECK(j["tokens"]["query"].dump() == R"(["b"])");
    CHECK(j["tokens"]["key"].dump() == R"(["a","b"])");
    CHECK(j["stages"]["weights"]["shape"].dump() == "[1,1,1,2]");
}

TEST_CASE("ndjson: begin, row blocks, end") {
    Request r = stages({"scores", "concat"});
    const std::string text = rendered(R"({"num_heads":2,"embeddings":[[1,2],[3,4]]})", Format::ndjson, {}, r);
    CHECK(text.find("{\"event\": \"begin\", \"schema\": \"attn-calc/trace/1\"") == 0);
    CHECK(text.find("{\"event\": \"stage\", \"name\": \"scores\", \"batch\": 0, \"head\": 1, \"rows\": [0, "
                    "2], \"shape\": [2, 2], \"data\": [[4, 8], [8, 16]]}\n") != std::string::npos);
    CHECK(text.find("\"name\": \"concat\", \"batch\": 0, \"rows\": [0, 2]") != std::string::npos);
    CHECK(text.ends_with("{\"event\": \"end\", \"stages\": 2, \"warnings\": []}\n"));
}

TEST_CASE("csv: a line for each cell, empty where a column does not apply, no formulas") {
    Request r = stages({"queries", "masked_scores"});
    CHECK(rendered(R"({"tokens":["=1+1","b,c"],"embeddings":[[1],[2]],"causal":true})", Format::csv, {}, r) ==
          "stage,batch,head,row,column,row_token,column_token,value\r\n"
          "queries,0,0,0,0,'=1+1,,1\r\n"
          "queries,0,0,1,0,\"b,c\",,2\r\n"
          "masked_scores,0,0,0,0,'=1+1,'=1+1,1\r\n"
          "masked_scores,0,0,0,1,'=1+1,\"b,c\",-Infinity\r\n"
          "masked_scores,0,0,1,0,\"b,c\",'=1+1,2\r\n"
          "masked_scores,0,0,1,1,\"b,c\",\"b,c\",4\r\n");
}

TEST_CASE("torch: as print(tensor), with names where there are several") {
    RenderOptions o;
    o.squeeze = true;
    CHECK(rendered(two, Format::torch, o, stages({"scores"})) ==
          "tensor([[1.0000, 0.5000],\n        [0.5000, 4.2500]])\n");
    CHECK(rendered(two, Format::torch, {}, stages({"queries", "keys"}))
              .starts_with(
                  "queries = \ntensor([[[[1.0000, 0.0000],\n          [0.5000, 2.0000]]]])\nkeys = \n"));
}

TEST_CASE("render: the same bytes for any number of threads") {
    const std::string document = R"({"variant":"scaled_dot_product","causal":true,
        "queries":{"init":"torch.randn","seed":1,"shape":[1,2,300,8]},
        "keys":{"init":"torch.randn","seed":2,"shape":[1,2,300,8]},
        "values":{"init":"torch.randn","seed":3,"shape":[1,2,300,8]}})";
    for (const Format format : {Format::json, Format::ndjson, Format::csv}) {
        CAPTURE(name_of(format));
        Request request = stages({"scores", "weights", "context"});
        request.threads = 1;
        const std::string one = rendered(document, format, {}, request);
        CHECK(one.size() > 1000000);
        for (const int threads : {2, 5}) {
            request.threads = threads;
            CHECK(rendered(document, format, {}, request) == one);
        }
    }
}

}  // namespace attn::test
