// Headers of files too large for a test, byte by byte from the formats' descriptions.
#include "lib/render/traces/tensor_layout.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace attn::test {
namespace {

std::uint64_t number(const std::string& bytes, std::size_t at, int size) {
    std::uint64_t v = 0;
    for (int k = size; k-- > 0;)
        v = v << 8U | static_cast<unsigned char>(bytes.at(at + static_cast<std::size_t>(k)));
    return v;
}

constexpr Index five_gib = Index{5} << 30;

}  // namespace

TEST_CASE("tensor_layout: npz is zip64 only above 4 GiB") {
    const TensorHeader large{"a", {five_gib / 4}, Element::float32}, small{"b", {}, Element::float64};
    const TensorLayout one = npz_layout({large, small}, {0, 0}, "t.json", "{}");
    const std::string& local = one.parts[0].before;
    CHECK(number(local, 4, 2) == 45);           // version needed
    CHECK(number(local, 18, 4) == 0xFFFFFFFF);  // both sizes are in the extra field
    CHECK(number(local, 22, 4) == 0xFFFFFFFF);
    CHECK(local.substr(30, 5) == "a.npy");
    CHECK(number(local, 35, 2) == 1);
    CHECK(number(local, 37, 2) == 16);
    const std::uint64_t header = 128;  // of a.npy: 64 would not hold its dictionary
    CHECK(number(local, 39, 8) == static_cast<std::uint64_t>(five_gib) + header);
    CHECK(one.parts[0].data_begin % 64 == 0);
    CHECK(one.parts[1].data_begin % 64 == 0);
    CHECK(one.parts[1].data_begin ==
          one.parts[0].data_begin + five_gib + static_cast<Index>(one.parts[1].before.size()));
    CHECK(number(one.parts[1].before, 18, 4) == header + 8);  // its own size is small
    CHECK(one.after_begin == one.parts[1].data_begin + 8);
    // The directory: offset of b as its only 64-bit number, then the ends.
    const std::size_t b = one.after.find("PK\x01\x02", one.after.find("a.npy"));
    CHECK(number(one.after, b + 42, 4) == 0xFFFFFFFF);
    const std::size_t extra = b + 46 + 5;
    CHECK(number(one.after, extra, 2) == 1);
    CHECK(number(one.after, extra + 2, 2) == 8);
    CHECK(number(one.after, extra + 4, 8) ==
          static_cast<std::uint64_t>(one.parts[1].data_begin) - one.parts[1].before.size());
    const std::size_t end = one.after.find(std::string("PK\x06\x06", 4));
    REQUIRE(end != std::string::npos);
    CHECK(number(one.after, end + 24, 8) == 3);
    const std::size_t directory = one.after.find("PK\x01\x02");
    CHECK(number(one.after, end + 48, 8) == static_cast<std::uint64_t>(one.after_begin) + directory);
    CHECK(number(one.after, end + 56 + 8, 8) == static_cast<std::uint64_t>(one.after_begin) + end);

    const TensorLayout plain = npz_layout({small}, {0}, "", "");
    CHECK(number(plain.parts[0].before, 4, 2) == 20);
    CHECK(plain.after.find(std::string("PK\x06\x06", 4)) == std::string::npos);
}

TEST_CASE("tensor_layout: npz with 65535 entries is zip64") {
    std::vector<TensorHeader> many(65535, {"x", {}, Element::uint8});
    const std::vector<std::uint32_t> crcs(many.size());
    CHECK(npz_layout(many, crcs, "", "").after.find(std::string("PK\x06\x06", 4)) != std::string::npos);
    many.pop_back();
    CHECK(npz_layout(many, crcs, "", "").after.find(std::string("PK\x06\x06", 4)) == std::string::npos);
}

TEST_CASE("tensor_layout: safetensors has wider types first, and no holes") {
    const TensorLayout x = safetensors_layout(
        {{"h", {3}, Element::float16}, {"d", {2}, Element::float64}, {"none", {0, 4}, Element::float32}}, "",
        0);
    CHECK(x.order == std::vector<std::size_t>{1, 2, 0});
    CHECK(x.parts[1].data_begin == 192);
    CHECK(x.parts[2].data_begin == 192 + 16);
    CHECK(x.parts[0].data_begin == 192 + 16);
    CHECK(x.after_begin == 192 + 16 + 6);
    const std::string& start = x.parts[1].before;
    CHECK(number(start, 0, 8) == 184);
    CHECK(start.substr(8, 55) == R"({"h":{"dtype":"F16","shape":[3],"data_offsets":[16, 22])");
}

TEST_CASE("tensor_layout: CRC-32 of pieces in any order") {
    Crc32 crc;  // the check value of CRC-32: "123456789" gives CBF43926
    crc.add("6789", 0);
    crc.add("12", 7);
    crc.add("345", 4);
    CHECK(crc.value() == 0xCBF43926);
}

}  // namespace attn::test
