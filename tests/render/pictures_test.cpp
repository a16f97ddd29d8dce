// Pictures as data: colours, scales, what is put into a picture and what becomes of long axes.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "lib/render/escape.hpp"
#include "lib/render/pictures/picture.hpp"
#include "lib/render/pictures/ramp.hpp"
#include "lib/render/pictures/screen.hpp"
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

/// What `view` writes on a terminal.
std::string on_screen(const std::string& document, const RenderOptions& options,
                      std::vector<std::string> stages = {}) {
    Request request;
    request.stages = std::move(stages);
    request.for_pictures = true;
    const Plan plan = plan_of(document, request);
    Text out;
    run(plan, *make_picture_sink(make_screen_writer(out, options), options));
    return out.text;
}

std::vector<std::string> lines_of_screen(const std::string& text) {
    static const std::regex colours("\x1b\\[[0-9;]*m");
    const std::string plain = std::regex_replace(text, colours, "");
    std::vector<std::string> lines;
    for (std::size_t from = 0; from < plain.size();) {
        const std::size_t end = plain.find('\n', from);
        lines.push_back(plain.substr(from, end - from));
        from = end + 1;
    }
    return lines;
}

/// Given queries and keys, heads x tokens x 2, that differ everywhere.
std::string many(int heads, int tokens, const std::string& more = "") {
    const auto tensor = [&](double step) {
        std::string out = "[";
        for (int h = 0; h < heads; ++h) {
            out += h == 0 ? "[" : ",[";
            for (int i = 0; i < tokens; ++i)
                out += (i == 0 ? "[" : ",[") + fixed(3 * std::sin(step * (h + 1) * (i + 1)), 4) + "," +
                       fixed(2 * std::cos(step * (i + 3)), 4) + "]";
            out += "]";
        }
        return out + "]";
    };
    return R"({"queries":)" + tensor(0.7) + R"(,"keys":)" + tensor(1.3) + R"(,"values":)" + tensor(0.4) +
           more + "}";
}

constexpr const char* two_causal = R"({"tokens":["a","b"],"embeddings":[[1,0],[0.5,2]],"causal":true})";

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

TEST_CASE("screen: shades, numbers, hidden cells, the legend") {
    RenderOptions o;
    o.width = 60;
    CHECK(on_screen(two_causal, o)
              .ends_with("\n\nweights = softmax(masked_scores)  rows queries, columns keys\n"
                         "       a      b\n"
                         "a █1.000 ╱╱╱╱╱╱\n"
                         "b  0.023 █0.977\n"
                         "0  ░▒▓█ 1   numbers 0.02298 to 1   ╱ hidden\n"));
    o.sums = true;
    // -0.022977 ln 0.022977 - 0.977023 ln 0.977023 = 0.10941
    CHECK(on_screen(two_causal, o).find("b  0.023 █0.977      1.000   0.109\n") != std::string::npos);
    o.precision = 1;
    o.precision_asked = true;
    CHECK(on_screen(two_causal, o).find("b  0.0 █1.0 ") != std::string::npos);
}

