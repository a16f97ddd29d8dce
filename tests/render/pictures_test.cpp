// Pictures as data: colours, scales, what is put into a picture and what becomes of long axes.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lib/render/escape.hpp"
#include "lib/render/pictures/picture.hpp"
#include "lib/render/pictures/ramp.hpp"
#include "lib/render/render.hpp"
#include "lib/text.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN(),
                 infinite = std::numeric_limits<double>::infinity();
constexpr std::array ramps{Ramp::sequential, Ramp::diverging};
constexpr std::array grounds{Ground::light, Ground::dark};

/// Keeps the pictures of a run.
struct Keeper : PictureWriter {
    Keeper(std::vector<Picture>& pictures, PictureSize size) : pictures_(pictures), size_(size) {}
    PictureSize most(const Picture&, Index) const override { return size_; }
    void draw(Picture picture) override { pictures_.push_back(std::move(picture)); }
    std::vector<Picture>& pictures_;
    PictureSize size_;
};

std::vector<Picture> pictures_of(const std::string& document, std::vector<std::string> stages,
                                 PictureSize size = {}, const RenderOptions& options = {}) {
    Request request;
    request.stages = std::move(stages);
    const Plan plan = plan_of(document, request);
    std::vector<Picture> pictures;
    run(plan, *make_picture_sink(std::make_unique<Keeper>(pictures, size), options));
    return pictures;
}

/// A bare picture of one matrix.
Picture matrix(const std::vector<std::vector<double>>& rows, PictureSize size, bool weights,
               const std::vector<std::vector<std::uint8_t>>& hidden = {}) {
    Picture picture;
    picture.weights = weights;
    picture.rows.numbers = counted(static_cast<Index>(rows.size()));
    picture.columns.numbers = counted(static_cast<Index>(rows[0].size()));
    picture.rows.each = (picture.rows.whole() + size.rows - 1) / size.rows;
    picture.columns.each = (picture.columns.whole() + size.columns - 1) / size.columns;
    PictureFiller filler(picture, DType::float64, 1, true);
    filler.begin_panel({});
    for (std::size_t i = 0; i < rows.size(); ++i)
        filler.add_row(rows[i].data(), hidden.empty() ? nullptr : hidden[i].data());
    filler.finish();
    return picture;
}

}  // namespace

TEST_CASE("ramps: from light to dark on a light ground, from dark to light on a dark one, also in grey") {
    for (const Ramp ramp : ramps)
        for (const Ground ground : grounds) {
            const double sign = ground == Ground::light ? -1 : 1;
            for (int k = 0; k < 100; ++k) {
                CAPTURE(k);
                CHECK(sign * (luminance(colour_at(ramp, (k + 1) / 100.0, ground)) -
                              luminance(colour_at(ramp, k / 100.0, ground))) >
                      0);
            }
            const double first = luminance(colour_at(ramp, 0, ground)),
                         last = luminance(colour_at(ramp, 1, ground));
            // Ends that are told apart as text is from its ground: a contrast of 4.5 (WCAG 2.1).
            CHECK((std::max(first, last) + 0.05) / (std::min(first, last) + 0.05) > 4.5);
        }
}

TEST_CASE("ramps: a colour gives its number back") {
    for (const Ramp ramp : ramps)
        for (const Ground ground : grounds)
            for (int k = 0; k <= 200; ++k) {
                CAPTURE(k);
                CHECK(std::abs(place_of(ramp, colour_at(ramp, k / 200.0, ground), ground) - k / 200.0) <
                      0.004);
            }
    const Scale scale{Ramp::diverging, -3, 3};
    CHECK(scale.number(place_of(scale.ramp, scale.colour(-1.25))) == doctest::Approx(-1.25).epsilon(0.02));
}

TEST_CASE("ramps: 0 of a diverging one is grey, its ends are blue and orange") {
    for (const Ground ground : grounds) {
        const Rgb zero = colour_at(Ramp::diverging, 0.5, ground), low = colour_at(Ramp::diverging, 0, ground),
                  high = colour_at(Ramp::diverging, 1, ground);
        CHECK(zero.red == zero.green);
        CHECK(zero.green == zero.blue);
        CHECK(low.blue > low.red);
        CHECK(high.red > high.blue);
    }
}

