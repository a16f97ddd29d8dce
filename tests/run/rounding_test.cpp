// Rounding to half precision of every number that bfloat16 and binary16 have, of what lies half-way between
// two, and next to it: against the conversion that works on bits alone.
#include "lib/rounding.hpp"

#include <doctest/doctest.h>

#include "lib/input/numbers.hpp"
#include "lib/render/traces/store.hpp"

namespace attn::test {
namespace {

template <class Near, class Narrow, class Widen>
int wrong(Near near, Narrow narrow, Widen widen, std::uint16_t infinity) {
    int out = 0;
    const auto look = [&](float v) {
        for (const float x : {v, -v}) {
            const float want = widen(narrow(static_cast<double>(x)));
            const float got = near(x);
            out += got != want || std::signbit(got) != std::signbit(want);
        }
    };
    for (std::uint16_t bits = 0; bits < infinity; ++bits) {
        const float here = widen(bits), next = widen(static_cast<std::uint16_t>(bits + 1));
        const float middle = std::isinf(next) ? here : here / 2 + next / 2;
        for (const float x : {here, middle, std::nextafter(middle, 0.0F), std::nextafter(middle, next)})
            look(x);
    }
    return out;
}

}  // namespace

TEST_CASE("rounding: to nearest, ties to even") {
    CHECK(wrong(nearest_bfloat16, to_bfloat16, from_bfloat16, 0x7F80) == 0);
    CHECK(wrong(nearest_float16, to_float16, from_float16, 0x7C00) == 0);
}

TEST_CASE("rounding: what is too large is infinite, NaN stays NaN") {
    CHECK(nearest_float16(65519.99F) == 65504.0F);
    CHECK(std::isinf(nearest_float16(65520.0F)));
    CHECK(std::isinf(nearest_bfloat16(std::numeric_limits<float>::max())));
    CHECK(std::isinf(nearest_float16(-std::numeric_limits<float>::infinity())));
    CHECK(std::isnan(nearest_float16(std::nanf(""))));
    CHECK(std::isnan(nearest_bfloat16(std::bit_cast<float>(0x7F800001U))));
    CHECK(largest_of(DType::float16) == static_cast<double>(from_float16(0x7BFF)));
    CHECK(largest_of(DType::bfloat16) == static_cast<double>(from_bfloat16(0x7F7F)));
}

TEST_CASE("rounding: float32 and float64 stay as they are") {
    for (const DType type : {DType::float32, DType::float64}) {
        CHECK(!Rounding(type).changes());
        CHECK(Rounding(type)(0.1) == 0.1);
    }
    float row[] = {0.1F, 1e-8F, 3e38F};
    Rounding(DType::bfloat16)(row, 3);
    CHECK(row[0] == nearest_bfloat16(0.1F));
    CHECK(row[2] == nearest_bfloat16(3e38F));
}

}  // namespace attn::test
