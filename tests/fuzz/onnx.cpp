#include "tests/fuzz/tensor_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const char* name : {"x.onnx", "x.pb"}) attn::fuzz::read_file(name, data, size);
    return 0;
}
