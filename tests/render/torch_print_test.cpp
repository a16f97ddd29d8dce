#include "lib/render/numbers/torch_print.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#ifndef ATTN_TEST_DATA
#define ATTN_TEST_DATA "tests/data"
#endif

namespace {

using attn::torch_text;
using Shape = std::vector<std::int64_t>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <typename T>
std::vector<T> values_of(const nlohmann::json& data) {
    std::vector<T> values;
    for (const auto& item : data) {
        if (!item.is_string()) {
            values.push_back(item.get<T>());
        } else {
            const std::string word = item.get<std::string>();
            values.push_back(static_cast<T>(word == "NaN" ? nan : word == "Infinity" ? infinity : -infinity));
        }
    }
    return values;
}

template <typename T>
std::string text(const std::vector<T>& values, const Shape& shape) {
    return torch_text(std::span<const T>(values), shape);
}

std::string floats(const std::vector<float>& values) {
    return text(values, {static_cast<std::int64_t>(values.size())});
}

}  // namespace

TEST_CASE("torch_text: texts that PyTorch printed") {
    std::ifstream file(ATTN_TEST_DATA "/rng/torch_print.json");
    REQUIRE(file);
    const nlohmann::json document = nlohmann::json::parse(file);
    for (const auto& item : document.at("cases")) {
        CAPTURE(item.at("name").get<std::string>());
        const Shape shape = item.at("shape").get<Shape>();
        const std::string type = item.at("dtype");
        const auto& data = item.at("data");
        const std::string found = type == "float32"   ? text(values_of<float>(data), shape)
                                  : type == "float64" ? text(values_of<double>(data), shape)
                                                      : text(values_of<std::int64_t>(data), shape);
        CHECK(found == item.at("str").get<std::string>());
    }
}

// The texts below follow from the rules of torch/_tensor_str.py, worked out by hand.

TEST_CASE("torch_text: forms of one row") {
    const float inf = std::numeric_limits<float>::infinity();
    const float not_a_number = std::numeric_limits<float>::quiet_NaN();
    CHECK(floats({0, 0}) == "tensor([0., 0.])");
    CHECK(floats({0, -inf}) == "tensor([0., -inf])");
    CHECK(floats({1, -inf, not_a_number}) == "tensor([1., -inf, nan])");
    CHECK(floats({100, inf}) == "tensor([100.,  inf])");
    CHECK(floats({-1.5f, 0, 2}) == "tensor([-1.5000,  0.0000,  2.0000])");
    CHECK(floats({1, 1001}) == "tensor([1.0000e+00, 1.0010e+03])");
    CHECK(floats({1e8f}) == "tensor([100000000.])");
    CHECK(floats({100000008.0f}) == "tensor([1.0000e+08])");
    CHECK(floats({1.5f, 1000.0f}) == "tensor([   1.5000, 1000.0000])");
    CHECK(floats({0.5f, 0.00009f}) == "tensor([5.0000e-01, 9.0000e-05])");
    CHECK(floats({1e-3f, inf, 5, not_a_number, 0}) ==
          "tensor([1.0000e-03,        inf, 5.0000e+00,        nan, 0.0000e+00])");
    CHECK(floats({-0.00011f, 0.0002f}) == "tensor([-0.0001,  0.0002])");
}

TEST_CASE("torch_text: scalars, doubles, empty tensors") {
    CHECK(text<float>({3}, {}) == "tensor(3.)");
    CHECK(text<double>({0.5}, {}) == "tensor(0.5000, dtype=torch.float64)");
    CHECK(text<double>({1, 2}, {2}) == "tensor([1., 2.], dtype=torch.float64)");
    CHECK(text<float>({}, {0, 3}) == "tensor([], size=(0, 3))");
    CHECK(text<float>({}, {2, 0, 1}) == "tensor([], size=(2, 0, 1))");
    CHECK(text<double>({}, {0}) == "tensor([], dtype=torch.float64)");
    CHECK(text<double>({}, {0, 3}) == "tensor([], size=(0, 3), dtype=torch.float64)");
    CHECK(text<std::int64_t>({-5, 10}, {2}) == "tensor([-5, 10])");
    CHECK_THROWS_AS(text<float>({1, 2}, {3}), std::logic_error);
}

