// The graph of stages: the table of stages, what each planned stage reads, and what has to be computed for
// some of them.
#include "lib/plan/needs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support.hpp"

namespace attn::test {
namespace {

using Json = nlohmann::ordered_json;

/// The plans of all examples and cases.
std::vector<std::pair<std::string, Plan>> plans() {
    std::vector<std::pair<std::string, Plan>> out;
    for (const char* folder : {"examples", "cases"})
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(std::string(ATTN_DATA) + "/" + folder)) {
            if (entry.path().extension() != ".json") continue;
            const std::string text = read_file(entry.path().string());
            const Json json = Json::parse(text);
            out.emplace_back(entry.path().stem().string(),
                             plan_of(json.contains("input") ? json["input"].dump() : text));
        }
    return out;
}

/// The stages that a formula names.
std::set<Stage> named_in(const std::string& formula) {
    std::set<Stage> out;
    std::string word;
    for (const char c : formula + " ") {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') {
            word += c;
            continue;
        }
        if (const auto stage = stage_named(word)) out.insert(*stage);
        word.clear();
    }
    return out;
}

std::vector<std::string> names(const Needs& needs) {
    std::vector<std::string> out;
    for (const StageInfo& s : all_stages())
        if (needs.has(s.stage)) out.emplace_back(s.name);
    return out;
}

Needs needs_for(const std::string& document, const std::vector<std::string>& stages,
                std::optional<std::string> heads = {}) {
    Request request;
    request.stages = stages;
    request.heads = std::move(heads);
    return needs_of(plan_of(document, request));
}

const std::string two_heads =
    R"({"embeddings": [[1, 2], [3, 4], [5, 6]], "num_heads": 2, "causal": true,
        "weights": {"W_query": [[1, 0], [0, 1]], "W_key": [[1, 1], [0, 1]], "W_value": [[1, 2], [3, 4]],
                    "W_out": [[1, 0], [0, 1]]}})";

}  // namespace

TEST_CASE("stages: every row of the table has its place, its axes and a phase that goes with them") {
    for (const StageInfo& s : all_stages()) {
        INFO("stage " << s.name);
        CHECK(&info_of(s.stage) == &s);
        CHECK(stage_named(s.name) == s.stage);
        const auto axes = axes_of(s.shape);
        const auto has_axis = [&](Axis a) { return std::find(axes.begin(), axes.end(), a) != axes.end(); };
        REQUIRE(axes.size() >= 3);
        CHECK(axes.front() == Axis::batch);
        CHECK(has_axis(Axis::head) == has_heads(s.shape));
        CHECK(has_one_row(s.shape) == (has_heads(s.shape) && axes.size() == 3));
        CHECK(has_key_columns(s.shape) == (axes.back() == Axis::key));
        CHECK(has_token_columns(s.shape) == (axes.back() != Axis::dim));
        if (row_kind(s.shape) == RowKind::queries) CHECK(axes[axes.size() - 2] == Axis::query);
        CHECK((s.phase == Phase::cells) == (s.shape == StageShape::query_key));
        CHECK((s.phase == Phase::state) == (s.shape == StageShape::state || s.shape == StageShape::states));
        CHECK((s.holds == Holds::scores || s.holds == Holds::weights) == has_all_keys(s.shape));
        if (!has_heads(s.shape) && row_kind(s.shape) == RowKind::queries)
            CHECK(s.phase == (s.shape == StageShape::embedded || s.shape == StageShape::merged_queries
                                  ? Phase::source
                                  : Phase::merged));
    }
}

