// What has to hold for any input: weights are weights, later tokens are not seen, order of keys does not
// matter.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

#include "tests/support.hpp"

namespace attn::test {
namespace {

std::string numbers(std::mt19937& random, int rows, int columns) {
    std::normal_distribution<double> normal;
    std::string out = "[";
    for (int i = 0; i < rows; ++i) {
        out += i ? ",[" : "[";
        for (int j = 0; j < columns; ++j) out += (j ? "," : "") + std::to_string(normal(random));
        out += "]";
    }
    return out + "]";
}

const std::vector<double>& values(const Recorder& r, const char* stage) {
    return r.stages().find(stage)->second.values;
}
const Shape& shape(const Recorder& r, const char* stage) { return r.stages().find(stage)->second.shape; }

void check_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (std::size_t k = 0; k < a.size(); ++k) worst = std::max(worst, std::abs(a[k] - b[k]));
    CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("properties: weights are at least 0 and each row sums to 1") {
    std::mt19937 random(1);
    for (int keys : {1, 2, 7, 8, 9, 31, 64, 65, 257}) {
        for (const char* options :
             {"", ",\"causal\":\"bottom_right\"", ",\"window\":{\"left\":3,\"right\":2}",
              ",\"mask_at\":\"weights\",\"causal\":\"bottom_right\""}) {
            const std::string document = R"({"variant":"scaled_dot_product","queries":)" +
                                         numbers(random, keys, 5) + ",\"keys\":" + numbers(random, keys, 5) +
                                         ",\"values\":" + numbers(random, keys, 3) + options + "}";
            const Recorder r = record(document);
            const char* stage =
                r.stages().contains("renormalized_weights") ? "renormalized_weights" : "weights";
            for (int i = 0; i < keys; ++i) {
                double sum = 0;
                for (int j = 0; j < keys; ++j) {
                    const double w = values(r, stage)[static_cast<std::size_t>(i * keys + j)];
                    CHECK(w >= 0);
                    sum += w;
                }
                CHECK(std::abs(sum - 1) < 1e-6);
            }
        }
    }
}

TEST_CASE("properties: causal rows ignore later tokens") {
    std::mt19937 random(2);
    const std::string head = numbers(random, 4, 3);
    const auto context = [&](const std::string& last) {
        const std::string x = head.substr(0, head.size() - 1) + "," + last + "]";
        return record(R"({"variant":"causal_attention","embeddings":)" + x +
                      R"(,"weights":{"init":"torch.nn.Linear","seed":3,"d_out":3}})");
    };
    const Recorder a = context("[1,2,3]"), b = context("[-9,0.5,70]");
    for (std::size_t k = 0; k < 12; ++k) CHECK(values(a, "context")[k] == values(b, "context")[k]);
    CHECK(values(a, "context")[12] != values(b, "context")[12]);
}

TEST_CASE("properties: permuting keys and values together changes no context") {
    std::mt19937 random(3);
    const std::string q = numbers(random, 3, 4);
    const std::string k0 = "[0.1,0.2,-0.4,1]", k1 = "[1.5,-0.2,0.3,0.1]", k2 = "[-1,0.7,0.2,0.9]";
    const auto run_with = [&](const std::string& keys, const std::string& vals) {
        return record(R"({"dtype":"float64","queries":)" + q + ",\"keys\":[" + keys + "],\"values\":[" +
                      vals + "]}");
    };
    const Recorder a = run_with(k0 + "," + k1 + "," + k2, "[1,2],[3,4],[5,6]");
    const Recorder b = run_with(k2 + "," + k0 + "," + k1, "[5,6],[1,2],[3,4]");
    check_close(values(a, "context"), values(b, "context"), 1e-14);
}

TEST_CASE("properties: heads that are stacked and heads that are split agree") {
    const std::string x = R"([[0.43,0.15,0.89],[0.55,0.87,0.66],[0.57,0.85,0.64]])";
    const Recorder stacked =
        record(R"({"variant":"stacked_heads","embeddings":)" + x +
               R"(,"weights":[{"W_query":[[1],[2],[3]],"W_key":[[0.1],[0.2],[-0.3]],"W_value":[[1],[0],[0]]},
                                                   {"W_query":[[4],[5],[6]],"W_key":[[0.4],[-0.5],[0.6]],"W_value":[[0],[1],[0]]}]})");
    const Recorder split = record(
        R"({"variant":"multi_head","num_heads":2,"embeddings":)" + x +
        R"(,"weights":{"W_query":[[1,4],[2,5],[3,6]],"W_key":[[0.1,0.4],[0.2,-0.5],[-0.3,0.6]],"W_value":[[1,0],[0,1],[0,0]]}})");
    for (const char* stage : {"queries", "keys", "values", "scores", "weights", "context", "concat"})
        CHECK(values(stacked, stage) == values(split, stage));
}

