#pragma once
#include <vector>

#include "lib/models/layer_reader.hpp"

namespace attn {

/// The bias of DeBERTa V2 and V3 that depends on the tokens' content (He et al. 2021, section 3.1): queries
/// by the keys of relative positions, keys by their queries. Sets `position_bias` as numbers, made in
/// float64, and the scale. \throws Error (exit 3): there are no embeddings to make it from
void disentangled_bias(LayerReader& reader);

}  // namespace attn
