// The steps of an explanation as data, before any of them is drawn.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "lib/error.hpp"
#include "lib/explain/explain.hpp"
#include "tests/support.hpp"

namespace {

using namespace attn;
using explain::Cell;
using explain::Explanation;
using explain::Expr;
using explain::Level;
using explain::Line;
using explain::Step;

std::vector<std::string> examples() {
    std::vector<std::string> out;
    for (const auto& file : std::filesystem::directory_iterator(ATTN_DATA "/examples"))
        if (file.path().extension() == ".json") out.push_back(file.path().string());
    return out;
}

/// The sum of the sizes of what is added: what rounding is measured by.
double size_of(const Expr& e) {
    double size = 0;
    explain::each_number(
        e, [&](const Expr& leaf) { size += std::isfinite(leaf.value) ? leaf.value * leaf.value : 0; });
    return size + 1;
}

bool agrees(const Line& line) {
    const double value = explain::evaluate(*line.expression);
    if (std::isnan(value) || std::isnan(line.result)) return std::isnan(value) && std::isnan(line.result);
    return value == line.result || std::abs(value - line.result) <= 1e-6 * size_of(*line.expression);
}

const Line* line_of(const Explanation& e, const Cell& cell) {
    for (const Step& s : e.steps)
        for (const Line& l : s.lines)
            if (l.cell == cell) return &l;
    return nullptr;
}

/// A document with a backward pass, if it has none.
std::string with_gradient(const std::string& document) {
    if (document.find("\"gradient\"") != std::string::npos) return document;
    const std::string loss = R"("gradient": {"loss": "sum"}, )";
    return "{" + loss + document.substr(document.find('{') + 1);
}

using Told = std::set<std::pair<Stage, Index>>;
std::pair<Stage, Index> key_of(const explain::StageId& id) { return {id.stage, id.gradient}; }

/// The calculation of a line gives its result, and so does every form of it.
void check_line(const Line& l) {
    CAPTURE(l.label);
    CHECK(agrees(l));
    Expr form = *l.expression;
    for (int k = 0; k < 20 && !form.is_number(); ++k) {
        form = explain::reduced(form);
        const double further = explain::evaluate(form), whole = explain::evaluate(*l.expression);
        const bool same = further == whole || (std::isnan(further) && std::isnan(whole));
        CHECK((same || std::abs(further - whole) <= 1e-12 * size_of(*l.expression)));
    }
    CHECK(form.is_number());
}

/// What the numbers of a step are made of has been told before it.
void check_told(const Step& s, Told& told) {
    told.insert(key_of(s.id()));
    for (const Line& l : s.lines)
        if (l.expression)
            explain::each_number(*l.expression, [&](const Expr& leaf) {
                if (leaf.cell) CHECK(told.count(key_of(leaf.cell->id())) == 1);
            });
}

/// Whatever a line is made of has a line of its own, until there are no stages left.
void check_whole(const Explanation& e) {
    CHECK(e.unexplained == 0);
    for (const Step& s : e.steps)
        for (const Line& l : s.lines)
            if (l.expression)
                explain::each_number(*l.expression, [&](const Expr& leaf) {
                    if (leaf.cell) CHECK(line_of(e, *leaf.cell));
                });
}

TEST_CASE("steps: every calculation of every example gives its result, and so does every form of it") {
    int evaluated = 0;
    for (const std::string& path : examples()) {
        CAPTURE(path);
        const std::string document = test::read_file(path);
        const Index rows = test::plan_of(document).queries;
        for (Index row = 0; row < rows; ++row)
            for (const Level level : {Level::brief, Level::normal, Level::full}) {
                Plan plan = test::plan_of(document);
                plan.batch_shown.indices = {0};
                const Explanation e = explain::explain_row(plan, row, {0, level});
                for (const Step& s : e.steps)
                    for (const Line& l : s.lines) {
                        if (!l.expression) continue;
                        check_line(l);
                        ++evaluated;
                    }
            }
    }
    CHECK(evaluated > 10'000);
}

TEST_CASE("steps: every stage has one, in the order of the calculation") {
    for (const std::string& path : examples()) {
        CAPTURE(path);
        Plan plan = test::plan_of(test::read_file(path));
        plan.batch_shown.indices = {0};
        const Explanation e = explain::explain_row(plan, 0, {0, Level::full});
        Told told;
        for (const Step& s : e.steps) {
            CHECK(s.number == static_cast<Index>(told.size()) + 1);
            check_told(s, told);
        }
        // What is made of whole rows at the end is told where it is asked for: one number of it.
        for (const Stage asked : {Stage::lse, Stage::mean_weights}) {
            if (!plan.find(asked)) continue;
            CHECK(told.count({asked, -1}) == 0);
            Plan again = test::plan_of(test::read_file(path));
            const Explanation one =
                explain::explain_cell(again, Cell{asked, 0, 0, 0, 0, 0}, {0, Level::full});
            REQUIRE(!one.steps.empty());
            CHECK(one.steps.front().stage == asked);
            told.insert({asked, -1});
        }
        CHECK(told.size() == plan.stages.size() + plan.gradients.size());
    }
}

TEST_CASE("steps: one number down to the numbers of the document") {
    for (const std::string& path : examples()) {
        CAPTURE(path);
        Plan plan = test::plan_of(test::read_file(path));
        const Stage last = plan.stages.back().stage;
        const Cell cell{last, 0, 0, 0, 0, 0};
        const Explanation e = explain::explain_cell(plan, cell, {0, Level::full});
        REQUIRE(!e.steps.empty());
        CHECK(e.steps.front().stage == last);
        check_whole(e);
    }
}

TEST_CASE("steps: every gradient of every example, and the first parameter down to the document") {
    int evaluated = 0;
    for (const std::string& path : examples()) {
        CAPTURE(path);
        const std::string document = with_gradient(test::read_file(path));
        Plan plan = test::plan_of(document);
        plan.batch_shown.indices = {0};
        const Explanation e = explain::explain_row(plan, plan.queries - 1, {0, Level::full});
        Told told;
        for (const Step& s : e.steps) {
            check_told(s, told);
            for (const Line& l : s.lines)
                if (l.expression && s.gradient >= 0) {
                    check_line(l);
                    ++evaluated;
                }
        }
        for (std::size_t k = 0; k < plan.gradients.size(); ++k)
            CHECK(told.count({plan.gradients[k].stage, static_cast<Index>(k)}) == 1);

        Plan again = test::plan_of(document);
        const std::vector<PlannedStage>& all = again.gradients;
        Index k = 0;
        while (k + 1 < static_cast<Index>(all.size()) && all[idx(k)].of != StageOf::parameter) ++k;
        const Cell cell{all[idx(k)].stage, 0, 0, 0, 0, 0, k};
        const Explanation one = explain::explain_cell(again, cell, {0, Level::full});
        REQUIRE(!one.steps.empty());
        CHECK(one.steps.front().gradient == k);
        check_whole(one);
    }
    CHECK(evaluated > 1'000);
}

TEST_CASE("steps: names of gradients' cells") {
    const Plan plan = test::plan_of(with_gradient(test::read_file(ATTN_DATA "/examples/multi_head.json")));
    const Cell scores = explain::cell_named(plan, "d_scores[1,0]", 1, 1);
    CHECK(plan.gradients[idx(scores.gradient)].name == "d_scores");
    CHECK(scores == Cell{Stage::scores, 1, 1, 1, 0, 0, scores.gradient});
    CHECK(explain::cell_named(plan, "d_scores[0,1,5,4]", 1, 0) ==
          Cell{Stage::scores, 0, 1, 5, 4, 0, scores.gradient});
    const Cell weight = explain::cell_named(plan, "d_W_query.weight[1,2]", 1, 1);
    CHECK(weight == Cell{Stage::queries, 0, 0, 1, 2, 0, weight.gradient});
    for (const char* text :
         {"d_W_query.weight[0,1,2]", "d_W_query.weight[9,0]", "d_lse[0]", "d_scores[6,0]"}) {
        CAPTURE(std::string(text));
        CHECK_THROWS_AS(explain::cell_named(plan, text, 0, 0), Error);
    }
}

TEST_CASE("steps: a long sum is shortened, and still adds up") {
    std::string row = "[0.5";
    for (int k = 1; k < 40; ++k) row += ", " + std::to_string(0.01 * k);
    row += "]";
    const std::string document = R"({"embeddings": [)" + row + ", " + row + "]}";
    Plan plan = test::plan_of(document);
    const Explanation e = explain::explain_row(plan, 1, {});
    const Line* score = line_of(e, Cell{Stage::scores, 0, 0, 1, 0, 0});
    REQUIRE(score);
    const std::vector<Expr>& parts = score->expression->parts;
    REQUIRE(parts.size() == 6);
    CHECK(parts[3].more == 35);
    CHECK(agrees(*score));
    Plan whole = test::plan_of(document);
    const Explanation full = explain::explain_row(whole, 1, {0, Level::full});
    CHECK(line_of(full, Cell{Stage::scores, 0, 0, 1, 0, 0})->expression->parts.size() == 40);
}

TEST_CASE("steps: names of cells") {
    const Plan plan = test::plan_of(test::read_file(ATTN_DATA "/examples/multi_head.json"));
    CHECK(explain::cell_named(plan, "weights[1,0]", 1, 1) == Cell{Stage::weights, 1, 1, 1, 0, 0});
    CHECK(explain::cell_named(plan, "weights[0,1,5,4]", 1, 0) == Cell{Stage::weights, 0, 1, 5, 4, 0});
    CHECK(explain::cell_named(plan, "output[3,1]", 1, 1) == Cell{Stage::output, 1, 0, 3, 1, 0});
    for (const char* text :
         {"weights", "weights[", "weights[]", "weights[1]", "weights[1,0", "weights[1,6]", "weights[6,0]",
          "weights[2,0,0,0]", "weights[0,2,0,0]", "weights[1,0]x", "weight[1,0]", "scaled[0,0]",
          "latent[0,0]", "weights[-1,0]", "weights[1;0]", "weights[1,,0]", "weights[1,0]]", ""}) {
        CAPTURE(std::string(text));
        try {
            explain::cell_named(plan, text, 0, 0);
            FAIL_CHECK("accepted");
        } catch (const Error& error) {
            CHECK(error.code == Exit::usage);
        }
    }
}

}  // namespace
