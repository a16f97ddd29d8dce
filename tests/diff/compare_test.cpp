// Comparing stages: which are compared, where they differ, what a part is held against.
#include "lib/diff/compare.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "lib/diff/cut.hpp"

using namespace attn;

namespace {

/// Somebody's arrays as a layer: [rows, columns] each.
struct Given {
    std::vector<GivenArray> arrays;
    Dump dump;
    Layer layer;

    explicit Given(std::vector<std::pair<Stage, std::vector<double>>> stages, Index columns) {
        for (auto& [stage, values] : stages) {
            GivenArray a;
            a.name = info_of(stage).name;
            a.shape = {static_cast<Index>(values.size()) / columns, columns};
            a.values = std::move(values);
            arrays.push_back(std::move(a));
        }
        for (std::size_t k = 0; k < arrays.size(); ++k)
            layer.arrays.push_back({&arrays[k], stages[k].first, Layout::unknown});
        layer.dump = &dump;
    }
};

/// One batch item and head.
Ours ours_of(const std::vector<std::pair<Stage, std::vector<double>>>& stages, Index columns) {
    Ours ours;
    ours.type = Element::float64;
    for (const auto& [stage, values] : stages) {
        ours.stages.push_back(
            {stage, {1, 1, static_cast<Index>(values.size()) / columns, columns}, values, {}});
        ours.order.push_back(stage);
    }
    return ours;
}

const std::vector<double> ones{1, 1, 1, 1};

}  // namespace

TEST_CASE("each stage that is asked for is compared, in whatever order they are named") {
    const Ours ours = ours_of({{Stage::scores, ones}, {Stage::weights, ones}}, 2);
    for (const auto& only :
         {std::vector<std::string>{"scores", "weights"}, {"weights", "scores"}, {"weights"}}) {
        Given theirs({{Stage::scores, ones}, {Stage::weights, {1, 1, 1, 1.5}}}, 2);
        CompareOptions options;
        options.only = only;
        const Comparison c = compare(theirs.layer, ours, options);
        CHECK_FALSE(c.equal());
        CHECK(c.stages.size() == only.size());
        REQUIRE(c.first);
        CHECK(c.stages[*c.first].stage == Stage::weights);
    }
    Given theirs({{Stage::scores, ones}, {Stage::weights, {1, 1, 1, 1.5}}}, 2);
    CompareOptions options;
    options.only = {"scores"};
    CHECK(compare(theirs.layer, ours, options).equal());
}

TEST_CASE("the first difference in order and the largest are two places") {
    const Ours ours = ours_of({{Stage::scores, {0, 0, 0, 0, 0, 0, 0, 0, 0}}}, 3);
    Given theirs({{Stage::scores, {0, 0, 0, 0, 1, 0, 0, 3, 2}}}, 3);
    const Comparison c = compare(theirs.layer, ours, {});
    const StageComparison& s = c.stages.at(0);
    CHECK(s.first_at == Shape{0, 0, 1, 1});
    CHECK(s.first_theirs == 1);
    CHECK(s.at == Shape{0, 0, 2, 1});
    CHECK(s.largest == 3);
    CHECK(s.outside == 3);
}

TEST_CASE("a name that stands beside nothing is a difference unless it is ignored") {
    const Ours ours = ours_of({{Stage::scores, ones}}, 2);
    GivenArray foo;
    foo.name = "foo";
    foo.shape = {1};
    foo.values = {1};
    for (const bool ignored : {false, true}) {
        Given theirs({{Stage::scores, ones}}, 2);
        theirs.layer.left_out.push_back({&foo, "foo", "did you mean bar?"});
        CompareOptions options;
        options.ignore_unknown = ignored;
        const Comparison c = compare(theirs.layer, ours, options);
        CHECK(c.equal() == ignored);
        CHECK_FALSE(c.first);
        CHECK(c.not_compared.size() == (ignored ? 0 : 1));
    }
    Ours with_foo = ours;
    with_foo.others.push_back(&foo);
    Given theirs({{Stage::scores, ones}}, 2);
    GivenArray other = foo;
    other.values = {2};
    theirs.layer.left_out.push_back({&other, "foo", ""});
    const Comparison c = compare(theirs.layer, with_foo, {});
    REQUIRE(c.first);
    CHECK(c.stages[*c.first].name == "foo");
}

TEST_CASE("NaN is equal to NaN alone, an infinity to itself") {
    const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
    const Ours ours = ours_of({{Stage::scores, {nan, inf, -inf, 1}}}, 2);
    Given same({{Stage::scores, {nan, inf, -inf, 1}}}, 2);
    CHECK(compare(same.layer, ours, {}).equal());
    Given other({{Stage::scores, {nan, inf, inf, 1}}}, 2);
    const Comparison c = compare(other.layer, ours, {});
    CHECK(c.stages[0].first_at == Shape{0, 0, 1, 0});
    CHECK(std::isinf(c.stages[0].largest));
    CHECK_FALSE(c.stages[0].needed_atol);
}

