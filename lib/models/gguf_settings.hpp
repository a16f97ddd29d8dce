#pragma once
#include "lib/models/config.hpp"
#include "lib/models/folder.hpp"

namespace attn {

/// The metadata of a GGUF file as the configuration that the rows of architectures read.
struct GgufSettings {
    Value config;        ///< keys of config.json; those that it has no name for as they are
    Config::Names said;  ///< what they are called in the file
};

/// `layer`: whose number counts where a key has one for each. \throws Error (exit 3): a layer that such a key
/// has none for; factors of the rotary embedding beside another scaling
GgufSettings read_gguf_settings(const ModelFolder& model, Index layer);

/// general.architecture. \throws Error (exit 3) where it is missing
std::string gguf_architecture(const ModelFolder& model);

}  // namespace attn
