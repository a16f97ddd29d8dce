// What find_causes says of numbers that are no known mistake, or none at all: a test of each kind.
#include <doctest/doctest.h>

#include <cmath>

#include "lib/mistakes/causes.hpp"
#include "lib/replay/replay.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

/// Six tokens in two heads of four: weights of all sizes.
std::string document_of(const std::string& more) {
    return R"({"queries": [[[0.1, -0.7, 0.3, 0.9], [1.2, 0.4, -0.5, 0.2], [-0.3, 0.8, 1.1, -1.4], [0.6, 0.5, -0.2, 1.3],
                            [-0.9, 0.7, 0.4, -0.1], [0.2, -1.5, 0.6, 0.3]],
                           [[0.5, 0.9, -0.4, 0.1], [-0.8, 1.4, 0.3, 0.6], [1.1, -0.2, 0.7, -0.6], [0.4, 0.3, -1.2, 0.8],
                            [0.7, -0.5, 0.2, 1.5], [-1.3, 0.1, 0.9, -0.7]]],
               "keys": [[[0.8, 0.2, -0.6, 0.4], [-0.5, 1.1, 0.7, -0.3], [0.3, -0.9, 1.4, 0.6], [1.3, 0.5, -0.1, -0.8],
                         [-0.2, 0.6, 0.9, 1.2], [0.4, -1.3, 0.1, 0.7]],
                        [[-0.7, 0.3, 1.2, 0.5], [0.9, -0.4, 0.6, 1.1], [-1.2, 0.8, -0.3, 0.2], [0.1, 1.5, 0.4, -0.9],
                         [0.6, -0.1, -0.8, 0.3], [1.4, 0.7, 0.2, -0.5]]],
               "values": [[[1, 0, 2, -1], [0.5, 3, -2, 1], [-1, 2, 0.5, 4], [2, -3, 1, 0], [0, 1, 1.5, -2], [3, 0.5, -1, 2]],
                          [[0, 2, -1, 1], [4, 1, 0.5, -2], [1.5, -1, 3, 0], [-2, 0, 1, 2], [1, 1, -3, 0.5], [0.5, 4, 2, -1]]])" +
           more + "}";
}

struct Numbers {
    Plan plan;
    Replay replay;
    HeldStages ours;

    explicit Numbers(const std::string& more)
        : plan(plan_of(document_of(more))), replay(plan), ours(replay.run(replay.none(), {}, {})) {}

    WholeStage stage(Stage s) const {
        const Held& x = ours[s];
        return {s, {x->shape.begin(), x->shape.end()}, x->values, {}};
    }
    CauseReport ask(const StageSet& theirs) const {
        return find_causes(plan, theirs, default_tolerance(Element::float32));
    }
};

/// As printed with so many digits after the point.
void print(WholeStage& s, int digits) {
    const double unit = std::pow(10.0, -digits);
    for (double& x : s.values) x = std::nearbyint(x / unit) * unit;
    s.half_unit.assign(s.values.size(), static_cast<float>(unit / 2));
}

bool says(const CauseReport& r, const std::string& words) {
    for (const std::string& f : r.findings)
        if (f.find(words) != std::string::npos) return true;
    return false;
}

std::string all_of(const CauseReport& r) {
    std::string out;
    for (const Cause& c : r.causes) out += c.id + (c.with.empty() ? "" : " with " + c.with[0]) + "; ";
    for (const std::string& f : r.findings) out += "\n" + f;
    return out;
}

}  // namespace

TEST_CASE("verdicts: a mistyped number is named, and is no rounding") {
    const Numbers n("");
    struct Slip {
        Stage stage;
        std::size_t at;
        double off;
    };
    for (const Slip& slip :
         {Slip{Stage::weights, 9, 0.09}, {Stage::scores, 20, -0.18}, {Stage::context, 5, 0.27}}) {
        for (const int digits : {1, 2, 3}) {
            CAPTURE(digits);
            CAPTURE(slip.at);
            WholeStage s = n.stage(slip.stage);
            print(s, digits);
            s.values[slip.at] += slip.off + std::copysign(digits == 1 ? 1 : 0, slip.off);
            const CauseReport r = n.ask({s});
            CAPTURE(all_of(r));
            CHECK(r.causes.empty());
            CHECK(says(r, " 1 of "));
            CHECK(!says(r, "16"));
            CHECK(!says(r, "bf16 leaves"));
        }
    }
}

