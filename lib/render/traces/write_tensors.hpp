#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/render/render.hpp"
#include "lib/render/traces/store.hpp"

namespace attn {

/// What a conversion left behind, besides Losses.
struct Written {
    Losses losses;
    std::vector<std::string> notes;  ///< in words
};

/// Which formats hold tensors: json, csv, npz, npy, safetensors.
bool holds_tensors(Format format);

/// Throws where `format` cannot hold these tensors: Error, exit 2.
void check_tensors(Format format, const std::vector<FileTensor>& tensors);

/// Writes tensors under their names, in `type` (but booleans) or each in its own. One tensor's piece is held.
Written write_tensors(Format format, const std::vector<FileTensor>& tensors, std::optional<Element> type,
                      Output& output);

}  // namespace attn
