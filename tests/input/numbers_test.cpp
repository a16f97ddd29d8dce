// Stored numbers: every element type and byte order, widened exactly, shared and not copied.
#include "lib/input/numbers.hpp"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace attn::test {
namespace {

template <class U>
Numbers stored(std::vector<U> values, Element element, bool swapped = false) {
    if (swapped)
        for (U& v : values) {
            std::array<std::byte, sizeof(U)> bytes;
            std::memcpy(bytes.data(), &v, sizeof(U));
            std::reverse(bytes.begin(), bytes.end());
            std::memcpy(&v, bytes.data(), sizeof(U));
        }
    const auto owner = std::make_shared<const std::vector<U>>(std::move(values));
    return {owner,
            reinterpret_cast<const std::byte*>(owner->data()),
            static_cast<Index>(owner->size()),
            element,
            swapped,
            true};
}

}  // namespace

TEST_CASE("numbers: every element type, both byte orders") {
    for (const bool swapped : {false, true}) {
        CHECK(stored<double>({1.5, -2e300}, Element::float64, swapped)[1] == -2e300);
        CHECK(stored<float>({1.5F, -2e30F}, Element::float32, swapped)[1] == static_cast<double>(-2e30F));
        CHECK(stored<std::int8_t>({1, -128}, Element::int8, swapped)[1] == -128);
        CHECK(stored<std::int16_t>({1, -32768}, Element::int16, swapped)[1] == -32768);
        CHECK(stored<std::int32_t>({1, INT32_MIN}, Element::int32, swapped)[1] == INT32_MIN);
        CHECK(stored<std::int64_t>({1, -(1LL << 50)}, Element::int64, swapped)[1] == -0x1p50);
        CHECK(stored<std::uint8_t>({1, 255}, Element::uint8, swapped)[1] == 255);
        CHECK(stored<std::uint16_t>({1, 65535}, Element::uint16, swapped)[1] == 65535);
        CHECK(stored<std::uint32_t>({1, UINT32_MAX}, Element::uint32, swapped)[1] == UINT32_MAX);
        CHECK(stored<std::uint64_t>({1, 1ULL << 52}, Element::uint64, swapped)[1] == 0x1p52);
        CHECK(stored<std::uint16_t>({0x3C00, 0x3555}, Element::float16, swapped)[1] == 0.333251953125);
        CHECK(stored<std::uint16_t>({0x3F80, 0x3EAB}, Element::bfloat16, swapped)[1] == 0.333984375);
    }
}

TEST_CASE("numbers: all 65536 halves widen to the value of their bits") {
    for (unsigned bits = 0; bits < 65536; ++bits) {
        const int exponent = static_cast<int>(bits >> 10U & 31U), fraction = static_cast<int>(bits & 1023U);
        const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
        const float found = from_float16(static_cast<std::uint16_t>(bits));
        if (exponent == 31) {
            CHECK((fraction != 0 ? std::isnan(found) : found == sign * INFINITY));
            continue;
        }
        const double size =
            exponent == 0 ? fraction * 0x1p-24 : (1 + fraction / 1024.0) * std::pow(2.0, exponent - 15);
        CHECK(static_cast<double>(found) == sign * size);
        CHECK(std::signbit(found) == (sign < 0));
    }
}

TEST_CASE("numbers: what is stored as asked for is not copied") {
    const Numbers singles(std::vector<float>{1, 2, 3}), doubles(std::vector<double>{1, 0.1, 3});
    CHECK(singles.in_place<float>() != nullptr);
    CHECK(singles.in_place<double>() == nullptr);
    CHECK(doubles.in_place<float>() == nullptr);
    const Numbers shared = doubles;
    CHECK(shared.in_place<double>() == doubles.in_place<double>());
    std::array<float, 3> out{};
    doubles.copy(std::span<float>(out));
    CHECK(out[1] == 0.1F);
    CHECK(singles.bytes_held() == 12);
    CHECK(stored<double>({1}, Element::float64).bytes_held() == 0);
    CHECK(stored<double>({1}, Element::float64, true).in_place<double>() == nullptr);
}

}  // namespace attn::test