TEST_CASE("verdicts: what a hand does to a number is told") {
    const Numbers n("");
    WholeStage s = n.stage(Stage::weights);
    print(s, 2);
    const auto place = [&](auto&& fits) {
        for (std::size_t k = 0; k < s.values.size(); ++k)
            if (fits(static_cast<int>(std::lround(100 * s.values[k])))) return k;
        FAIL("no such number");
        return std::size_t{0};
    };
    const std::size_t two = place([](int x) { return x / 10 > 0 && x % 10 > 0 && x / 10 != x % 10; });
    const int right = static_cast<int>(std::lround(100 * s.values[two]));
    const auto with = [&](double value) {
        StageSet theirs{s};
        theirs[0].values[two] = value;
        return n.ask(theirs);
    };
    CHECK(says(with((right % 10 * 10 + right / 10) / 100.0), "two digits are exchanged"));
    CHECK(says(with(-right / 100.0), "the sign"));
    CHECK(says(with((right / 10 * 10 + (right % 10 + 4) % 10) / 100.0), "one digit"));
    CHECK(says(with(right / 100.0 * 10), "the decimal point"));
}

TEST_CASE("verdicts: many numbers held in 16 bits are rounding, of both signs only") {
    const Numbers n("");
    WholeStage s = n.stage(Stage::context);
    for (double& x : s.values) x = Rounding(DType::bfloat16)(x);
    // The contexts themselves rounded: no known mistake, but told.
    const CauseReport r = n.ask({s});
    CAPTURE(all_of(r));
    CHECK((says(r, "bf16 leaves") || (r.causes.size() == 1 && r.causes[0].id == "rounded:bf16")));
    WholeStage up = n.stage(Stage::context);
    for (double& x : up.values) x += std::abs(x) * 0x1p-9;
    const CauseReport other = n.ask({up});
    CAPTURE(all_of(other));
    CHECK(!says(other, "16"));
    CHECK((other.causes.empty() || !other.causes[0].id.starts_with("rounded")));
}

TEST_CASE("verdicts: from numbers of which none is finite no cause is named") {
    for (const std::string more : {"", R"(, "causal": true)", R"(, "key_lengths": [2])"}) {
        const Numbers n(more);
        for (const double bad : {std::nan(""), static_cast<double>(INFINITY)}) {
            for (const Stage stage : {Stage::context, Stage::weights, Stage::concat}) {
                WholeStage s = n.stage(stage);
                std::fill(s.values.begin(), s.values.end(), bad);
                const CauseReport r = n.ask({s});
                CAPTURE(all_of(r));
                CHECK(r.causes.empty());
                CHECK(says(r, "no number is finite"));
            }
        }
    }
}

TEST_CASE("verdicts: a scale in the queries or the keys is not a mistake where the weights are the same") {
    const Numbers n(R"(, "causal": true)");
    const double half = 0.5;  // 1/√4
    const auto times = [&](Stage s, double by) {
        WholeStage out = n.stage(s);
        for (double& x : out.values) x *= by;
        return out;
    };
    const std::vector<StageSet> harmless{
        {times(Stage::queries, half), n.stage(Stage::keys), n.stage(Stage::weights), n.stage(Stage::concat)},
        {times(Stage::queries, half), n.stage(Stage::weights)},
        {times(Stage::queries, half), times(Stage::scores, half), n.stage(Stage::scaled_scores),
         n.stage(Stage::weights)},
        {times(Stage::queries, half), times(Stage::scores, half), n.stage(Stage::concat)},
        {times(Stage::keys, half), n.stage(Stage::concat)},
        {times(Stage::queries, std::sqrt(half)), times(Stage::keys, std::sqrt(half)),
         n.stage(Stage::weights)},
        {times(Stage::scores, half), n.stage(Stage::weights)},
    };
    for (const StageSet& theirs : harmless) {
        CAPTURE(theirs.size());
        const CauseReport r = n.ask(theirs);
        CAPTURE(all_of(r));
        CHECK(r.causes.empty());
        CHECK(says(r, "not a mistake"));
    }
    // The scale missing in fact, and one that is too much.
    CHECK(n.ask({times(Stage::queries, 1), times(Stage::scaled_scores, 2)}).causes.at(0).id == "no_scale");
    const CauseReport wrong = n.ask({times(Stage::queries, 3), n.stage(Stage::weights)});
    CAPTURE(all_of(wrong));
    CHECK(!says(wrong, "not a mistake"));
}

