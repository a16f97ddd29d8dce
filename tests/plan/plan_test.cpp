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

TEST_CASE("plans: a factor of longrope that the lengths or attention_factor say is said to be unread") {
    const std::string x =
        R"({"queries":[[1,2],[3,4]],"keys":[[1,2],[3,4]],"values":[[1],[2]],"rope":{"scaling":{"type":"longrope","short_factor":[1],"long_factor":[2])";
    const auto said = [&](const std::string& more) {
        return plan_of(x + more + "}}}").rope->factor_not_read;
    };
    CHECK(said(R"(,"factor":4,"max_position_embeddings":8)").empty());
    CHECK(said(R"(,"max_position_embeddings":8,"original_max_position_embeddings":4)").empty());
    CHECK(said(R"(,"factor":4,"max_position_embeddings":8,"original_max_position_embeddings":4)") ==
          "both lengths are given");
    CHECK(said(R"(,"factor":4,"max_position_embeddings":8,"attention_factor":1)") ==
          "attention_factor is given");
}

TEST_CASE("plans: heads of values beyond those of keys") {
    const std::string x =
        R"({"variant":"linear","queries":[[[1,2]],[[3,4]]],"keys":[[[1,2]],[[3,4]]],"values":)";
    const Plan plan = plan_of(x + "[[[1]],[[2]],[[3]],[[4]]]}");
    CHECK(plan.heads == 4);
    CHECK(plan.query_heads() == 2);
    CHECK(plan.find(Stage::queries)->shape == Shape{1, 2, 1, 2});
    CHECK(plan.find(Stage::context)->shape == Shape{1, 4, 1, 1});
    CHECK(refusal(x + "[[[1]],[[2]],[[3]]]}").pointer == "/values");
    CHECK(refusal(x + R"([[[1]],[[2]],[[3]],[[4]]],"num_value_heads":2})").pointer == "/num_value_heads");
    const std::string shared =
        R"({"variant":"delta","num_heads":2,"embeddings":[[1,2]],"weights":{"W_query":[[1,2],[3,4]],"W_key":[[1,2],[3,4]],"W_value":[[1,2,3,4],[5,6,7,8]]})";
    CHECK(plan_of(shared + R"(,"num_value_heads":4})").kv_heads == 4);
    CHECK(refusal(shared + R"(,"num_value_heads":3})").pointer == "/num_value_heads");
    CHECK(refusal(R"({"embeddings":[[1,2]],"num_value_heads":2})").pointer == "/num_value_heads");
}

TEST_CASE("plans: weights of gated delta nets that do not fit are refused") {
    const std::string x =
        R"({"variant":"delta","embeddings":[[1,2]],"weights":{"in_proj_qkvz.weight":[[1,2],[3,4],[5,6],[7,8]])";
    const auto at = [&](const std::string& weights, const std::string& options) {
        return refusal(x + weights + "}" + options + "}").pointer;
    };
    const std::string gate = R"(,"gate":{})", two = R"(,"in_proj_ba.weight":[[1,2],[3,4]])";
    CHECK(plan_of(x + two + "}" + gate + "}").state->has_beta);
    CHECK(at("", "") == "/weights/in_proj_qkvz.weight");
    CHECK(at(R"(,"g_proj.weight":[[1,2]])", gate) == "/weights/g_proj.weight");
    CHECK(at(R"(,"norm.weight":[1,2])", R"(,"gate":{"norm":"rms"})") == "/weights/in_proj_qkvz.weight");
    CHECK(at(R"(,"in_proj_ba.weight":[[1,2]])", gate) == "/weights/in_proj_ba.weight");
    CHECK(at(two + R"(,"b_proj.weight":[[1,2]])", gate) == "/weights/b_proj.weight");
    CHECK(at(two, gate + R"(,"decay":[[[0]]])") == "/decay");
}

