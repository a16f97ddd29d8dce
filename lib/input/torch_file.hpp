#pragma once
#include <memory>
#include <span>

#include "lib/input/tensor_file.hpp"

namespace attn {

/// A file of torch.save: the zip form of PyTorch 1.6 and later, or the form before it. Its pickles are read
/// by read_pickle(), and nothing of them is run: what is no tensor, number, text or collection of such is
/// named, and refused where it is asked for. Names of nested collections are joined by ".", items of lists
/// have their numbers. Sources: PyTorch torch/serialization.py, torch/_utils.py. \throws Error (exit 3)
std::unique_ptr<TensorFile> read_torch_file(std::shared_ptr<const void> keeper,
                                            std::span<const std::byte> bytes);

}  // namespace attn
