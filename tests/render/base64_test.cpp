#include "lib/render/base64.hpp"

#include <string>

#include "tests/support.hpp"

namespace attn::test {

TEST_CASE("base64: the examples of RFC 4648, section 10") {
    const auto of = [](std::string_view bytes) {
        std::string out = "=";
        append_base64(out, bytes);
        return out.substr(1);
    };
    CHECK(of("").empty());
    CHECK(of("f") == "Zg==");
    CHECK(of("fo") == "Zm8=");
    CHECK(of("foo") == "Zm9v");
    CHECK(of("foob") == "Zm9vYg==");
    CHECK(of("fooba") == "Zm9vYmE=");
    CHECK(of("foobar") == "Zm9vYmFy");
    CHECK(of("\xff\xff\xff\xfb\xf0") == "////+/A=");
}

}  // namespace attn::test
