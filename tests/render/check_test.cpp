#include <doctest/doctest.h>

#include "lib/plan/inputs.hpp"
#include "lib/render/render.hpp"
#include "lib/run/visibility.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

std::string checked(const std::string& document, bool ascii = false) {
    Text out;
    RenderOptions options;
    options.ascii = ascii;
    write_plan(Format::text, plan_of(document), out, options);
    return out.text;
}

}  // namespace

TEST_CASE("check: the picture of a mask follows the rule of causal, window, lengths") {
    const std::string embeddings =
        R"({"init": "torch.rand", "seed": 1, "shape": [2, 5, 4]}, "causal": {"offset": [0, 2]},
           "window": {"left": 2}, "key_lengths": [5, 4], "num_heads": 3, "variant": "multi_head",
           "weights": {"init": "torch.nn.Linear", "seed": 1, "d_out": 6}})";
    const Plan plan = plan_of("{\"embeddings\": " + embeddings);
    const std::vector<MaskPicture> pictures = mask_pictures(plan, 48);
    REQUIRE(pictures.size() == 2);
    for (const MaskPicture& p : pictures) {
        REQUIRE(p.where.size() == 3);
        const Index batch = p.where.front().first, offset = batch == 0 ? 0 : 2, length = batch == 0 ? 5 : 4;
        for (Index i = 0; i < 5; ++i)
            for (Index j = 0; j < 5; ++j) {
                const bool seen = j <= i + offset && j >= i + offset - 2 && j < length;
                CHECK((p.rows[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] == Masked::visible) ==
                      seen);
            }
    }
    CHECK(mask_pictures(plan, 4).empty());
}

TEST_CASE("check: masks of heads that differ are drawn apart, numbers that are added are marked") {
    const std::string document = R"({"queries": [[[1], [2]], [[3], [4]]], "keys": [[[1], [2]], [[3], [4]]],
        "values": [[[1], [2]], [[3], [4]]], "mask": [{"drop": [[[0, 1], [0, 0]], [[0, 0], [1, 1]]]},
        {"add": [[0.5, 0], ["-Infinity", 0]]}], "tokens": ["a", "b"]})";
    const std::string text = checked(document);
    CHECK(text.find("head 0") < text.find("head 1"));
    CHECK(text.find("   0 1\na  + ·\nb  · ■\n") != std::string::npos);
    CHECK(text.find("   0 1\na  + ■\nb  · ·  ← sees no key\n") != std::string::npos);
    CHECK(checked(document, true).find("   0 1\na  + #\nb  . .  <- sees no key\n") != std::string::npos);
    CHECK(checked(R"({"embeddings": [[1], [2]]})").find("every query sees every key") != std::string::npos);
}

TEST_CASE("check: inputs with the names of their axes") {
    const auto inputs = inputs_of(plan_of(
        R"({"queries": [[[1, 2]]], "keys": [[[1, 2], [3, 4]]], "values": [[[1], [2]]],
            "past_keys": [[[5, 6]]], "past_values": [[[7]]], "mask": {"keep": [1, 0, 1]}})"));
    REQUIRE(inputs.size() == 6);
    CHECK(inputs[0].name == "queries");
    CHECK(inputs[0].axes == "[head, query, dim]");
    CHECK(inputs[1].axes == "[head, key, dim]");
    CHECK(inputs[3].name == "past_keys");
    CHECK(inputs[3].axes == "[head, cached key, dim]");
    CHECK(inputs[5].name == "mask/keep");
    CHECK(inputs[5].axes == "[key]");
    CHECK(inputs[5].shape == Shape{3});
    const auto drawn = inputs_of(plan_of(
        R"({"embeddings": {"init": "torch.randn", "seed": 7, "shape": [3, 2]}, "variant": "simplified"})"));
    REQUIRE(drawn.size() == 1);
    CHECK(drawn[0].from == "torch.randn, seed 7");
}

TEST_CASE("check: a square matrix that fits transposed as well is told, unless something settles it") {
    const std::string square =
        R"({"embeddings": [[1, 2], [3, 4]], "weights": {"W_query": [[1, 2], [3, 4]], "W_key.weight": [[1, 2], [3, 4]],
            "W_value": [[1, 0], [0, 1]])";
    const auto warning = transpose_warning(plan_of(square + "}}"));
    REQUIRE(warning);
    CHECK(warning->starts_with("W_query, W_key.weight are square"));
    CHECK_FALSE(transpose_warning(plan_of(square + R"(, "weight_layout": "in_out"}})")));
    CHECK_FALSE(transpose_warning(plan_of(
        R"({"embeddings": [[1, 2], [3, 4]], "weights": {"W_query": [[1, 0, 2], [0, 1, 2]], "W_key": [[1, 0, 2], [0, 1, 2]],
            "W_value": [[2], [3]]}})")));
    CHECK_FALSE(transpose_warning(plan_of(
        R"({"embeddings": [[1, 2], [3, 4]], "weights": {"init": "torch.rand", "seed": 1, "d_out": 2}})")));
}

}  // namespace attn::test