TEST_CASE("plans: packed weights that do not fit are refused") {
    const std::string x = R"({"embeddings":[[1,2],[3,4]],"num_heads":2,)";
    const auto at = [&](const std::string& weights, const std::string& options = "") {
        return refusal(x + options + R"("weights":{)" + weights + "}}").pointer;
    };
    const std::string six = R"(:[[1,2],[3,4],[5,6],[7,8],[9,1],[2,3]])",
                      four = R"(:[[1,2],[3,4],[5,6],[7,8]])";
    CHECK(at(R"("qkv_proj.weight")" + four) == "/weights/qkv_proj.weight");
    CHECK(at(R"("c_attn.weight")" + four) == "/weights/c_attn.weight");
    CHECK(at(R"("Wqkv.weight":[[1],[2],[3],[4],[5],[6]])") == "/weights/Wqkv.weight");
    CHECK(at(R"("qkv.weight")" + six + R"(,"qkv.bias":[1,2])") == "/weights/qkv.bias");
    CHECK(at(R"("qkv.bias":[1,2,3,4,5,6])") == "/weights/qkv.bias");
    CHECK(at(R"("qkv.weight")" + six + R"(,"W_query":[[1,2],[3,4]])") == "/weights/W_query");
    CHECK(at(R"("packed":"heads","qkv.weight")" + four, R"("num_kv_heads":1,)") == "/weights/packed");
    CHECK(at(R"("packed_blocks":3,"qkv.weight")" + six) == "/weights/packed_blocks");
    CHECK(at(R"("packed":"heads","packed_blocks":2,"qkv.weight")" + six) == "/weights/packed_blocks");
    CHECK(at(R"("order":"qkk","qkv.weight")" + six) == "/weights/order");
    const std::string plain = R"("W_query":[[1,2],[3,4]],"W_key":[[1,2],[3,4]],"W_value":[[1,2],[3,4]])";
    CHECK(at(R"("packed":"heads",)" + plain) == "/weights/packed");
    CHECK(at(R"("names":{"W_out":"w"},)" + plain) == "/weights/names/W_out");
    CHECK(at(R"("names":{"W_oout":"w"},"w":[[1,2]],)" + plain) == "/weights/names/W_oout");
    CHECK(at(R"("names":{"W_out":"w","W_gate":"w"},"w":[[1,2]],)" + plain) == "/weights/names/W_gate");
    CHECK(at(R"("names":{"W_out":"w"},"w":[[1,2],[3,4]],"u":[[1,2]],)" + plain) == "/weights/u");
    CHECK(at(R"("names":[1],)" + plain) == "/weights/names");
    CHECK(plan_of(x + R"("num_kv_heads":1,"weights":{"c_attn.weight")" + four + "}}").kv_heads == 1);
}

