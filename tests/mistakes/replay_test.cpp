// The evaluator of lib/replay against the runs of lib/run, on every case and example.
#include "lib/replay/replay.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/mistakes/mistakes.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

double worst(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double most = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
        if (a[k] == b[k] || (std::isnan(a[k]) && std::isnan(b[k]))) continue;
        const double d = std::abs(a[k] - b[k]) / (1 + std::abs(b[k]));
        most = std::isnan(d) ? INFINITY : std::max(most, d);
    }
    return most;
}

/// Every planned stage, computed whole and from each stage on.
void check_document(const std::string& document, const std::string& name) {
    CAPTURE(name);
    Request request;
    request.dtype = DType::float64;
    for (const PlannedStage& s : plan_of(document, request).stages) request.stages.emplace_back(s.name);
    const Recorder recorder = record(document, request);
    const Plan plan = plan_of(document, request);
    const Replay replay(plan);
    const HeldStages whole = replay.run(replay.none(), {}, {});
    for (const PlannedStage& s : plan.stages) {
        if (s.stage == Stage::states) continue;
        CAPTURE(s.name);
        REQUIRE(whole[s.stage]);
        CHECK(worst(whole[s.stage]->values, recorder.stages().find(s.name)->second.values) < 1e-9);
        const auto shape = replay.shape_of(s);
        CHECK(whole[s.stage]->shape == shape);
        const HeldStages again = replay.run(replay.none(), replay.before(whole, s.stage), {});
        for (const PlannedStage& t : plan.stages)
            if (again[t.stage] && t.stage != Stage::states)
                CHECK(worst(again[t.stage]->values, whole[t.stage]->values) < 1e-12);
    }
    if (plan.state) return;
    const Slice slice{1, {plan.queries / 2}};
    Deviation one = replay.none();
    one.plan.batch = 1;
    const HeldStages part = replay.run(one, {}, slice);
    for (const PlannedStage& s : plan.stages) {
        if (s.stage < Stage::scores || !part[s.stage]) continue;
        const auto& p = *part[s.stage];
        REQUIRE(p.shape[2] == 1);
        for (Index h = 0; h < p.shape[1]; ++h)
            for (Index j = 0; j < p.shape[3]; ++j) {
                const double a = p.row(0, h, 0)[j], b = whole[s.stage]->row(0, h, plan.queries / 2)[j];
                CHECK((a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) < 1e-9));
            }
    }
}

}  // namespace

TEST_CASE("replay: all stages of every case are those of a run") {
    int count = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::string(ATTN_DATA) + "/cases")) {
        if (entry.path().extension() != ".json") continue;
        const auto test = nlohmann::json::parse(read_file(entry.path().string()));
        check_document(test["input"].dump(), entry.path().string());
        ++count;
    }
    CHECK(count >= 23);
}

TEST_CASE("replay: all stages of every example are those of a run") {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(ATTN_DATA "/examples")) {
        if (!entry.is_regular_file()) continue;
        check_document(read_file(entry.path().string()), entry.path().filename().string());
    }
}

TEST_CASE("replay: any two mistakes can be made together, in either order") {
    for (const auto& entry : std::filesystem::directory_iterator(ATTN_DATA "/examples/models")) {
        const std::string name = entry.path().string();
        CAPTURE(name);
        const Plan plan = plan_of(read_file(name));
        const Replay replay(plan);
        std::vector<Form> forms;
        for (const Mistake& m : catalogue_of(replay).mistakes)
            forms.insert(forms.end(), m.forms.begin(), m.forms.end());
        const Slice slice{1, {plan.queries / 2}};
        std::size_t made = 0;
        for (const Form& first : forms)
            for (const Form& second : forms) {
                if (&first == &second) continue;
                Deviation both = replay.none();
                first.make(both);
                second.make(both);
                both.plan.batch = 1;
                replay.run(both, {}, slice);
                ++made;
            }
        CHECK(made > 100);
    }
}

TEST_CASE("replay: what a deviation changes is what is computed, not what was planned") {
    const std::string head = R"({"queries": [[1, 2], [-1, 1], [0.5, 3], [2, 0]],
        "keys": [[0.5, 1], [1, -2], [2, 1], [0, 1]], "values": [[1, 0], [0, 1], [3, -1], [2, 2]])";
    struct Change {
        std::string with, without;
        std::function<void(Plan&)> make;
    };
    const std::vector<Change> changes{
        {R"("causal": true, "window": {"left": 1})", R"("causal": true)", [](Plan& p) { p.window.reset(); }},
        {R"("causal": true, "window": {"left": 1})", R"("window": {"left": 1})",
         [](Plan& p) { p.causal = false; }},
        {R"("causal": true)", R"("causal": {"offset": 1})", [](Plan& p) { p.offsets[0] = 1; }},
        {R"("causal": true, "chunk": 2)", R"("causal": true)",
         [](Plan& p) { drop(p, {MaskPart::Kind::chunk}); }},
        {R"("causal": true, "prefix_keys": 2)", R"("causal": true)",
         [](Plan& p) { drop(p, {MaskPart::Kind::prefix_keys}); }},
        {R"("causal": true, "token_blocks": [[1, 4]])", R"("causal": true)",
         [](Plan& p) { drop(p, {MaskPart::Kind::token_blocks}); }},
        {R"("key_lengths": [2])", R"("key_lengths": [3])", [](Plan& p) { p.key_lengths = {{3}}; }},
    };
    for (const Change& c : changes) {
        CAPTURE(c.with);
        CAPTURE(c.without);
        const Plan plan = plan_of(head + ", " + c.with + "}"), other = plan_of(head + ", " + c.without + "}");
        const Replay replay(plan), wanted(other);
        Deviation d = replay.none();
        c.make(d.plan);
        const auto made = replay.run(d, {}, {})[Stage::context],
                   right = wanted.run(wanted.none(), {}, {})[Stage::context];
        CHECK(worst(made->values, right->values) == 0);
    }
}

TEST_CASE("replay: no run depends on those before it") {
    for (const auto& entry : std::filesystem::directory_iterator(ATTN_DATA "/examples/models")) {
        const std::string name = entry.path().string();
        CAPTURE(name);
        const Plan plan = plan_of(read_file(name));
        const Replay used(plan);
        used.run(used.none(), {}, {});
        const Stage last =
            plan.stages.back().stage == Stage::states ? Stage::state : plan.stages.back().stage;
        for (const Mistake& m : catalogue_of(used).mistakes) {
            CAPTURE(m.id);
            Deviation d = used.none();
            m.forms.back().make(d);
            const Replay fresh(plan);
            const Held a = used.run(d, {}, {})[last], b = fresh.run(d, {}, {})[last];
            REQUIRE(!a == !b);
            if (a) CHECK(worst(a->values, b->values) == 0);
        }
    }
}

TEST_CASE("replay: numbers of 16 bits") {
    const Rounding bf16(DType::bfloat16), f16(DType::float16);
    CHECK(bf16(1.00390625) == 1.0);  // a tie goes to even
    CHECK(bf16(1.01171875) == 1.015625);
    CHECK(bf16(3.14159265) == 3.140625);
    CHECK(f16(3.14159265) == 3.140625);
    CHECK(f16(0.1) == 0.0999755859375);
    CHECK(f16(5.9604644775390625e-8) == 5.9604644775390625e-8);
    CHECK(f16(2e-8) == 0.0);
    CHECK(std::isinf(f16(65520.0)));
    CHECK(f16(65519.0) == 65504);
}

}  // namespace attn::test
