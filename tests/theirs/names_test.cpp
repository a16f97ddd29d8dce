// What the names of somebody's arrays mean.
#include "lib/theirs/names.hpp"

#include <doctest/doctest.h>

#include "lib/error.hpp"

using namespace attn;

namespace {

const std::vector<Stage> scaled_and_masked{Stage::queries, Stage::keys,          Stage::values,
                                           Stage::scores,  Stage::scaled_scores, Stage::masked_scores,
                                           Stage::weights, Stage::context};

std::vector<Dump> dumps_of(const std::vector<std::string>& names) {
    std::vector<Dump> dumps(1);
    for (const std::string& name : names) {
        dumps[0].arrays.emplace_back().name = name;
        dumps[0].arrays.back().values = {1};
    }
    return dumps;
}

/// The stage that one name means; nothing: none.
std::optional<Stage> meaning(const std::string& name, NameMap map,
                             const std::vector<Stage>& order = scaled_and_masked) {
    std::vector<Dump> dumps = dumps_of({name});
    const std::vector<Layer> layers = understand(dumps, map, order);
    if (layers.at(0).arrays.empty()) return std::nullopt;
    return layers[0].arrays[0].stage;
}

}  // namespace

TEST_CASE("a name is taken apart into layer and stage") {
    struct Case {
        const char *name, *layer, *stage;
        std::optional<Index> number;
    };
    for (const Case& c :
         {Case{"weights", "", "weights", {}}, Case{"layers.3.weights", "layers.3", "weights", 3},
          Case{"model/h/11/attn/weights", "model/h/11", "weights", 11},
          Case{"blocks.0.attn.hook_pattern", "blocks.0", "hook_pattern", 0},
          Case{"kq_soft_max-3", "layer 3", "kq_soft_max", 3}, Case{"layer_2.scores", "layer_2", "scores", 2},
          Case{"v1.scores", "", "scores", {}}}) {
        CAPTURE(c.name);
        const SplitName split = split_name(c.name);
        CHECK(split.layer == c.layer);
        CHECK(split.stage == c.stage);
        CHECK(split.number == c.number);
    }
}

TEST_CASE("names of a place in the calculation depend on the steps that there are") {
    CHECK(meaning("hook_attn_scores", NameMap::tlens) == Stage::masked_scores);
    CHECK(meaning("hook_attn_scores", NameMap::tlens, {Stage::scores, Stage::weights}) == Stage::scores);
    CHECK(meaning("qk_matmul_output", NameMap::onnx) == Stage::scaled_scores);
    CHECK(meaning("qk_matmul_output_mode_1", NameMap::onnx) == Stage::scaled_scores);  // no cap
    CHECK(meaning("qk_matmul_output_mode_1", NameMap::onnx_1_21) == Stage::masked_scores);
    CHECK(meaning("kqv_out", NameMap::llama, {Stage::weights, Stage::context}) == Stage::context);
    CHECK(meaning("weights", NameMap::llama) == Stage::weights);
    CHECK_FALSE(meaning("hook_pattern", NameMap::own));
}

TEST_CASE("what is not understood is kept with what may be meant") {
    std::vector<Dump> dumps = dumps_of({"weigths", "hook_pattern", "xyz", "scores"});
    const std::vector<Layer> layers = understand(dumps, NameMap::own, scaled_and_masked);
    REQUIRE(layers.at(0).left_out.size() == 3);
    CHECK(layers[0].left_out[0].why == "did you mean weights?");
    CHECK(layers[0].left_out[1].why == "--map tlens knows it");
    CHECK(layers[0].left_out[2].why.empty());
    CHECK(layers[0].left_out[2].array->name == "xyz");
    std::vector<Dump> early = dumps_of({"masked"});
    CHECK(understand(early, NameMap::tutorial, scaled_and_masked).at(0).left_out.at(0).why.find("mask_at") !=
          std::string::npos);
}

TEST_CASE("two names of one stage are refused, layers are kept apart") {
    std::vector<Dump> dumps = dumps_of({"a.weights", "b.weights"});
    CHECK_THROWS_AS(understand(dumps, NameMap::own, scaled_and_masked), Error);
    std::vector<Dump> layered = dumps_of({"h.1.weights", "h.0.weights"});
    const std::vector<Layer> layers = understand(layered, NameMap::own, scaled_and_masked);
    REQUIRE(layers.size() == 2);
    CHECK(layers[0].number == 0);
}