TEST_CASE("plans: masks that no one can use are refused") {
    const std::string x = R"({"embeddings":[[1,2],[3,4]],)" + std::string(one_weight);
    CHECK(refusal(x + R"(,"mask_at":"weights","mask":{"add":[0,0]}})").pointer == "/mask_at");
    CHECK(refusal(x + R"(,"mask_at":"scores","causal":true,"scale":0})").pointer == "/mask_at");
    CHECK(refusal(x + R"(,"mask":{"keep":[[true,true,true]]}})").pointer == "/mask/keep");
    const std::pair<const char*, const char*> wrong[] = {
        {R"("chunk":0)", "/chunk"},
        {R"("prefix_keys":3)", "/prefix_keys"},
        {R"("prefix_keys":[1,2])", "/prefix_keys"},
        {R"("prefix_keys":[3])", "/prefix_keys/0"},
        {R"("token_blocks":[])", "/token_blocks"},
        {R"("token_blocks":[[0,1],[1,3]])", "/token_blocks/1/1"},
        {R"("token_blocks":[[0,1],[1,1]])", "/token_blocks/1"},
        {R"("token_blocks":[[0,1],[1]])", "/token_blocks/1"},
        {R"("token_blocks":[[0,1.5]])", "/token_blocks/0/1"},
        {R"("token_blocks":[[[0,1]],[[0,1]]])", "/token_blocks"},
        {R"("token_blocks":[[[0,3]]])", "/token_blocks/0/0/1"},
        {R"("position_bias":{"buckets":[[1],[2],[3]]})", "/position_bias/buckets"},
        {R"("position_bias":{"buckets":[[1,1],[2,2],[3,3],[4,4]]})", "/position_bias/buckets"},
        {R"("position_bias":{"buckets":[[1],[2],[3],[4]],"max_distance":1})", "/position_bias/max_distance"},
        {R"("position_bias":[[[[1,1],[1,1]]],[[[1,1],[1,1]]]])", "/position_bias"}};
    for (const auto& [option, pointer] : wrong) {
        CAPTURE(option);
        CHECK(refusal(x + "," + option + "}").pointer == pointer);
    }
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

TEST_CASE("plans: norms, bounds and factors that do not fit are refused") {
    const std::string given = R"({"queries":[[1,2],[3,4]],"keys":[[1,2],[3,4]],"values":[[1],[2]],)";
    const std::string x =
        R"({"embeddings":[[1,2],[3,4]],"num_heads":2,"weights":{"W_query":[[1,2],[3,4]],"W_key":[[1,2],[3,4]],"W_value":[[1,2],[3,4]])";
    const auto at = [&](const std::string& weights, const std::string& options) {
        return refusal(x + weights + "}" + options + "}").pointer;
    };
    CHECK(refusal(given + R"("clip_qkv":1})").pointer == "/clip_qkv");
    CHECK(refusal(R"({"embeddings":[[1,2],[3,4]],"clip_qkv":1})").pointer == "/clip_qkv");
    CHECK(at("", R"(,"clip_qkv":0)") == "/clip_qkv");
    CHECK(at("", R"(,"clip_qkv":{"max":-1})") == "/clip_qkv/max");
    CHECK(at("", R"(,"clip_qkv":{"max":1,"after":"norm"})") == "/clip_qkv/after");
    CHECK(at("", R"(,"qk_norm":{"type":"rms","after":"rope"})") == "/qk_norm/after");
    CHECK(at("", R"(,"rope":{},"qk_norm":{"type":"rms","after":"rope","over":"width"})") == "/qk_norm/after");
    CHECK(at(R"(,"q_norm.weight":[[1],[2],[3]])", R"(,"qk_norm":{"type":"rms"})") ==
          "/weights/q_norm.weight");
    CHECK(at(R"(,"q_norm.bias":[1])", R"(,"qk_norm":{"type":"rms"})") == "/weights/q_norm.bias");
    CHECK(at(R"(,"q_norm.bias":[1])", "") == "/weights/q_norm.bias");
    CHECK(at(R"(,"q_norm.weight":[[1],[2]],"q_norm.bias":[1])", R"(,"qk_norm":{"type":"layer"})") ==
          "/weights/q_norm.bias");
    CHECK(at(R"(,"v_norm.weight":[1])", "") == "/weights/v_norm.weight");
    CHECK(at(R"(,"v_norm.weight":[1,2])", R"(,"value_norm":{"type":"rms"})") == "/weights/v_norm.weight");
    CHECK(at("", R"(,"value_norm":{"type":"layer"})") == "/value_norm/type");
    CHECK(at("", R"(,"value_norm":{})") == "/value_norm");
    CHECK(at(R"(,"concat_norm.weight":[1,2])", "") == "/weights/concat_norm.weight");
    CHECK(at(R"(,"concat_norm.weight":[1])", R"(,"concat_norm":{"type":"rms"})") ==
          "/weights/concat_norm.weight");
    CHECK(at(R"(,"concat_norm.bias":[1,2])", R"(,"concat_norm":{"type":"rms"})") ==
          "/weights/concat_norm.bias");
    CHECK(at("", R"(,"concat_norm":{"type":"l2"})") == "/concat_norm/type");
    CHECK(at(R"(,"W_gate":[[1,2,3],[1,2,3]])", R"(,"gate":{})") == "/weights/W_gate");
    CHECK(refusal(given + R"("embeddings_norm":{"type":"rms"}})").pointer == "/embeddings_norm");
    CHECK(at("", R"(,"embeddings_norm":{"type":"l2"})") == "/embeddings_norm/type");
    CHECK(at("", R"(,"embeddings_norm":{"type":"rms","keys":true})") == "/embeddings_norm/keys");
    CHECK(at("", R"(,"embeddings_norm":{"type":"rms","weight":[1]})") == "/embeddings_norm/weight");
    CHECK(at("", R"(,"embeddings_norm":{"type":"rms","bias":[1,2]})") == "/embeddings_norm/bias");
    CHECK(at("", R"(,"embeddings_norm":{"type":"rms","plus_one":true})") == "/embeddings_norm/plus_one");
    CHECK(at("",
             R"(,"key_embeddings":[[1,2,3]],"embeddings_norm":{"type":"rms","keys":true,"weight":[1,2]})") ==
          "/embeddings_norm/weight");
    const std::string gate = R"(,"W_gate":[[1,2],[3,4]])";
    CHECK(at(gate, R"(,"gate":{"over":"width"})") == "/gate/over");
    CHECK(at(gate, R"(,"gate":{"eps":1e-5})") == "/gate/eps");
    CHECK(at(gate + R"(,"norm.weight":[1])", R"(,"gate":{"norm":"rms","over":"width"})") ==
          "/weights/norm.weight");
    CHECK(at("", R"(,"query_scale":[1])") == "/query_scale");
    CHECK(at("", R"(,"query_scale":[[1,2],[1,2],[1,2]])") == "/query_scale");
    CHECK(at("", R"(,"query_scale":{"beta":1})") == "/query_scale");
    CHECK(at("", R"(,"query_scale":{"beta":1,"every":0})") == "/query_scale/every");
    CHECK(at("", R"(,"query_scale":{"beta":1,"every":1,"shift":2})") == "/query_scale/shift");
    CHECK(refusal(given + R"("rope":{"positions":[-1,0]},"query_scale":{"beta":1,"every":1}})").pointer ==
          "/query_scale");
}

TEST_CASE("plans: rotary embeddings that do not fit are refused") {
    const std::string x =
        R"({"queries":[[1,2,3,4],[5,6,7,8]],"keys":[[1,2,3,4],[5,6,7,8]],"values":[[1],[2]],"rope":{)";
    const auto at = [&](const std::string& rope) { return refusal(x + rope + "}}").pointer; };
    const auto scaling = [&](const std::string& type, const std::string& more) {
        return at(R"("scaling":{"type":")" + type + "\"" + more + "}");
    };
    CHECK(at(R"("positions":[[0,1],[2,3]])") == "/rope/positions");
    CHECK(at(R"("positions":[[0,1],[2]])") == "/rope/positions/1");
    CHECK(at(R"("positions":[[0,true],[1,2]])") == "/rope/positions/0/1");
    CHECK(at(R"("key_positions":[[0,1,2]])") == "/rope/key_positions");
    CHECK(at(R"("scaling":{"type":"linear","factor":2},"cos":[[1],[1]],"sin":[[1],[1]])") == "/rope/scaling");
    CHECK(at(R"("dims":4,"cos":[[1],[1]],"sin":[[1],[1]])") == "/rope/cos");
    CHECK(at(R"("cos":[[1,1,1],[1,1,1]],"sin":[[1,1,1],[1,1,1]])") == "/rope/cos");
    CHECK(at(R"("cos":[[1,1,1,1,1,1],[1,1,1,1,1,1]],"sin":[[1,1,1,1,1,1],[1,1,1,1,1,1]])") == "/rope/cos");
    CHECK(at(R"("reverse":1)") == "/rope/reverse");
    CHECK(scaling("ntk", "") == "/rope/scaling/type");
    CHECK(at(R"("scaling":{"factor":2})") == "/rope/scaling");
    CHECK(scaling("linear", R"(,"rope_type":"yarn")") == "/rope/scaling/rope_type");
    CHECK(scaling("linear", "") == "/rope/scaling");
    CHECK(scaling("linear", R"(,"factor":0)") == "/rope/scaling/factor");
    CHECK(scaling("linear", R"(,"factor":2,"beta_fast":32)") == "/rope/scaling/beta_fast");
    CHECK(scaling("default", R"(,"factor":2)") == "/rope/scaling/factor");
    CHECK(scaling("linear", R"(,"factor":2,"rope_theta":1e6)") == "/rope/scaling/rope_theta");
    CHECK(scaling("yarn", R"(,"factor":2)") == "/rope/scaling");
    CHECK(scaling("dynamic", R"(,"factor":2)") == "/rope/scaling");
    CHECK(scaling("llama3", R"(,"factor":2,"low_freq_factor":4,"high_freq_factor":4,)"
                            R"("original_max_position_embeddings":8)") == "/rope/scaling/high_freq_factor");
    CHECK(scaling("longrope", R"(,"factor":2,"short_factor":[1,1],"long_factor":[1],)"
                              R"("original_max_position_embeddings":8)") == "/rope/scaling/long_factor");
    CHECK(scaling("longrope", R"(,"factor":2,"short_factor":[1,1],"max_position_embeddings":8)") ==
          "/rope/scaling");
    CHECK(at(R"("dims":2,"scaling":{"type":"proportional"})") == "/rope/dims");
    CHECK(
        at(R"("dims":2,"positions":[0,9],"scaling":{"type":"dynamic","factor":2,"max_position_embeddings":8})") ==
        "/rope/scaling");
}

