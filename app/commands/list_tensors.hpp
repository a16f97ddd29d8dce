#pragma once
#include "app/options.hpp"

namespace attn {

/// `check w.safetensors`: names, shapes and types of files of tensors, every checksum looked at. False where
/// no file of them was given. \throws Error (exit 2, 3, 4)
bool list_tensor_files(const Options& options);

}  // namespace attn
