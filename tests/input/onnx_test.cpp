// Small files of ONNX and an index of shards: cut at every byte, with every bit turned over.
#include "lib/input/onnx.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/protobuf.hpp"
#include "lib/input/tensor_file.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

const std::string files_folder = std::string(ATTN_TEST_DATA) + "/files/";

/// A file of these bytes at a place; they stand in memory of their own size. \return how many of its numbers
/// were read, or nothing where it is refused
std::optional<Index> numbers_of_bytes(const std::string& path, const std::string& bytes) {
    const auto own = std::make_shared<std::vector<std::byte>>(bytes.size());
    if (!bytes.empty()) std::memcpy(own->data(), bytes.data(), bytes.size());
    try {
        const auto file = read_tensor_file(path, own, *own);
        Index count = 0;
        for (std::size_t k = 0; k < file->tensors().size(); ++k) {
            if (!file->tensors()[k].unread.empty()) continue;
            const Numbers numbers = file->take(k);
            for (Index i = 0; i < numbers.size(); ++i) static_cast<void>(numbers[i]);
            // Of a file of few bytes follow few numbers, whatever it says of itself.
            CHECK(numbers.size() <= static_cast<Index>(8 * bytes.size()));
            count += numbers.size();
        }
        return count;
    } catch (const Error& error) {
        CHECK(error.code == Exit::input);
        CHECK_FALSE(error.message.empty());
        return std::nullopt;
    }
}

/// How many of the files that differ in a bit are refused.
int refused_bits(const std::string& path, const std::string& whole) {
    int refused = 0;
    for (std::size_t k = 0; k < whole.size() * 8; ++k) {
        std::string other = whole;
        other[k / 8] = static_cast<char>(other[k / 8] ^ (1 << (k % 8)));
        INFO("bit " << k);
        refused += numbers_of_bytes(path, other) ? 0 : 1;
    }
    return refused;
}

struct SmallFile {
    const char* name;
    Index numbers;
};

}  // namespace

TEST_CASE("onnx: a file that is cut has no numbers that are not there") {
    for (const SmallFile& small : {SmallFile{"onnx/constants.onnx", 25}, SmallFile{"onnx/typed.onnx", 46},
                                   SmallFile{"onnx/raw_0.pb", 12}, SmallFile{"onnx/wire_0.pb", 6},
                                   SmallFile{"onnx/external_folder.onnx", 25}}) {
        const std::string path = files_folder + small.name, whole = read_file(path);
        CHECK(numbers_of_bytes(path, whole) == small.numbers);
        int refused = 0;
        for (std::size_t n = 0; n < whole.size(); ++n) {
            INFO(small.name << " cut at " << n << " of " << whole.size());
            const auto found = numbers_of_bytes(path, whole.substr(0, n));
            // What stands behind the graph says nothing of tensors.
            CHECK((!found || (*found == small.numbers && n + 8 > whole.size())));
            refused += found ? 0 : 1;
        }
        CHECK(refused > static_cast<int>(whole.size()) - 8);
    }
}

TEST_CASE("onnx: a bit that is turned over is refused, or read as what it says") {
    for (const char* name :
         {"onnx/constants.onnx", "onnx/raw_0.pb", "onnx/wire_0.pb", "onnx/external_folder.onnx"})
        CHECK(refused_bits(files_folder + name, read_file(files_folder + name)) > 50);
}

TEST_CASE("onnx: an index of shards that is cut, or has another bit, is refused or read as what it says") {
    const std::string path = files_folder + "sharded/safetensors/model.safetensors.index.json";
    const std::string whole =
        R"({"weight_map": {"model.embed_tokens.weight": "model-00003-of-00003.safetensors",
 "model.layers.1.self_attn.q_proj.weight": "model-00002-of-00003.safetensors"}})";
    CHECK(numbers_of_bytes(path, whole) == 30 + 24);
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK(!numbers_of_bytes(path, whole.substr(0, n)));
    CHECK(refused_bits(path, whole) > 1000);
}

TEST_CASE("onnx: fields of messages") {
    const auto fields_of = [](const std::string& bytes) {
        std::vector<WireField> out;
        WireReader in(std::as_bytes(std::span(bytes)), "a test");
        while (const auto f = in.next()) out.push_back(*f);
        return out;
    };
    // The examples of protobuf.dev/programming-guides/encoding: {150}, {"testing"}.
    CHECK(fields_of("\x08\x96\x01").front().value == 150);
    const auto text = fields_of("\x12\x07testing");
    CHECK(text.front().number == 2);
    CHECK(text.front().bytes.size() == 7);
    CHECK(fields_of(std::string("\x08") + std::string(9, '\xff') + "\x01").front().value ==
          ~std::uint64_t{0});
    CHECK(fields_of(std::string("\x0d\0\0\x80?", 5)).front().bytes.size() == 4);
    CHECK(fields_of("").empty());
    for (const std::string& wrong :
         {std::string("\x08"), std::string("\x08") + std::string(9, '\xff') + "\x02",
          std::string("\x12\x08testing"), std::string("\x0d\0\0", 3), std::string("\x0b"),
          std::string("\x0c"), std::string("\x0f"), std::string("\x00\x00", 2),
          std::string("\x80\x80\x80\x80\x10\x00", 6)})
        CHECK_THROWS_AS(fields_of(wrong), Error);
}

}  // namespace attn::test