TEST_CASE("plans: what has no meaning for a state is refused") {
    const std::string x =
        R"({"variant":"delta","queries":[[1,2],[3,4]],"keys":[[1,2],[3,4]],"values":[[1],[2]],)";
    CHECK(refusal(x + R"("map_values":true})").pointer == "/map_values");
    CHECK(refusal(x + R"("beta_factor":2})").pointer == "/beta_factor");
    CHECK(refusal(x + R"("decay":[[[0,0,0]]]})").pointer == "/decay");
    CHECK(refusal(x + R"("decay":[[[[0,0,0]]]]})").pointer == "/decay");
    CHECK(refusal(x + R"("conv":{}})").pointer == "/conv");
    CHECK(refusal(x + R"("past_conv":[[[0]]]})").pointer == "/past_conv");
    const std::string taps = R"("weights":{"conv1d.weight":[[1,2],[1,2],[1,2],[1,2],[1,2]]})";
    CHECK(refusal(x + taps + "}").pointer == "/weights/conv1d.weight");
    CHECK(refusal(x + R"("conv":{},"past_state":[[[1],[1]]],)" + taps + "}").pointer == "/conv");
    CHECK(refusal(x + R"("conv":{},"past_conv":[[0]],)" + taps + "}").pointer == "/past_conv");
    CHECK(refusal(x + R"("conv":{},"weights":{"q_conv1d.weight":[[1],[1]]}})").pointer == "/conv");
    CHECK(refusal(x + R"("conv":{},"weights":{"conv1d.weight":[[1],[1]]}})").pointer ==
          "/weights/conv1d.weight");
    CHECK(plan_of(x + R"("conv":{},)" + taps + "}").find(Stage::convolved_values) != nullptr);
    for (const char* decay : {"[[[0]]]", "[[[0,0]]]", "[[[[0]]]]", "[[[[0,0]]]]"})
        CHECK(plan_of(x + R"("decay":)" + decay + "}").find(Stage::decay) != nullptr);
}