TEST_CASE("weights without a head axis are the mean of ours") {
    Ours ours;
    ours.type = Element::float64;
    ours.heads = 2;
    ours.order = {Stage::weights};
    ours.stages.push_back({Stage::weights, {1, 2, 2, 2}, {1, 0, 0.5, 0.5, 0, 1, 0.25, 0.75}, {}});
    Given theirs({{Stage::weights, {0.5, 0.5, 0.375, 0.625}}}, 2);
    const Comparison c = compare(theirs.layer, ours, {});
    CHECK(c.equal());
    CHECK(c.stages.at(0).name == "mean_weights");
    Given wrong({{Stage::weights, {0.5, 0.5, 0.375, 0.725}}}, 2);
    CHECK_FALSE(compare(wrong.layer, ours, {}).equal());
}

TEST_CASE("rows, heads and columns that differ are told where they make a pattern") {
    const Shape shape{1, 2, 4, 4};
    std::vector<bool> differs(32);
    for (const std::size_t row : {2, 3})
        for (std::size_t column = 0; column < 4; ++column) differs[16 + row * 4 + column] = true;
    const Where where = where_differs(shape, true, differs);
    const std::vector<std::string> names{"batch", "head", "query", "key"};
    CHECK(where_words(where, shape, names) ==
          std::vector<std::string>{"head 1 alone", "rows 0-1 agree, 2-3 differ"});
    REQUIRE(where.axes.size() == 2);
    CHECK(ranges_of(where.axes[1].indices) == "2:4");
    std::vector<bool> all(32, true);
    CHECK(where_words(where_differs(shape, true, all), shape, names).empty());
    std::vector<bool> one(32);
    one[7] = true;
    CHECK(where_words(where_differs(shape, true, one), shape, names).empty());
    std::vector<bool> future(32);
    for (std::size_t k = 0; k < 32; ++k) future[k] = k % 4 > k / 4 % 4;
    CHECK(where_words(where_differs(shape, true, future), shape, names).back() ==
          "only right of the diagonal");
    CHECK(ranges_of({0, 1, 2, 5, 7, 8}) == "0:3,5,7:9");
}

TEST_CASE("ours is cut as the selection or the cells of theirs say") {
    Ours ours;
    ours.heads = 4;
    ours.order = {Stage::queries, Stage::keys};
    // Cell [head, row] of queries holds 10 head + row; two kv heads.
    WholeStage queries{Stage::queries, {1, 4, 3, 1}, {}, {}}, keys{Stage::keys, {1, 2, 3, 1}, {}, {}};
    for (int h = 0; h < 4; ++h)
        for (int r = 0; r < 3; ++r) queries.values.push_back(10 * h + r);
    for (int h = 0; h < 2; ++h)
        for (int r = 0; r < 3; ++r) keys.values.push_back(10 * h + r);
    const GivenArray plain;
    Dump part;
    part.selection = {{"head", {2, 3}}, {"query", {1}}};
    const auto cut_queries = cut_alike(queries, ours, plain, part);
    REQUIRE(cut_queries);
    CHECK(cut_queries->shape == Shape{1, 2, 1, 1});
    CHECK(cut_queries->values == std::vector<double>{21, 31});
    const auto cut_keys = cut_alike(keys, ours, plain, part);  // heads 2 and 3 read kv head 1
    REQUIRE(cut_keys);
    CHECK(cut_keys->values == std::vector<double>{10, 11, 12});
    ours.axes = {true, false, 0, 4};  // and the heads 2 and 3 read kv heads 0 and 1
    CHECK_FALSE(cut_alike(keys, ours, plain, part));
    Dump columns;  // one cached key: key 2 is the new key 1
    columns.selection = {{"key", {0, 2}}};
    columns.axes = {true, true, 1, 1};
    ours.axes = {};  // ours does not say it, theirs does
    const auto new_key = cut_alike(keys, ours, plain, columns);
    REQUIRE(new_key);
    CHECK(new_key->values == std::vector<double>{1, 11});
    GivenArray cells;
    cells.places = {{{0}, {1, 3}, {0, 2}, {0}}};
    const auto by_cells = cut_alike(queries, ours, cells, {});
    REQUIRE(by_cells);
    CHECK(by_cells->values == std::vector<double>{10, 12, 30, 32});
    cells.places[2] = {0, 3};  // a row that ours does not have
    CHECK_FALSE(cut_alike(queries, ours, cells, {}));
}