TEST_CASE("ramps: text on each colour has a contrast of 4.5 at least") {
    for (const Ramp ramp : ramps)
        for (const Ground ground : grounds)
            for (int k = 0; k <= 100; ++k) {
                const Rgb c = colour_at(ramp, k / 100.0, ground);
                const double y = luminance(c) + 0.05;
                CHECK((wants_white_ink(c) ? 1.05 / y : y / 0.05) >= 4.5);
            }
    CHECK(hex({1, 171, 255}) == "#01abff");
}

TEST_CASE("scales: weights from 0 to 1 whatever is there, others symmetric around 0") {
    const Scale near = scale_of(true, {0.32, 0.34});
    CHECK(near.ramp == Ramp::sequential);
    CHECK(near.low == 0);
    CHECK(near.high == 1);
    CHECK(scale_of(true, {0, 1 + 1e-6}).high == 1);
    CHECK(scale_of(true, {0, 2}).high == 2);  // dropout's factor
    CHECK(scale_of(true, {-0.5, 0.25}).ramp == Ramp::diverging);
    CHECK(scale_of(true, {-0.5, 0.25}).low == -1);
    const Scale scores = scale_of(false, {-0.25, 4});
    CHECK(scores.ramp == Ramp::diverging);
    CHECK(scores.low == -4);
    CHECK(scores.high == 4);
    CHECK(scale_of(false, {}).high == 1);
    CHECK(scale_of(false, {0, 0}).high == 1);
    CHECK(scores.place(0) == 0.5);
    CHECK(scores.place(99) == 1);
    CHECK(near.place(-1) == 0);
}

TEST_CASE("pictures: a stage of a run, its heads, axes, labels and mask") {
    const std::vector<Picture> all = pictures_of(
        R"({"tokens":["a","b","c"],"embeddings":[[1,0,0,2],[0,2,1,0],[1,1,3,1]],"num_heads":2,"causal":true,
            "variant":"multi_head","weights":{"init":"torch.nn.Linear","seed":1,"d_out":4}})",
        {"keys", "masked_scores", "weights"});
    REQUIRE(all.size() == 3);
    CHECK(all[0].name == "keys");
    CHECK(all[0].rows.name == "keys");
    CHECK(all[0].columns.name == "dim");
    CHECK(all[0].columns.label(1) == "1");
    CHECK(all[0].hidden.empty());
    const Picture& p = all[2];
    CHECK(p.formula == "softmax(masked_scores)");
    CHECK(p.weights);
    CHECK(p.rows.name == "queries");
    CHECK(p.columns.name == "keys");
    CHECK(p.columns.label(2) == "c");
    REQUIRE(p.panels.size() == 2);
    CHECK(p.panels[1].title == "head 1");
    CHECK(p.single.size() == 18);
    for (std::size_t h = 0; h < 2; ++h)
        for (Index i = 0; i < 3; ++i)
            for (Index j = 0; j < 3; ++j) CHECK(p.is_hidden(p.place(h, i, j)) == (j > i));
    // -inf of hidden cells has no part in a scale.
    CHECK(std::isfinite(all[1].scale.high));
    CHECK(all[1].not_finite == 0);
}

TEST_CASE("pictures: without tokens numbers, of a selection the original ones") {
    Request request;
    request.stages = {"scores"};
    request.rows = "1";
    request.cols = "0,2";
    const Plan plan = plan_of(R"({"embeddings":[[1,0],[0,2],[1,1]]})", request);
    std::vector<Picture> pictures;
    run(plan, *make_picture_sink(std::make_unique<Keeper>(pictures, PictureSize{}), {}));
    REQUIRE(pictures.size() == 1);
    CHECK(pictures[0].rows.labels.empty());
    CHECK(pictures[0].rows.label(0) == "1");
    CHECK(pictures[0].columns.label(1) == "2");
    CHECK(pictures[0].panels[0].title.empty());
}

