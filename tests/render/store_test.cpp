// Narrowing of every number that binary16 and bfloat16 have, of what lies half-way between two, and next to
// it.
#include "lib/render/traces/store.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace attn::test {
namespace {

template <class Narrow, class Widen>
void check_all(Narrow narrow, Widen widen, std::uint16_t infinity) {
    int wrong = 0;
    const auto same = [&](double v, std::uint32_t bits) {
        wrong += narrow(v) != bits || narrow(-v) != (bits | 0x8000U);
    };
    for (std::uint16_t bits = 0; bits < infinity; ++bits) {
        const double here = widen(bits);
        same(here, bits);
        // Above the largest number the next one would be where the exponent ends.
        const double below = widen(static_cast<std::uint16_t>(bits - (bits > 0)));
        const double next = bits + 1 == infinity
                                ? here + (here - below)
                                : static_cast<double>(widen(static_cast<std::uint16_t>(bits + 1)));
        const double middle = (here + next) / 2;  // exact
        same(middle, bits + (bits & 1U));
        same(std::nextafter(middle, 0.0), bits);
        same(std::nextafter(middle, next), bits + 1U);
    }
    CHECK(wrong == 0);
    CHECK(narrow(std::numeric_limits<double>::infinity()) == infinity);
    CHECK(narrow(1e300) == infinity);
    CHECK(narrow(5e-324) == 0);
    CHECK(narrow(-0.0) == 0x8000);
    CHECK(std::isnan(widen(narrow(std::nan("")))));
}

template <class T>
FileTensor tensor_of(const std::vector<T>& values, Element element) {
    auto keeper = std::make_shared<const std::vector<T>>(values);
    const auto* data = reinterpret_cast<const std::byte*>(keeper->data());
    return {"x",
            {static_cast<Index>(values.size())},
            Numbers(keeper, data, static_cast<Index>(values.size()), element, false, false)};
}

}  // namespace

TEST_CASE("store: binary16 and bfloat16 round to nearest, ties to even, once") {
    check_all(to_float16, from_float16, 0x7C00);
    check_all(to_bfloat16, from_bfloat16, 0x7F80);
}

TEST_CASE("store: integers of 64 bits are rounded once") {
    // 2^62 + 2^54 lies half-way between two bfloat16; one more lies above, but as a double it is the same.
    const std::int64_t middle = (std::int64_t{1} << 62) + (std::int64_t{1} << 54);
    const FileTensor t = tensor_of<std::int64_t>({middle, middle + 1, -middle - 1, 3}, Element::int64);
    std::string out;
    Losses losses;
    store(t, 0, 4, Element::bfloat16, out, losses);
    CHECK(out == std::string("\x80\x5E\x81\x5E\x81\xDE\x40\x40", 8));
    CHECK(losses.numbers == 4);
    CHECK(losses.changed == 3);
    CHECK(losses.infinite == 0);
    out.clear();
    store(t, 1, 1, Element::int64, out, losses);
    std::int64_t same = 0;
    std::memcpy(&same, out.data(), 8);
    CHECK(same == middle + 1);
    CHECK(losses.numbers == 4);  // nothing was converted
}

TEST_CASE("store: what is lost is counted") {
    const FileTensor t = tensor_of<double>({1, 0.1, 1e6, std::nan(""), INFINITY}, Element::float64);
    std::string out;
    Losses losses;
    store(t, 0, 5, Element::float16, out, losses);
    CHECK(losses.numbers == 5);
    CHECK(losses.changed == 2);
    CHECK(losses.infinite == 1);
}

TEST_CASE("store: text becomes the nearest float32") {
    // 1 + 2^-24 and a little more: as a double it is a tie, which goes down.
    const Source source{"x.json", "{\"x\": [1.00000005960464477539062500001, 0.1]}"};
    const FileTensors read = read_json_tensors(source);
    std::string out;
    Losses losses;
    store(read.tensors.at(0), 0, 2, Element::float32, out, losses);
    float first = 0;
    std::memcpy(&first, out.data(), 4);
    CHECK(first == std::nextafter(1.0F, 2.0F));
}

}  // namespace attn::test