TEST_CASE(
    "stages: a planned stage reads planned stages, those that its formula names among them, and none reads "
    "itself") {
    std::set<Stage> seen;
    for (const auto& [name, plan] : plans())
        for (const PlannedStage& s : plan.stages) {
            INFO(name << ": " << s.name << " = " << s.formula);
            seen.insert(s.stage);
            for (const Stage read : s.reads) {
                REQUIRE(plan.find(read));
                CHECK_FALSE(read == s.stage);
                CHECK_FALSE(is_made_of(plan, read, s.stage));
            }
            for (const Stage stage : named_in(s.formula))
                // "the state" is what a context reads on the way, not the last one.
                if (plan.find(stage) && stage != Stage::state)
                    CHECK(std::find(s.reads.begin(), s.reads.end(), stage) != s.reads.end());
            const bool is_first = s.reads.empty();
            if (info_of(s.stage).phase != Phase::source) CHECK_FALSE(is_first);
        }
    for (const StageInfo& s : all_stages()) {
        INFO("no document plans " << s.name);
        CHECK(seen.contains(s.stage));
    }
}

TEST_CASE("needs: what a stage is made of, and no more") {
    using Names = std::vector<std::string>;
    CHECK(names(needs_for(two_heads, {"queries"})) == Names{"queries"});
    CHECK(needs_for(two_heads, {"queries"}).projections == set_of({WeightRole::query}));
    CHECK(names(needs_for(two_heads, {"masked_scores"})) ==
          Names{"queries", "keys", "scores", "scaled_scores", "masked_scores"});
    CHECK(names(needs_for(two_heads, {"values", "keys"})) == Names{"keys", "values"});
    CHECK(names(needs_for(two_heads, {"context"})) == Names{"queries", "keys", "values", "scores",
                                                            "scaled_scores", "masked_scores", "weights",
                                                            "context"});
    CHECK(names(needs_for(two_heads, {"lse"})) ==
          Names{"queries", "keys", "scores", "scaled_scores", "masked_scores", "lse"});
    CHECK(needs_for(two_heads, {"output"}).projections ==
          set_of({WeightRole::query, WeightRole::key, WeightRole::value, WeightRole::output}));
    // With a state, this does not depend on queries.
    const std::string linear =
        R"({"variant": "linear", "queries": [[1]], "keys": [[2]], "values": [[3]], "causal": true})";
    CHECK(names(needs_for(linear, {"state"})) == Names{"keys", "values", "state"});
}

TEST_CASE("needs: a stage without an axis of heads is made of all of them, whatever is shown") {
    CHECK(needs_for(two_heads, {"context"}, "1").heads == std::vector<Index>{1});
    CHECK(needs_for(two_heads, {"lse"}, "1").heads == std::vector<Index>{1});
    CHECK(needs_for(two_heads, {"head_outputs"}, "1").heads == std::vector<Index>{1});
    for (const char* stage : {"concat", "output", "mean_weights"}) {
        INFO(stage);
        CHECK(needs_for(two_heads, {stage}, "1").heads == std::vector<Index>{0, 1});
        CHECK(needs_for(two_heads, {stage}, "1").kv_heads == std::vector<Index>{0, 1});
    }
}

TEST_CASE("needs: a run of one stage gives the numbers of the run of all, for every stage of every example") {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::string(ATTN_DATA) + "/examples")) {
        if (entry.path().extension() != ".json") continue;
        const std::string text = read_file(entry.path().string());
        const Plan plan = plan_of(text);
        Request all;
        for (const PlannedStage& s : plan.stages) all.stages.emplace_back(s.name);
        const Recorder whole = record(text, all);
        for (const PlannedStage& s : plan.stages) {
            INFO(entry.path().stem().string() << ": " << s.name);
            Request one;
            one.stages = {std::string(s.name)};
            const Recorder alone = record(text, one);
            REQUIRE(alone.stages().size() == 1);
            const auto &a = alone.stages().find(s.name)->second.values,
                       &b = whole.stages().find(s.name)->second.values;
            REQUIRE(a.size() == b.size());
            for (std::size_t k = 0; k < a.size(); ++k)
                CHECK((a[k] == b[k] || std::abs(a[k] - b[k]) <= 2e-6 * (1 + std::abs(b[k])) ||
                       (a[k] != a[k] && b[k] != b[k])));
        }
    }
}

}  // namespace attn::test
