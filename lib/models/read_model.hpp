#pragma once
#include <string>
#include <vector>

#include "lib/models/layer_reader.hpp"

namespace attn {

/// The document of a layer: everything but `embeddings`, which follow from no configuration. What it holds
/// is what `run --model` computes and `init --model` writes. \throws Error: exit 3 for what config.json or
/// the weights have and this cannot read, exit 2 for a stack that is not there
Value read_model_layer(const ModelFolder& folder, const LayerAsk& ask, const PathOf& path);

/// The number of layers of the stack.
Index layers_of(const ModelFolder& folder, const LayerAsk& ask);

/// A layer has no attention: what it is instead. Thrown as exit 3 by read_model_layer.
class NoAttention : public Error {
  public:
    using Error::Error;
};

}  // namespace attn
