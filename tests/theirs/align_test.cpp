// Somebody's axes in our order.
#include "lib/theirs/align.hpp"

#include <doctest/doctest.h>

using namespace attn;

namespace {

/// batch 2, heads 3, rows 4, columns 5: each number says its place.
WholeStage ours_of(Stage stage, Index heads = 3) {
    WholeStage out{stage, {2, heads, 4, 5}, {}, {}};
    for (Index b = 0; b < 2; ++b)
        for (Index h = 0; h < heads; ++h)
            for (Index r = 0; r < 4; ++r)
                for (Index c = 0; c < 5; ++c)
                    out.values.push_back(static_cast<double>(1000 * b + 100 * h + 10 * r + c));
    return out;
}

/// The same numbers with axes in another order; `order`: of batch, head, row, column.
GivenArray given(const WholeStage& ours, const std::vector<std::size_t>& order, Shape shape) {
    GivenArray out;
    out.shape = std::move(shape);
    std::vector<Index> at(4, 0);
    const auto fill = [&](auto& self, std::size_t k) -> void {
        if (k == 4) {
            const Index place =
                ((at[0] * ours.shape[1] + at[1]) * ours.shape[2] + at[2]) * ours.shape[3] + at[3];
            out.values.push_back(ours.values[static_cast<std::size_t>(place)]);
            return;
        }
        for (Index i = 0; i < ours.shape[order[k]]; ++i) {
            at[order[k]] = i;
            self(self, k + 1);
        }
    };
    fill(fill, 0);
    return out;
}

}  // namespace

TEST_CASE("every order of axes that is known leads to ours") {
    const WholeStage context = ours_of(Stage::context);
    struct Case {
        std::vector<std::size_t> order;
        Shape shape;
        std::string said;
    };
    for (const Case& c : {Case{{0, 1, 2, 3}, {2, 3, 4, 5}, ""},
                          Case{{0, 2, 1, 3}, {2, 4, 3, 5}, "read as [batch, query, head, dim]"},
                          Case{{0, 2, 1, 3}, {2, 4, 15}, "read as [batch, query, head*dim]"},
                          Case{{0, 1, 2, 3}, {6, 4, 5}, "read as [batch*head, query, dim]"},
                          Case{{2, 0, 1, 3}, {4, 2, 3, 5}, "read as [query, batch, head, dim]"},
                          Case{{0, 1, 3, 2}, {2, 3, 5, 4}, "read as [batch, head, dim, query]"}}) {
        CAPTURE(c.said);
        const auto aligned = align(given(context, c.order, c.shape), context, 3, Layout::unknown);
        REQUIRE(aligned);
        CHECK(aligned->stage.values == context.values);
        CHECK(aligned->stage.shape == context.shape);
        CHECK(aligned->said == c.said);
    }
    CHECK_FALSE(align(given(context, {0, 1, 2, 3}, {3, 2, 5, 4}), context, 3, Layout::unknown));
    CHECK_FALSE(fits(given(context, {0, 1, 2, 3}, {120}), context, 3, Layout::unknown));
}

TEST_CASE("digits go with their numbers") {
    const WholeStage context = ours_of(Stage::context);
    GivenArray theirs = given(context, {0, 2, 1, 3}, {2, 4, 3, 5});
    for (const double x : theirs.values) theirs.half_unit.push_back(static_cast<float>(x));
    const auto aligned = align(std::move(theirs), context, 3, Layout::unknown);
    REQUIRE(aligned);
    for (std::size_t k = 0; k < context.values.size(); ++k)
        CHECK(static_cast<double>(aligned->stage.half_unit[k]) == context.values[k]);
}

TEST_CASE("as many tokens as heads: ours is taken, the other order is said, --layout decides") {
    WholeStage square{Stage::context, {1, 2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7}, {}};
    GivenArray theirs = given(square, {0, 2, 1, 3}, {1, 2, 2, 2});
    const auto aligned = align(theirs, square, 2, Layout::unknown);
    REQUIRE(aligned);
    CHECK(aligned->stage.values == theirs.values);
    CHECK_FALSE(aligned->other.empty());
    CHECK(align(theirs, square, 2, Layout::tokens_first)->stage.values == square.values);
}

TEST_CASE("a stage of a trace is whole again, squeezed or not") {
    GivenArray array;
    array.shape = {4, 5};
    array.axes = {"query", "key"};
    array.values.assign(20, 1);
    CHECK(own_stage(array, Stage::weights)->shape == Shape{1, 1, 4, 5});
    array.axes = {"head", "key"};
    CHECK(own_stage(array, Stage::weights)->shape == Shape{1, 4, 1, 5});
    array.axes = {};
    CHECK(own_stage(array, Stage::output)->shape == Shape{1, 1, 4, 5});
    CHECK(shape_by_axes(*own_stage(array, Stage::output)) == Shape{1, 4, 5});
    array.shape = {1, 1, 1, 4, 5};
    CHECK_FALSE(own_stage(array, Stage::weights));
}
