// Small files of torch.save: cut at every byte, with every bit turned over.
#include "lib/input/torch_file.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "lib/error.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

using Values = std::vector<std::vector<double>>;
const Values saved{{0.5, -1, 2, 0.25, 1.5, -0.75}};

/// The numbers of all tensors of a file whose bytes stand in memory of their own size.
Values numbers_of_saved(const std::string& text) {
    const auto own = std::make_shared<std::vector<std::byte>>();
    for (const char c : text) own->push_back(static_cast<std::byte>(c));
    own->shrink_to_fit();
    Values out;
    const auto file = read_torch_file(own, *own);
    for (std::size_t k = 0; k < file->tensors().size(); ++k) {
        const Numbers numbers = file->take(k);
        std::vector<double>& values = out.emplace_back();
        for (Index i = 0; i < numbers.size(); ++i) values.push_back(numbers[i]);
    }
    return out;
}

std::string saved_file(const std::string& name) {
    return read_file(std::string(ATTN_SOURCE) + "/tests/hostile/torch/" + name);
}

}  // namespace

TEST_CASE("torch_file: both forms are read, and refused where they are cut") {
    for (const char* name : {"control__torch.pt", "control__legacy.pt"}) {
        const std::string whole = saved_file(name);
        CHECK(numbers_of_saved(whole) == saved);
        for (std::size_t n = 0; n < whole.size(); ++n) {
            INFO(name << " cut at " << n << " of " << whole.size());
            CHECK_THROWS_AS(numbers_of_saved(whole.substr(0, n)), Error);
        }
        CHECK_THROWS_AS(numbers_of_saved(whole + '\0'), Error);
    }
}

TEST_CASE("torch_file: a bit that is turned over is refused, or read as what it says") {
    for (const char* name : {"control__torch.pt", "control__legacy.pt"}) {
        const std::string whole = saved_file(name);
        int refused = 0;
        for (std::size_t k = 0; k < whole.size() * 8; ++k) {
            std::string other = whole;
            other[k / 8] = static_cast<char>(other[k / 8] ^ (1 << (k % 8)));
            try {
                numbers_of_saved(other);
            } catch (const Error& error) {
                CHECK(error.code == Exit::input);
                CHECK_FALSE(error.message.empty());
                ++refused;
            }
        }
        CHECK(refused > 100);
    }
}

}  // namespace attn::test