TEST_CASE("pictures: long axes become means, the largest of each row of cells stays") {
    const std::vector<std::vector<double>> rows{
        {0, 0.2, 0.1, 0.1, 0}, {0.1, 0.9, 0, 0, 0}, {0, 0, 0, 0, 0.5}};
    const Picture p = matrix(rows, {2, 3}, true);
    CHECK(p.rows.each == 2);
    CHECK(p.rows.count() == 2);
    CHECK(p.columns.count() == 3);
    REQUIRE(p.wide.size() == 6);
    CHECK(p.wide[0] == 0.9);
    CHECK(p.wide[1] == doctest::Approx(0.05));
    CHECK(p.wide[2] == 0);
    CHECK(p.wide[5] == 0.5);
    CHECK(p.extent.largest == 0.9);
    CHECK(reduction_note(p) ==
          "2 × 2 cells are drawn as one: their mean, but the largest of each 2 rows as it is");
    const Picture scores = matrix({{-9, 1, 2, 2}}, {1, 2}, false);
    CHECK(scores.wide == std::vector<double>{-9, 2});
    CHECK(scores.scale.low == -9);
    CHECK(reduction_note(scores) ==
          "1 × 2 cells are drawn as one: their mean, but the largest magnitude of each row as it is");
    CHECK(reduction_note(matrix(rows, {3, 5}, true)).empty());
}

TEST_CASE("pictures: hidden cells are no part of a mean, a cell of several is hidden where all are") {
    const Picture p = matrix({{0.5, 0, 0.5, 0, 0, 0}, {0.25, 0.25, 0, 0.5, 0, 0}}, {1, 3}, true,
                             {{0, 1, 0, 1, 1, 1}, {0, 0, 1, 0, 1, 1}});
    CHECK(p.extent.largest == 0.5);
    CHECK(p.wide[0] == 0.5);
    CHECK(p.wide[1] == doctest::Approx(0.5));
    CHECK(p.hidden == std::vector<std::uint8_t>{0, 0, 1});
}

TEST_CASE("pictures: a cell that a mask hides and that holds something else is seen") {
    const Picture p = matrix({{0.5, 0.25, nan_value, 0}}, {1, 4}, true, {{0, 1, 1, 1}});
    CHECK(p.hidden == std::vector<std::uint8_t>{0, 0, 0, 1});
    CHECK(p.not_finite == 1);
    // Scores hold their numbers until they are masked.
    const std::vector<Picture> all =
        pictures_of(R"({"embeddings":[[1,2],[0,1]],"causal":true})", {"scores", "masked_scores"});
    CHECK(all[0].hidden.empty());
    CHECK(all[1].hidden == std::vector<std::uint8_t>{0, 1, 0, 0});
    CHECK(all[0].scale.high == 5);
}

TEST_CASE("pictures: numbers that are not finite are counted, kept and no part of a scale") {
    const Picture p = matrix({{1, infinite, -infinite, nan_value, -2}}, {1, 5}, false);
    CHECK(p.not_finite == 3);
    CHECK(p.scale.high == 2);
    CHECK(std::isnan(p.wide[3]));
    const Picture few = matrix({{1, infinite, -infinite, -infinite, nan_value, 3}}, {1, 3}, false);
    CHECK(few.wide[0] == 1);
    CHECK(few.wide[1] == -infinite);
    CHECK(std::isnan(few.wide[2]));
}

TEST_CASE("pictures: sums of rows and their entropy, of all columns") {
    const Picture p = matrix({{0.5, 0.5, 0}, {1, 0, 0}}, {1, 2}, true, {{0, 0, 1}, {0, 0, 0}});
    CHECK(p.sums == std::vector<double>{1, 1});
    CHECK(p.entropies[0] == doctest::Approx(std::log(2.0)));
    CHECK(p.entropies[1] == 0);
}

TEST_CASE("escapes: text in XML is text") {
    CHECK(xml_text("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
    CHECK(xml_text("Ünï\xEF\xBF\xBF") == "Ünï\\uffff");
    CHECK(xml_in_ascii("<t>ü𝄞</t>") == "<t>&#xFC;&#x1D11E;</t>");
}

}  // namespace attn::test
