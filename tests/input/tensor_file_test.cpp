// Small files of each kind: cut at every byte, with every bit turned over, and read back.
#include "lib/input/tensor_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "lib/error.hpp"
#include "lib/render/traces/tensor_layout.hpp"

namespace attn::test {
namespace {

using Values = std::vector<std::vector<double>>;

const std::vector<TensorHeader> headers{{"first", {2, 3}, Element::float32},
                                        {"second", {2}, Element::float64}};
const Values written{{1, -2, 3.5, 4, 5, 6.25}, {7, 1e300}};

std::string stored(std::size_t k) {
    std::string out;
    for (const double v : written[k]) {
        const auto single = static_cast<float>(v);
        if (headers[k].element == Element::float32) {
            out.append(reinterpret_cast<const char*>(&single), 4);
        } else {
            out.append(reinterpret_cast<const char*>(&v), 8);
        }
    }
    return out;
}

std::string file_of(const TensorLayout& layout, std::size_t tensors) {
    std::string out;
    for (const std::size_t k : layout.order) {
        out += layout.parts[k].before;
        REQUIRE(out.size() == static_cast<std::size_t>(layout.parts[k].data_begin));
        out += stored(k);
    }
    REQUIRE(layout.order.size() == tensors);
    return out + layout.after;
}

std::string file_named(const std::string& name) {
    if (name == "x.npy") return file_of(npy_layout(headers[0]), 1);
    if (name == "x.safetensors") return file_of(safetensors_layout(headers, "", 0), 2);
    std::vector<std::uint32_t> crcs;
    for (std::size_t k = 0; k < headers.size(); ++k) {
        Crc32 crc;
        crc.add(stored(k), 0);
        crcs.push_back(crc.value());
    }
    return file_of(npz_layout(headers, crcs, "notes.json", "{}"), 2);
}

/// The numbers of all tensors of a file whose bytes stand in memory of their own size.
Values numbers_of(const std::string& name, const std::string& bytes) {
    const auto own = std::make_shared<std::vector<std::byte>>(bytes.size());
    if (!bytes.empty()) std::memcpy(own->data(), bytes.data(), bytes.size());
    Values out;
    const auto file = read_tensor_file(name, own, *own);
    for (std::size_t k = 0; k < file->tensors().size(); ++k) {
        const Numbers numbers = file->take(k);
        std::vector<double>& values = out.emplace_back();
        for (Index i = 0; i < numbers.size(); ++i) values.push_back(numbers[i]);
    }
    return out;
}

constexpr const char* names[] = {"x.npy", "x.npz", "x.safetensors"};

}  // namespace

TEST_CASE("tensor_file: what was written is read") {
    CHECK(numbers_of("x.npy", file_named("x.npy")) == Values{written[0]});
    CHECK(numbers_of("x.npz", file_named("x.npz")) == written);
    Values found = numbers_of("x.safetensors", file_named("x.safetensors"));
    std::sort(found.begin(), found.end());
    CHECK(found == written);
}

TEST_CASE("tensor_file: a file that is cut anywhere is refused") {
    for (const char* name : names) {
        const std::string whole = file_named(name);
        for (std::size_t n = 0; n < whole.size(); ++n) {
            INFO(name << " cut at " << n << " of " << whole.size());
            CHECK_THROWS_AS(numbers_of(name, whole.substr(0, n)), Error);
        }
        CHECK_THROWS_AS(numbers_of(name, whole + '\0'), Error);
    }
}

TEST_CASE("tensor_file: a bit that is turned over is refused, or harmless where there is a checksum") {
    for (const char* name : names) {
        const std::string whole = file_named(name);
        int refused = 0;
        for (std::size_t k = 0; k < whole.size() * 8; ++k) {
            std::string other = whole;
            other[k / 8] = static_cast<char>(other[k / 8] ^ (1 << (k % 8)));
            try {
                Values found = numbers_of(name, other);
                INFO(name << ", bit " << k);
                if (std::string(name) == "x.npz") {
                    CHECK((found == written || found.size() < written.size()));
                    for (const auto& values : found) CHECK((values == written[0] || values == written[1]));
                }
            } catch (const Error& error) {
                CHECK(error.code == Exit::input);
                ++refused;
            }
        }
        CHECK(refused > 100);
    }
}

}  // namespace attn::test