TEST_CASE("torch_text: lines of 80 characters, and a suffix that would pass them") {
    // (80 - 7) / (6 + 2) = 9 elements a line in a vector, (80 - 8) / 8 = 9 in a matrix, (80 - 9) / 8 = 8
    // below that.
    const std::string nine = "0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000";
    const std::string eight = nine.substr(0, nine.size() - 8);
    CHECK(floats(std::vector<float>(10, 0.5f)) == "tensor([" + nine + ",\n        0.5000])");
    CHECK(text(std::vector<float>(9, 0.5f), {1, 1, 9}) == "tensor([[[" + eight + ",\n          0.5000]]])");
    CHECK(text(std::vector<double>(9, 0.5), {9}) == "tensor([" + nine + "],\n       dtype=torch.float64)");
    // With 6 elements the last line counts 8 + 46 + 1 + 2 = 57, and 57 + 19 + 2 = 78 fits; with 7, 86 does
    // not.
    CHECK(text(std::vector<double>(6, 0.5), {6}) ==
          "tensor([" + nine.substr(0, 46) + "], dtype=torch.float64)");
    CHECK(text(std::vector<double>(7, 0.5), {7}) ==
          "tensor([" + nine.substr(0, 54) + "],\n       dtype=torch.float64)");
    CHECK(text<double>({1, 2}, {2, 1}) == "tensor([[1.],\n        [2.]], dtype=torch.float64)");
}

TEST_CASE("torch_text: more than 1000 elements show their edges") {
    std::vector<float> values(1001, 0.25f);
    values[500] = 1e9f;  // hidden: has no say in the form
    CHECK(floats(values) == "tensor([0.2500, 0.2500, 0.2500,  ..., 0.2500, 0.2500, 0.2500])");
    std::vector<float> count(1000);
    std::iota(count.begin(), count.end(), 0.0f);
    CHECK(floats(count).find("...") == std::string::npos);
    // A short axis stays whole; an axis of 6 is not cut.
    std::vector<float> wide(2 * 600);
    std::iota(wide.begin(), wide.end(), 1.0f);
    CHECK(text(wide, {2, 600}) ==
          "tensor([[1.0000e+00, 2.0000e+00, 3.0000e+00,  ..., 5.9800e+02, 5.9900e+02,\n"
          "         6.0000e+02],\n"
          "        [6.0100e+02, 6.0200e+02, 6.0300e+02,  ..., 1.1980e+03, 1.1990e+03,\n"
          "         1.2000e+03]])");
    const std::vector<float> ones(6 * 200, 1.0f);
    const std::string tall = text(ones, {200, 6});
    CHECK(tall.find("[1., 1., 1., 1., 1., 1.],\n        ...,\n        [1.,") != std::string::npos);
}

TEST_CASE("torch_text: a cut outer axis of a tensor of rank 3, and only shown elements are read") {
    std::int64_t reads = 0;
    const Shape shape{1000000, 1, 2};
    const std::string found = torch_text(attn::TorchType::float32, shape, [&](std::int64_t k) {
        ++reads;
        return static_cast<double>(k % 2);
    });
    const std::string row = "[[0., 1.]]";
    const std::string gap = ",\n\n        ";
    CHECK(found ==
          "tensor([" + row + gap + row + gap + row + gap + "..." + gap + row + gap + row + gap + row + "])");
    CHECK(reads == 24);
}

TEST_CASE("torch_shows: the elements that torch_text reads") {
    for (const Shape& shape :
         {Shape{}, Shape{1000}, Shape{1001}, Shape{7, 200}, Shape{6, 3, 100}, Shape{2, 1, 9, 70}}) {
        std::set<std::int64_t> read, shown;
        torch_text(attn::TorchType::float32, shape, [&](std::int64_t k) {
            read.insert(k);
            return 0.0;
        });
        const std::int64_t count =
            std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
        for (std::int64_t k = 0; k < count; ++k)
            if (attn::torch_shows(shape, k)) shown.insert(k);
        CHECK(read == shown);
    }
}
