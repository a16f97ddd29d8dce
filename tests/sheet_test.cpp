#include "lib/explain/sheet.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "lib/error.hpp"

namespace {

using attn::Stage;
using attn::explain::Cell;
using attn::explain::read_sheet;
using attn::explain::SheetCell;
using attn::explain::written_number;

std::string refused(const std::string& text) {
    try {
        read_sheet("sheet", text);
    } catch (const attn::Error& error) {
        CHECK(error.code == attn::Exit::input);
        return error.pointer + "|" + std::to_string(error.place.line) + "|" + error.message;
    }
    return {};
}

TEST_CASE("a written number is good for half a unit of its last digit") {
    struct Row {
        const char* text;
        double value, tolerance;
        int digits;
    };
    for (const Row& r :
         {Row{"0.42", 0.42, 0.005, 2}, Row{"0.4200", 0.42, 0.00005, 4}, Row{"3", 3, 0.5, 0},
          Row{"-1.5", -1.5, 0.05, 1}, Row{"+0.5", 0.5, 0.05, 1}, Row{"1.20e-3", 0.0012, 5e-6, 5},
          Row{"2e2", 200, 50, -2}, Row{"1.5E+3", 1500, 50, -2}, Row{".5", 0.5, 0.05, 1},
          Row{"\u22120.25", -0.25, 0.005, 2}}) {
        CAPTURE(r.text);
        const auto found = written_number(r.text);
        REQUIRE(found);
        CHECK(found->value == doctest::Approx(r.value).epsilon(1e-15));
        CHECK(found->digits == r.digits);
        CHECK(found->tolerance == doctest::Approx(r.tolerance).epsilon(1e-12));
    }
    CHECK(written_number("-inf")->value == -INFINITY);
    CHECK(std::isnan(written_number("nan")->value));
    for (const char* text : {"", "a", "0,42", "0.4.2", "1e", "0x10", "1 2", "--1", "1e999"}) {
        CAPTURE(text);
        CHECK_FALSE(written_number(text));
    }
}

TEST_CASE("a worksheet in JSON: numbers or quoted numbers in place of null, only of blank stages") {
    const auto sheet =
        read_sheet("sheet", R"({"schema": "attn-calc/explain/1", "blank": ["weights"], "steps": [
        {"stage": "scores", "lines": [{"place": "scores[0,0,1,0]", "stage_number": true, "result": 0.5}]},
        {"stage": "weights", "lines": [
            {"place": "sum", "result": 1.72},
            {"place": "weights[0,1,2,3]", "stage_number": true, "result": 0.4181},
            {"place": "weights[0,1,2,4]", "stage_number": true, "result": "0.580"},
            {"left_out": 3},
            {"place": "weights[0,1,2,5]", "stage_number": true, "result": null}]}]})");
    REQUIRE(sheet.cells.size() == 2);
    CHECK(sheet.left_blank == 1);
    CHECK(sheet.cells[0].cell == Cell{Stage::weights, 0, 1, 2, 3, 0});
    CHECK(sheet.cells[0].digits == 4);
    CHECK(sheet.cells[0].tolerance == doctest::Approx(0.00005));
    CHECK(sheet.cells[1].cell == Cell{Stage::weights, 0, 1, 2, 4, 0});
    CHECK(sheet.cells[1].digits == 3);
}

TEST_CASE("places of every kind of stage") {
    const auto sheet =
        read_sheet("sheet", R"({"schema": "attn-calc/explain/1", "steps": [{"stage": "x", "lines": [
        {"place": "output[1,2,3]", "stage_number": true, "result": 1},
        {"place": "states[0,1,2,3,4]", "stage_number": true, "result": 1},
        {"place": "decay[0,1,5]", "stage_number": true, "result": 1},
        {"place": "decay[0,1,5,6]", "stage_number": true, "result": 1},
        {"place": "latent[0,2,3]", "stage_number": true, "result": 1}]}]})");
    REQUIRE(sheet.cells.size() == 5);
    CHECK(sheet.cells[0].cell == Cell{Stage::output, 1, 0, 2, 3, 0});
    CHECK(sheet.cells[1].cell == Cell{Stage::states, 0, 1, 3, 4, 2});
    CHECK(sheet.cells[2].cell == Cell{Stage::decay, 0, 1, 0, 5, 0});
    CHECK(sheet.cells[3].cell == Cell{Stage::decay, 0, 1, 5, 6, 0});
    CHECK(sheet.cells[4].cell == Cell{Stage::latent, 0, 0, 2, 3, 0});
}

TEST_CASE("a worksheet in Markdown: the tables below the steps") {
    const auto sheet = read_sheet("sheet",
                                  "# Lesson\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
                                  "| weights[0,1] | 0 Hello | 1 shi\\|ny |\n| --- | --- | --- |\n"
                                  "| 1 shiny | 0.42 | **0.58** |\n| 2 sun |  | [______] |\n\n"
                                  "| masked\\_scores[0,0] | 0 |\n| ---: | --- |\n| 3 | -inf |\n"
                                  "| output[0] | 0 |\n");
    REQUIRE(sheet.cells.size() == 3);
    CHECK(sheet.left_blank == 2);
    CHECK(sheet.cells[0].cell == Cell{Stage::weights, 0, 1, 1, 0, 0});
    CHECK(sheet.cells[1].cell == Cell{Stage::weights, 0, 1, 1, 1, 0});
    CHECK(sheet.cells[1].value == 0.58);
    CHECK(sheet.cells[2].cell == Cell{Stage::masked_scores, 0, 0, 3, 0, 0});
    CHECK(sheet.cells[2].value == -INFINITY);
}

TEST_CASE("what is no worksheet, or holds no number, is refused with its place") {
    CHECK(refused("nothing").find("|1|holds no worksheet") == 0);
    CHECK(refused("| weights[0,0] | 0 |\n| --- | --- |\n| 1 | half |\n") == "|3|\"half\" is no number");
    CHECK(refused("| weights[0,0] | 0 |\n| --- | --- |\n| x | 0.5 |\n")
              .find("|3|the row begins with no number") == 0);
    CHECK(refused(R"({"schema": "attn-calc/trace/1"})").find("is no worksheet") != std::string::npos);
    CHECK(refused(R"({"schema": "attn-calc/explain/1"})").find("/steps") == 0);
    const std::string line = R"({"schema": "attn-calc/explain/1", "steps": [{"stage": "weights", "lines": [)";
    CHECK(refused(line + R"({"place": "weights[0,0,1,0]", "stage_number": true, "result": true}]}]})")
              .find("/steps/0/lines/0/result|") == 0);
    CHECK(refused(line + R"({"place": "weights[0]", "stage_number": true, "result": 1}]}]})")
              .find("/steps/0/lines/0/place|") == 0);
}

TEST_CASE("worksheets are told from traces") {
    using attn::explain::is_sheet;
    CHECK(is_sheet(R"(  {"schema": "attn-calc/explain/1", "steps": []})"));
    CHECK_FALSE(is_sheet(R"({"schema": "attn-calc/trace/1"})"));
    CHECK(is_sheet("text\n| weights[0,0] | 0 |\n"));
    CHECK_FALSE(is_sheet("| a | b |\n"));
    CHECK_FALSE(is_sheet(""));
}

}  // namespace