TEST_CASE("properties: a selection equals that part of the whole, with dropout too") {
    const std::string document =
        R"({"variant":"multi_head","num_heads":3,"causal":true,"dropout":{"p":0.3,"seed":11},
        "embeddings":{"init":"torch.randn","seed":1,"shape":[2,70,6]},
        "weights":{"init":"torch.nn.Linear","seed":2,"d_out":6,"out_proj":true}})";
    const Recorder whole = record(document);
    Request request;
    request.batch = "1";
    request.heads = "0,2";
    request.rows = "3:6,69";
    request.cols = "2,5";
    const Recorder part = record(document, request);
    const std::vector<Index> heads{0, 2}, rows{3, 4, 5, 69}, cols{2, 5};
    for (const char* stage : {"scores", "masked_scores", "weights", "dropped_weights"}) {
        INFO(stage);
        CHECK(shape(part, stage) == Shape{1, 2, 4, 2});
        std::size_t k = 0;
        for (const Index h : heads)
            for (const Index i : rows)
                for (const Index j : cols)
                    CHECK(values(part, stage)[k++] ==
                          values(whole, stage)[static_cast<std::size_t>(((3 + h) * 70 + i) * 70 + j)]);
    }
    std::size_t k = 0;
    for (const Index i : rows)
        for (Index j = 0; j < 6; ++j)
            CHECK(values(part, "output")[k++] ==
                  values(whole, "output")[static_cast<std::size_t>((70 + i) * 6 + j)]);
}

TEST_CASE("properties: any number of threads and either order of stages give equal bits") {
    const std::string document =
        R"({"queries":{"init":"torch.randn","seed":1,"shape":[2,300,64]},"keys":{"init":"torch.randn","seed":2,"shape":[2,300,64]},
        "values":{"init":"torch.randn","seed":3,"shape":[2,300,64]},"causal":true,"dropout":{"p":0.1,"seed":5}})";
    Request request;
    request.threads = 1;
    const Recorder one = record(document, request);
    for (const int threads : {2, 3, 7}) {
        request.threads = threads;
        const Recorder many = record(document, request, threads == 3);
        for (const auto& [name, stage] : one.stages())
            CHECK(many.stages().find(name)->second.values == stage.values);
    }
}

TEST_CASE("properties: head outputs and the bias add up to the output") {
    const Recorder r =
        record(R"({"variant":"multi_head","num_heads":2,"dtype":"float64","embeddings":[[1,2],[3,5]],
        "weights":{"W_query":[[1,0.5],[0.25,1]],"W_key":[[1,0],[0.5,1]],"W_value":[[2,1],[1,3]],"W_out":[[1,2,3],[4,5,6]],"b_out":[0.5,-1,2]}})",
               [] {
                   Request q;
                   q.stages = {"head_outputs", "output"};
                   return q;
               }());
    const double bias[] = {0.5, -1, 2};
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j) {
            const double sum =
                values(r, "head_outputs")[i * 3 + j] + values(r, "head_outputs")[6 + i * 3 + j] + bias[j];
            CHECK(sum == doctest::Approx(values(r, "output")[i * 3 + j]).epsilon(1e-14));
        }
}

}  // namespace attn::test