TEST_CASE("plans: one generator for what has no seed of its own") {
    const std::string x = R"({"embeddings":{"init":"torch.rand","shape":[2,2]},)";
    const std::string w = R"("weights":{"init":"torch.nn.Linear","d_out":2})";
    const std::string seeded = R"("weights":{"init":"torch.nn.Linear","seed":1,"d_out":2})";
    const std::pair<std::string, const char*> wrong[] = {
        {x + w + "}", "/embeddings"},
        {x + w + R"(,"draws":["weights"]})", "/draws"},
        {R"({"embeddings":[[1,2]],"manual_seed":1,)" + seeded + "}", "/manual_seed"},
        {x + w + R"(,"manual_seed":1,"draws":["weights"]})", "/draws"},
        {x + w + R"(,"manual_seed":1,"draws":["weights","embeddings","weights"]})", "/draws/2"},
        {x + seeded + R"(,"manual_seed":1,"draws":["embeddings","weights"]})", "/draws/1"},
        {x + w + R"(,"manual_seed":1,"draws":"weights"})", "/draws"},
        {x + w + R"(,"dropout":{"p":0.5}})", "/embeddings"},
        {R"({"embeddings":[[1,2]],"dropout":{"p":0.5},)" + seeded + "}", "/dropout"},
        {R"({"embeddings":[[1,2]],"manual_seed":1,"weights":{"init":"torch.nn.Linear","d_out":2,"add_bias_kv":true}})",
         "/weights/add_bias_kv"},
        {R"({"embeddings":[[1,2]],"manual_seed":1,"weights":{"init":"torch.nn.MultiheadAttention","out_proj":3}})",
         "/weights/out_proj"},
        {R"({"embeddings":{"init":"torch.rand","seed":1,"dtype":"float16","shape":[2,2]}})",
         "/embeddings/dtype"}};
    for (const auto& [document, pointer] : wrong) {
        CAPTURE(document);
        CHECK(refusal(document).pointer == pointer);
    }
    const Plan plan = plan_of(x + R"("dropout":{"p":0.5},)" + w + R"(,"manual_seed":5})");
    REQUIRE(plan.draws.size() == 3);
    CHECK(plan.draws[0].of == Draw::Of::tensor);
    CHECK(plan.draws[1].of == Draw::Of::weights);
    CHECK(plan.draws[2].of == Draw::Of::dropout);
}

TEST_CASE("plans: buckets of distances as T5 counts them") {
    // transformers, T5Attention._relative_position_bucket(torch.arange(-40, 41, 8), ...)
    const Buckets both{128, true}, back{128, false};
    std::vector<Index> of_both, of_back;
    for (Index d = -40; d <= 40; d += 8) {
        of_both.push_back(bucket_of(d, 32, both));
        of_back.push_back(bucket_of(d, 32, back));
    }
    CHECK(of_both == std::vector<Index>{12, 12, 11, 10, 8, 0, 24, 26, 27, 28, 28});
    CHECK(of_back == std::vector<Index>{23, 21, 19, 16, 8, 0, 0, 0, 0, 0, 0});
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