TEST_CASE("verdicts: what stands in hidden cells is not a mistake where the weights are the same") {
    for (const std::string mask :
         {R"(, "causal": true)", R"(, "key_lengths": [4])", R"(, "window": {"left": 1, "right": 1})"}) {
        const Numbers n(mask);
        for (const double fill : {-1e9, -1e4, -65504.0, 0.0, 1.0}) {
            for (const Stage stage : {Stage::masked_scores, Stage::scores}) {
                WholeStage s = n.stage(stage);
                const auto& hidden = n.ours[Stage::masked_scores]->values;
                for (std::size_t k = 0; k < s.values.size(); ++k)
                    if (std::isinf(hidden[k])) s.values[k] = fill;
                const CauseReport r = n.ask({s, n.stage(Stage::weights)});
                CAPTURE(mask);
                CAPTURE(fill);
                CAPTURE(all_of(r));
                CHECK(r.causes.empty());
                CHECK(says(r, "not a mistake: hidden cells hold"));
                // With weights that show it, it is one.
                if (fill != 0 || stage != Stage::masked_scores) continue;
                Deviation d = n.replay.none();
                d.quirks.fill = 0;
                const HeldStages made = n.replay.run(d, {}, {});
                const Held& w = made[Stage::weights];
                const CauseReport bad =
                    n.ask({s, {Stage::weights, {w->shape.begin(), w->shape.end()}, w->values, {}}});
                REQUIRE(bad.causes.size() == 1);
                CHECK(bad.causes[0].id == "mask_fill_zero");
            }
        }
    }
}

TEST_CASE("verdicts: a mistake is not named for a stage that is right, because of one before it") {
    const Numbers n(R"(, "causal": true)");
    // The mask is printed without -inf, and the weights are right: no mask is missing.
    WholeStage s = n.stage(Stage::masked_scores);
    s.values = n.stage(Stage::scaled_scores).values;
    CHECK(n.ask({s, n.stage(Stage::weights), n.stage(Stage::concat)}).causes.empty());
}

TEST_CASE("verdicts: a transposed mask is told in the words of the mask") {
    const auto hint = [](const std::string& mask, const MaskPart& part) {
        const Numbers n(mask);
        Deviation d = n.replay.none();
        d.quirks.mask_transposed = part;
        d.plan.empty_rows = EmptyRows::uniform;
        const Held w = n.replay.run(d, {}, {})[Stage::weights];
        const CauseReport r = n.ask({{Stage::weights, {w->shape.begin(), w->shape.end()}, w->values, {}}});
        REQUIRE(r.causes.size() == 1);
        CHECK(r.causes[0].id == "mask_transposed");
        return r.causes[0].hint;
    };
    using Kind = MaskPart::Kind;
    for (const std::string padding :
         {R"(, "key_lengths": [4])", R"(, "mask": {"drop": [[false, true, false, false, false, true]]})"}) {
        const std::string said = hint(padding, {Kind::all});
        CHECK(said.find("rows of queries") != std::string::npos);
        CHECK(said.find("triangle") == std::string::npos);
        CHECK(said.find("tril") == std::string::npos);
    }
    CHECK(hint(R"(, "causal": true)", {Kind::all}).find("tril") != std::string::npos);
    const std::string one = hint(R"(, "causal": true, "key_lengths": [4])", {Kind::key_lengths});
    CHECK(one.find("rows of queries") != std::string::npos);
    CHECK(one.find("tril") == std::string::npos);
}

}  // namespace attn::test
