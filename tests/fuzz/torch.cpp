#include "tests/fuzz/tensor_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    attn::fuzz::read_file("x.pt", data, size);
    return 0;
}