TEST_CASE("screen: ASCII is ASCII, and no shade looks like a sign") {
    RenderOptions o;
    o.ascii = true;
    const std::string text = on_screen(two_causal, o);
    CHECK(std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
    CHECK(text.find("a  1.000 //////\nb  0.023  0.977\n0 to 1   ") != std::string::npos);
    CHECK(text.ends_with("/ hidden\n"));
}

TEST_CASE("screen: in each cell the number that its ground means, on both grounds") {
    static const std::regex cells("48;2;(\\d+);(\\d+);(\\d+)m([^\x1b]*)");
    for (const char* stage : {"weights", "scores"})
        for (const bool dark : {true, false}) {
            RenderOptions o;
            o.colours = Colours::full;
            o.dark = dark;
            const std::string document = many(1, 5);
            const std::string text = on_screen(document, o, {stage});
            const Picture picture = pictures_of(document, {stage}).front();
            int seen = 0;
            for (std::sregex_iterator it(text.begin(), text.end(), cells), end; it != end; ++it) {
                const auto channel = [&](std::size_t k) {
                    return static_cast<std::uint8_t>(std::stoi((*it)[k]));
                };
                const Rgb ground{channel(1), channel(2), channel(3)};
                std::istringstream numbers((*it)[4]);
                for (double x = 0; numbers >> x; ++seen) {
                    const double place =
                        place_of(picture.scale.ramp, ground, dark ? Ground::dark : Ground::light);
                    CHECK(std::abs(place - picture.scale.place(x)) < 0.005);
                }
            }
            CHECK(seen == 25);
        }
}

TEST_CASE("screen: 12 heads of 32 x 32 on 80 x 64, half a character for a row") {
    RenderOptions o;
    o.colours = Colours::full;
    const std::string text = on_screen(many(12, 32, R"(,"causal":true)"), o);
    const std::vector<std::string> lines = lines_of_screen(text);
    CHECK(lines.size() <= 64);
    for (const std::string& line : lines) CHECK(display_width(line) <= 80);
    CHECK(text.find("head 11") != std::string::npos);
    CHECK(text.find("▀") != std::string::npos);
    CHECK(text.find("cells are drawn as one: their mean, but the largest") != std::string::npos);
}

TEST_CASE("screen: nothing is wider than asked, whatever the size, the colours and the stage") {
    for (const int tokens : {1, 3, 9, 33, 130})
        for (const int heads : {1, 3, 17})
            for (const int width : {26, 80, 200})  // a heading's longest word has 24
                for (const Colours colours :
                     {Colours::none, Colours::sixteen, Colours::many, Colours::full}) {
                    RenderOptions o;
                    o.colours = colours;
                    o.width = width;
                    o.sums = tokens == 9 && width > 26;
                    for (const std::string& line : lines_of_screen(
                             on_screen(many(heads, tokens), o, {"queries", "scores", "weights"}))) {
                        CAPTURE(line);
                        CHECK(display_width(line) <= width);
                    }
                }
}

TEST_CASE("screen: wide characters line up, tokens do not act") {
    RenderOptions o;
    const std::vector<std::string> lines = lines_of_screen(on_screen(
        R"({"tokens":["日本語","e\u0301","\u001b[31m","\ud83d\ude00"],"embeddings":[[1],[2],[-1],[0]]})", o));
    REQUIRE(lines.size() == 9);
    for (std::size_t k = 4; k < 8; ++k) CHECK(display_width(lines[k]) == display_width(lines[4]));
    CHECK(lines[6].find("\\x1b[31m") == 0);
}

TEST_CASE("screen: numbers that are not finite are shown and counted, an empty row is no number") {
    RenderOptions o;
    const std::string rows =
        R"({"embeddings":[[1],[2]],"mask":{"keep":[[true,true],[false,false]]},"empty_rows":)";
    const std::string text = on_screen(rows + R"("nan"})", o);
    CHECK(text.find("1    NaN    NaN\n") != std::string::npos);
    CHECK(text.find("not finite: 2\n") != std::string::npos);
    CHECK(on_screen(rows + R"("zero"})", o).find("1 ╱╱╱╱╱╱ ╱╱╱╱╱╱\n") != std::string::npos);
}

TEST_CASE("terminal: how many colours, and which ground") {
    CHECK(colours_of("xterm", "truecolor") == Colours::full);
    CHECK(colours_of("xterm-direct", "") == Colours::full);
    CHECK(colours_of("screen-256color", "") == Colours::many);
    CHECK(colours_of("linux", "") == Colours::sixteen);
    CHECK(has_dark_ground(""));
    CHECK(has_dark_ground("15;0"));
    CHECK(has_dark_ground("12;default;8"));
    CHECK(!has_dark_ground("0;15"));
    CHECK(!has_dark_ground("0;default;7"));
    CHECK(xterm_colour(255, 0, 0) == 196);
    CHECK(xterm_colour(9, 8, 8) == 232);
    CHECK(xterm_colour(0, 95, 135) == 24);
}

TEST_CASE("escapes: text in XML is text") {
    CHECK(xml_text("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
    CHECK(xml_text("Ünï\xEF\xBF\xBF") == "Ünï\\uffff");
    CHECK(xml_in_ascii("<t>ü𝄞</t>") == "<t>&#xFC;&#x1D11E;</t>");
}

}  // namespace attn::test
