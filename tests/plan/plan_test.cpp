// Invariants of every row of the tables of variants, stages and weight names; what plans decide and refuse.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/input/weight_names.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* one_weight = R"("weights":{"W_query":[[1],[0]],"W_key":[[0],[1]],"W_value":[[1],[1]]})";

std::vector<std::string> stage_names(const Plan& plan) {
    std::vector<std::string> out;
    for (const PlannedStage& s : plan.stages)
        if (s.shown) out.emplace_back(s.name);
    return out;
}

/// Every document of a folder, cases as their input.
std::vector<std::pair<std::string, std::string>> documents_in(const std::string& folder) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::string(ATTN_DATA) + "/" + folder)) {
        if (entry.path().extension() != ".json") continue;
        const std::string text = read_file(entry.path().string());
        const Json json = Json::parse(text);
        out.emplace_back(entry.path().stem().string(), json.contains("input") ? json["input"].dump() : text);
    }
    return out;
}

}  // namespace

TEST_CASE("tables: names are unique") {
    std::set<std::string_view> names;
    for (const Variant& v : all_variants()) CHECK(names.insert(v.name).second);
    names.clear();
    for (const StageInfo& s : all_stages()) CHECK(names.insert(s.name).second);
    names.clear();
    for (const WeightName& n : all_weight_names()) CHECK(names.insert(n.name).second);
}

TEST_CASE("tables: every variant has a case, an example and a place in the documents") {
    std::set<std::string> in_examples, in_cases;
    for (const auto& [name, text] : documents_in("examples"))
        in_examples.insert(std::string(plan_of(text).variant->name));
    for (const auto& [name, text] : documents_in("cases"))
        in_cases.insert(std::string(plan_of(text).variant->name));
    const std::string readme = read_file(std::string(ATTN_SOURCE) + "/README.md");
    const std::string variants = read_file(std::string(ATTN_SOURCE) + "/docs/variants.md");
    for (const Variant& v : all_variants()) {
        INFO("variant " << v.name);
        CHECK(in_examples.contains(std::string(v.name)));
        CHECK(in_cases.contains(std::string(v.name)));
        CHECK(readme.find("`" + std::string(v.name) + "`") != std::string::npos);
        CHECK(variants.find(std::string(v.name)) != std::string::npos);
        CHECK(!v.source.empty());
        CHECK(!v.formula.empty());
    }
}

TEST_CASE(
    "plans: every planned stage is written by a run, with the planned shape, in the order of the plan") {
    for (const auto& [name, text] : documents_in("examples")) {
        INFO("example " << name);
        const Plan plan = plan_of(text);
        Request every_stage;
        for (const PlannedStage& s : plan.stages) every_stage.stages.emplace_back(s.name);
        for (const bool by_stage : {false, true}) {
            const Recorder r = record(text, every_stage, by_stage);
            for (const PlannedStage& s : plan.stages) {
                INFO("stage " << s.name);
                REQUIRE(r.stages().contains(s.name));
                CHECK(r.stages().find(s.name)->second.shape == s.shape);
            }
            CHECK(r.stages().size() == plan.stages.size());
        }
    }
}

TEST_CASE("plans: a variant that is not named is inferred, the first that fits") {
    const auto inferred = [](const std::string& members) {
        const Plan p = plan_of("{" + members + "}");
        CHECK(!p.inferred_because.empty());
        return std::string(p.variant->name);
    };
    const std::string x = R"("embeddings":[[1,2],[3,4]])";
    CHECK(inferred(R"("queries":[[1]],"keys":[[1]],"values":[[1]])") == "scaled_dot_product");
    CHECK(inferred(x + R"(,"weights":[{"W_query":[[1],[0]],"W_key":[[0],[1]],"W_value":[[1],[1]]}])") ==
          "stacked_heads");
    CHECK(inferred(x) == "simplified");
    CHECK(inferred(x + R"(,"key_embeddings":[[1,1]],)" + one_weight) == "cross_attention");
    CHECK(inferred(x + R"(,"num_heads":2,"weights":{"init":"torch.rand","seed":1,"d_out":4})") ==
          "multi_head");
    CHECK(
        inferred(
            x +
            R"(,"causal":true,"weights":{"W_Q":[[[1],[0]],[[0],[1]]],"W_K":[[[1],[0]],[[0],[1]]],"W_V":[[[1],[0]],[[0],[1]]]})") ==
        "multi_head");
    CHECK(inferred(x + R"(,"causal":true,)" + one_weight) == "causal_attention");
    CHECK(inferred(x + "," + one_weight) == "self_attention");
}

