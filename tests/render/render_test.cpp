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

TEST_CASE("text: a large finite number turns the stage to exponents, a small one gets a mark") {
    RenderOptions o;
    o.precision = 2;
    const std::string text =
        rendered(R"({"embeddings":[[1e6,0.001]]})", Format::text, o, stages({"queries"}));
    CHECK(text.find("1.00e+06  1.00e-03") != std::string::npos);
    CHECK(rendered(R"({"embeddings":[[9e5,0.001]]})", Format::text, o, stages({"queries"}))
              .find("900000.00  ~0\n~0 is not 0 but rounds to it: -p shows more digits\n") !=
          std::string::npos);
}

TEST_CASE("tables: no number that is not 0 is shown as 0") {
    const auto shown = [](const char* row, Format format, int precision = 4) {
        RenderOptions o;
        o.precision = precision;
        return rendered(std::string(R"({"embeddings":[[)") + row + "]]}", format, o, stages({"queries"}));
    };
    // Nothing of 1e-3 or more: exponents, and 0 stays 0.
    CHECK(shown("0.000999,-0.000001,0", Format::text).ends_with("0  9.9900e-04  -1.0000e-06  0.0000e+00\n"));
    CHECK(shown("0,0", Format::text).ends_with("0  0.0000  0.0000\n"));
    CHECK(shown("-0.0,0.001", Format::text).ends_with("0  -0.0000  0.0010\n"));
    // Half of the last digit is the limit; the exact value decides: 0.00005 as a float is below it.
    const std::string note = "~0 is not 0 but rounds to it: -p shows more digits\n";
    CHECK(shown("1,0.00005,-0.00005,0.0000501,-1e-30,0", Format::text)
              .ends_with("0  1.0000  ~0  -~0  0.0001  -~0  0.0000\n" + note));
    CHECK(shown("1,0.5,0.75,-0.25", Format::text, 0).ends_with("0  1  ~0  1  -~0\n" + note));
    CHECK(shown("1,-1e-9", Format::md).ends_with("| 0 | 1.0000 | -~0 |\n\n\\" + note));
    CHECK(shown("1,-1e-9", Format::tex).find("0 & $1.0000$ & $-{\\sim}0$ \\\\\n") != std::string::npos);
    CHECK(shown("1,-1e-9", Format::tex)
              .ends_with("\\noindent \\textasciitilde{}0 is not 0 but rounds to it: "
                         "-p shows more digits\\par\n"));
    CHECK(shown("1,-1e-9", Format::torch).find('~') == std::string::npos);
    // A number that the width leaves out needs no note; nor do weights that the mask hides.
    CHECK(rendered(two, Format::text).find('~') == std::string::npos);
    RenderOptions top;
    top.top = 2;
    CHECK(rendered(R"({"queries":[[1]],"keys":[[0],[12]],"values":[[1],[2]],"scale":"none"})", Format::text,
                   top, stages({"weights"}))
              .ends_with("0  1 1.0000 · 0 ~0\n" + note));
}

TEST_CASE("text: the largest of 100 000 equal weights are numbers") {
    RenderOptions top;
    top.top = 2;
    const std::string text =
        rendered(R"({"queries":[[0]],"keys":{"init":"torch.rand","seed":1,"shape":[100000,1]},)"
                 R"("values":{"init":"torch.rand","seed":2,"shape":[100000,1]}})",
                 Format::text, top, stages({"weights"}));
    CHECK(text.ends_with("0  0 1.0000e-05 · 1 1.0000e-05\n"));
}

namespace {

/// Counts what a run computes for its sink.
class Counting : public Sink {
  public:
    explicit Counting(Sink& next) : next_(next) {}
    void begin(const Plan& plan) override { next_.begin(plan); }
    void begin_stage(const Plan& plan, const PlannedStage& stage) override { next_.begin_stage(plan, stage); }
    void rows(const Rows& rows) override {
        count += rows.row_count();
        next_.rows(rows);
    }
    void end_stage(const PlannedStage& stage) override { next_.end_stage(stage); }
    void end(const std::vector<std::string>& warnings) override {
        said = warnings;
        next_.end(warnings);
    }
    Index count = 0;
    std::vector<std::string> said;

