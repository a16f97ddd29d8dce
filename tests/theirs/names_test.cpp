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
          Case{"encoder.block.3.layer.0.SelfAttention.q", "encoder.block.3", "q", 3},
          Case{"model.0.layers.2.self_attn.q_proj", "model.0.layers.2", "q_proj", 2},
          Case{"layer_3.attn.0.weights", "layer_3", "weights", 3}, Case{"4.weights", "4", "weights", 4},
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
    CHECK(meaning("hook_pattern", NameMap::own) == Stage::weights);  // nobody else says so
    CHECK_FALSE(meaning("Y", NameMap::own));
}

TEST_CASE("modules are known by their path") {
    const std::vector<Stage> all{Stage::normed_embeddings,
                                 Stage::queries,
                                 Stage::keys,
                                 Stage::values,
                                 Stage::rotated_queries,
                                 Stage::scores,
                                 Stage::weights,
                                 Stage::context,
                                 Stage::concat,
                                 Stage::output};
    struct Case {
        const char* name;
        std::optional<Stage> stage;
    };
    for (const Case& c : {Case{"model.layers.3.self_attn.q_proj", Stage::queries},
                          Case{"q_proj", Stage::queries},
                          Case{"layers.3.self_attn.q_proj.output", Stage::queries},
                          Case{"self_attn.o_proj.0", Stage::output},
                          Case{"layers.3.self_attn", Stage::output},
                          Case{"layers.3.self_attn.output", Stage::output},
                          Case{"self_attn", std::nullopt},
                          Case{"attn", std::nullopt},
                          Case{"mlp.c_proj", std::nullopt},
                          Case{"xattn.c_proj", std::nullopt},
                          Case{"h.3.attn.c_proj", Stage::output},
                          Case{"h/3/attn/c_proj", Stage::output},
                          Case{"attn.c_attn", std::nullopt},
                          Case{"encoder.layer.3.attention.self", Stage::concat},
                          Case{"encoder.layer.3.attention.self.query", Stage::queries},
                          Case{"encoder.layer.3.attention.output.dense", Stage::output},
                          Case{"layers.3.input_layernorm", Stage::normed_embeddings},
                          Case{"Qcur-3", Stage::rotated_queries},
                          Case{"kqv_out-3", Stage::concat},
                          Case{"attn_norm-3", Stage::normed_embeddings},
                          Case{"blocks.3.attn.hook_z", Stage::context},
                          Case{"blocks.3.attn.proj", Stage::output}}) {
        CAPTURE(c.name);
        CHECK(meaning(c.name, NameMap::own, all) == c.stage);
        CHECK(meaning(c.name, NameMap::tutorial, all) == c.stage);
    }
    CHECK(meaning("Qcur-3", NameMap::own, {Stage::queries, Stage::weights}) == Stage::queries);
}

TEST_CASE("the number in a file's name is its layer's") {
    struct Case {
        const char* stem;
        std::optional<Index> number;
        const char* array;
    };
    for (const Case& c :
         {Case{"layer_03", 3, ""}, Case{"layer.3", 3, ""}, Case{"3", 3, ""}, Case{"acts_layer3", 3, ""},
          Case{"layer3_weights", 3, "weights"}, Case{"masked_scores-layer_3", 3, "masked_scores"},
          Case{"run2_layer_3", 3, ""}, Case{"hidden_3", 3, ""}, Case{"kq_soft_max-3", 3, "kq_soft_max-3"},
          Case{"model.layers.3.self_attn.o_proj", 3, "model.layers.3.self_attn.o_proj"},
          Case{"weights", {}, ""}, Case{"2024-06-01", {}, ""}, Case{"layer_1_layer_2", {}, ""},
          Case{"layer_99999999999", {}, ""}, Case{"", {}, ""}}) {
        CAPTURE(c.stem);
        const LayerOfFile found = layer_of_file(c.stem);
        CHECK(found.number == c.number);
        CHECK(found.array == c.array);
    }
}

TEST_CASE("a path may say a stack") {
    for (const char* stack : {"", "text", "encoder", "decoder", "cross", "vision"}) {
        CAPTURE(stack);
        const std::string s = stack;
        CHECK(is_of_stack("weights", s));
        CHECK(is_of_stack("decoder.block.3.layer.1.EncDecAttention.o", s) == (s == "cross"));
        CHECK(is_of_stack("model.decoder.layers.3.encoder_attn.q_proj", s) == (s == "cross"));
        CHECK(is_of_stack("encoder.layers.3.self_attn.q_proj", s) == (s != "decoder" && s != "cross"));
        CHECK(is_of_stack("decoder.layers.3.self_attn.q_proj", s) == (s != "encoder" && s != "cross"));
        CHECK(is_of_stack("vision_tower.vision_model.encoder.layers.3.self_attn.q_proj", s) ==
              (s == "vision"));
        CHECK(is_of_stack("model.language_model.layers.3.self_attn", s) == (s != "vision" && s != "cross"));
    }
}

TEST_CASE("an array that is called by its layer is the only one of it") {
    std::vector<Dump> dumps = dumps_of({"layer_03", "layer_11"});
    const std::vector<Layer> layers = understand(dumps, NameMap::own, scaled_and_masked);
    REQUIRE(layers.size() == 2);
    CHECK(layers[1].number == 11);
    CHECK(layers[1].arrays.at(0).array->name.empty());
}

TEST_CASE("what is not understood is kept with what may be meant") {
    std::vector<Dump> dumps = dumps_of({"weigths", "Y", "xyz", "scores"});
    const std::vector<Layer> layers = understand(dumps, NameMap::own, scaled_and_masked);
    REQUIRE(layers.at(0).left_out.size() == 3);
    CHECK(layers[0].left_out[0].why == "did you mean weights?");
    CHECK(layers[0].left_out[1].why == "--map onnx knows it");
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