TEST_CASE("plans: stages stand in the order of the contract") {
    using Names = std::vector<std::string>;
    const std::string x = R"({"embeddings":[[1,2],[3,4]],)" + std::string(one_weight);
    CHECK(stage_names(plan_of(x + "}")) ==
          Names{"queries", "keys", "values", "scores", "scaled_scores", "weights", "context"});
    CHECK(
        stage_names(plan_of(x + R"(,"causal":true,"mask_at":"scores"})")) ==
        Names{"queries", "keys", "values", "scores", "masked_scores", "scaled_scores", "weights", "context"});
    CHECK(stage_names(plan_of(x + R"(,"causal":true,"mask_at":"weights","dropout":{"p":0.5,"seed":1}})")) ==
          Names{"queries", "keys", "values", "scores", "scaled_scores", "weights", "masked_weights",
                "renormalized_weights", "dropped_weights", "context"});
    CHECK(stage_names(plan_of(x + R"(,"scale":"none","mask":{"keep":[true,true]}})")) ==
          Names{"queries", "keys", "values", "scores", "masked_scores", "weights", "context"});
}

TEST_CASE("plans: the key says the layout, and weight_layout overrides it") {
    const auto scores = [](const std::string& weights) {
        return record(R"({"embeddings":[[1,2],[3,4]],"weights":{)" + weights + "}}")
            .stages()
            .find("queries")
            ->second.values;
    };
    const std::string rest = R"(,"W_key":[[1,0],[0,1]],"W_value":[[1,0],[0,1]])";
    CHECK(scores(R"("W_query":[[1,2],[3,4]])" + rest) == std::vector<double>{7, 10, 15, 22});
    CHECK(scores(R"("W_query.weight":[[1,2],[3,4]])" + rest) == std::vector<double>{5, 11, 11, 25});
    CHECK(scores(R"("weight_layout":"out_in","W_query":[[1,2],[3,4]])" + rest) ==
          std::vector<double>{5, 11, 11, 25});
}

TEST_CASE("plans: masks that no one can use are refused") {
    const std::string x = R"({"embeddings":[[1,2],[3,4]],)" + std::string(one_weight);
    CHECK(refusal(x + R"(,"mask_at":"weights","mask":{"add":[0,0]}})").pointer == "/mask_at");
    CHECK(refusal(x + R"(,"mask_at":"scores","causal":true,"scale":0})").pointer == "/mask_at");
    CHECK(refusal(x + R"(,"mask":{"keep":[[true,true,true]]}})").pointer == "/mask/keep");
    CHECK(refusal(x + R"(,"num_heads":2})").pointer == "/num_heads");
    CHECK(refusal(x + R"(,"softcap":0})").pointer == "/softcap");
    CHECK(refusal(x + R"(,"softcap":30,"causal":true,"mask_at":"scores"})").pointer == "/softcap");
    for (const char* option : {R"("normalizer":true)", R"("past_state":[[1]])", R"("past_latent":[[1]])",
                               R"("feature_map":"relu")", R"("decay":[[[0,0]]])", R"("beta":[[[0,0]]])"}) {
        const std::string text(option);
        CHECK(refusal(x + "," + text + "}").pointer == "/" + text.substr(1, text.find('"', 1) - 1));
    }
    CHECK(refusal(x.substr(0, x.size() - 1) + R"(,"W_DKV":[[1],[1]]}})").pointer == "/weights/W_DKV");
    CHECK(refusal(x + R"(,"sinks":[0],"empty_rows":"nan"})").pointer == "/empty_rows");
    CHECK(refusal(x + R"(,"sinks":[0],"normalize":"sum"})").pointer == "/sinks");
    CHECK(refusal(x + R"(,"alibi":[1,2]})").pointer == "/alibi");
    CHECK(refusal(x + R"(,"past_keys":[[1,2]]})").pointer == "/past_keys");
    CHECK(refusal(x + R"(,"rope":{"dims":3}})").pointer == "/rope/dims");
    CHECK(refusal(x + R"(,"gate":{}})").pointer == "/gate");
}

TEST_CASE("plans: empty rows in the three ways, under each place of the mask") {
    for (const char* at : {"scaled_scores", "scores", "weights"}) {
        for (const auto& [policy, want] : {std::pair{"zero", 0.0}, {"nan", std::nan("")}, {"uniform", 0.5}}) {
            const Recorder r = record(
                std::string(
                    R"({"queries":[[1],[2]],"keys":[[1],[2]],"values":[[4],[8]],"mask":{"keep":[[false,false],[true,true]]},"mask_at":")") +
                at + R"(","empty_rows":")" + policy + "\"}");
            INFO(at << " " << policy);
            const auto& stages = r.stages();
            const auto& w =
                stages.find(stages.contains("renormalized_weights") ? "renormalized_weights" : "weights")
                    ->second.values;
            if (std::isnan(want)) {
                CHECK(std::isnan(w[0]));
            } else {
                CHECK(w[0] == want);
            }
            CHECK(w[2] + w[3] == doctest::Approx(1));
            CHECK(r.warnings().size() == 1);
        }
    }
}

TEST_CASE("plans: what does not fit into memory is refused before it starts") {
    Request request;
    request.max_memory = 1000000;
    const Error e = refusal(R"({"embeddings":{"init":"torch.randn","seed":1,"shape":[4096,64]}})", request);
    CHECK(e.code == Exit::input);
    CHECK(e.message.find("memory") != std::string::npos);
    CHECK(refusal(R"({"embeddings":[[1]],"weights":{"init":"torch.rand","seed":1,"d_out":1000000000000000}})")
              .code == Exit::input);
}

}  // namespace attn::test