  private:
    Sink& next_;
};

}  // namespace

TEST_CASE("tables: of a long input only the rows that are shown are computed") {
    const std::string document =
        R"({"queries":{"init":"torch.randn","seed":1,"shape":[8000,2]},"keys":{"init":"torch.randn","seed":2,)"
        R"("shape":[8000,2]},"values":{"init":"torch.randn","seed":3,"shape":[8000,2]},"causal":true})";
    Request cut = stages({"scores", "masked_scores", "weights", "context"}), asked = cut;
    cut.cut_rows = table_rows;
    asked.rows = "0:8,7996:8000";
    const Plan some = plan_of(document, cut), twelve = plan_of(document, asked);
    CHECK(some.flops == twelve.flops);
    CHECK(plan_of(document, stages({"context"})).flops > 100 * some.flops);
    for (const Format format : {Format::text, Format::md, Format::tex}) {
        Text all, part;
        const auto sink = make_sink(format, all, {});
        Counting counting(*sink);
        run(some, counting);
        CHECK(counting.count == 4 * 12);
        run(twelve, *make_sink(format, part, {}));
        const std::string note = "7988 of 8000 rows left out, not computed: ";
        CHECK(all.text.find(note) != std::string::npos);
        CHECK(all.text.find("query 8000") != std::string::npos);
        // Every line of numbers is that of the twelve rows.
        std::size_t rows = 0;
        for (std::size_t from = 0; from < part.text.size();) {
            const std::size_t end = part.text.find('\n', from);
            const std::string line = part.text.substr(from, end - from + 1);
            from = end + 1;
            if (line.find("left out") != std::string::npos) continue;
            if (line.find_first_of("0123456789") == 0 || line.starts_with("| ")) {
                ++rows;
                CHECK(all.text.find("\n" + line) != std::string::npos);
            }
        }
        CHECK((format == Format::tex || rows >= 48));
    }
}

TEST_CASE("tables: rows that are left out are counted where they see no key") {
    // Item 1 sees 5 keys, from query 5 on with the window none.
    const std::string document =
        R"({"queries":{"init":"torch.randn","seed":1,"shape":[2,2,800,1]},"keys":{"init":"torch.randn","seed":2,)"
        R"("shape":[2,2,800,1]},"values":{"init":"torch.randn","seed":3,"shape":[2,2,800,1]},)"
        R"("key_lengths":[800,5],"causal":true,"window":{"left":0}})";
    Request cut = stages({"weights"});
    cut.cut_rows = table_rows;
    for (const Request& request : {cut, stages({"weights"})}) {
        Text out;
        const auto sink = make_sink(Format::text, out, {});
        Counting counting(*sink);
        run(plan_of(document, request), counting);
        CHECK(counting.count == (request.cut_rows ? 4 * 12 : 4 * 800));
        CHECK(counting.said ==
              std::vector<std::string>{"1590 rows have no visible key (first: batch 1, head 0, query 5): "
                                       "weights and context are 0"});
    }
    cut.rows = "3";
    CHECK(plan_of(document, cut).queries_shown.indices == std::vector<Index>{3});
    // Few pairs: all rows are computed, and all warnings are whole.
    Request few = stages({"scores"});
    few.cut_rows = table_rows;
    CHECK(plan_of(R"({"embeddings":{"init":"torch.randn","seed":1,"shape":[40,3]}})", few).queries_shown.all);
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
          "masked_scores,0,0,0,1,'=1+1,\"b,c\",-inf\r\n"
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
    RenderOptions options;
    options.width = 1 << 20;
    for (const Format format :
         {Format::json, Format::ndjson, Format::csv, Format::text, Format::md, Format::tex}) {
        CAPTURE(name_of(format));
        Request request = stages({"scores", "weights", "context"});
        request.rows = request.cols = "0:300";  // or tables leave most of them out
        request.threads = 1;
        const std::string one = rendered(document, format, options, request);
        CHECK(one.size() > 1000000);
        for (const int threads : {2, 5}) {
            request.threads = threads;
            CHECK(rendered(document, format, options, request) == one);
        }
    }
}

}  // namespace attn::test
