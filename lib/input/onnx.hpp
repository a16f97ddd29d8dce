#pragma once
#include <memory>
#include <span>

#include "lib/input/files_beside.hpp"
#include "lib/input/tensor_file.hpp"

namespace attn {

/// The tensors of an ONNX model (onnx.proto3, IR version 3 and later): initializers and Constant nodes of its
/// graph, external data in files beside it. What nodes hold graphs of, functions and training are counted,
/// not read. \throws Error (exit 3)
std::unique_ptr<TensorFile> read_onnx_model(const FilesBeside& beside, std::shared_ptr<const void> keeper,
                                            std::span<const std::byte> bytes);

/// A file of one TensorProto, as the tests of nodes have: input_0.pb. \throws Error (exit 3)
std::unique_ptr<TensorFile> read_onnx_tensor(const FilesBeside& beside, std::shared_ptr<const void> keeper,
                                             std::span<const std::byte> bytes);

}  // namespace attn
