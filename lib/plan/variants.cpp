#include <array>

#include "lib/plan/plan.hpp"

namespace attn {
namespace {

/// THE TABLE of variants: a row sets requirements and defaults, everything else follows from the document.
constexpr std::array table{
    Variant{
        .name = "simplified",
        .title = "simplified self-attention",
        .takes_projected = false,
        .needs_weights = false,
        .needs_key_embeddings = false,
        .weights_list = false,
        .causal = false,
        .scaled = false,
        .formula = "softmax(X · Xᵀ) · X",
        .source = "dot-product attention without weights: Luong et al. 2015, section 3.1 (score \"dot\")"},
    Variant{.name = "self_attention",
            .title = "self-attention",
            .takes_projected = false,
            .needs_weights = true,
            .needs_key_embeddings = false,
            .weights_list = false,
            .causal = false,
            .scaled = true,
            .formula = "softmax(Q · Kᵀ / √d) · V",
            .source = "Vaswani et al. 2017, section 3.2.1, equation 1"},
    Variant{.name = "causal_attention",
            .title = "causal self-attention",
            .takes_projected = false,
            .needs_weights = true,
            .needs_key_embeddings = false,
            .weights_list = false,
            .causal = true,
            .scaled = true,
            .formula = "softmax(mask(Q · Kᵀ / √d)) · V",
            .source = "Vaswani et al. 2017, section 3.2.3 (masked self-attention of the decoder)"},
    Variant{.name = "multi_head",
            .title = "multi-head attention",
            .takes_projected = false,
            .needs_weights = true,
            .needs_key_embeddings = false,
            .weights_list = false,
            .causal = false,
            .scaled = true,
            .formula = "concat(head_1 ... head_h) · W_out",
            .source = "Vaswani et al. 2017, section 3.2.2"},
    Variant{.name = "stacked_heads",
            .title = "stacked single heads",
            .takes_projected = false,
            .needs_weights = true,
            .needs_key_embeddings = false,
            .weights_list = true,
            .causal = false,
            .scaled = true,
            .formula = "concat(head_1 ... head_h)",
            .source = "Vaswani et al. 2017, section 3.2.2, each head with matrices of its own"},
    Variant{.name = "cross_attention",
            .title = "cross-attention",
            .takes_projected = false,
            .needs_weights = true,
            .needs_key_embeddings = true,
            .weights_list = false,
            .causal = false,
            .scaled = true,
            .formula = "softmax(Q(X) · K(Y)ᵀ / √d) · V(Y)",
            .source = "Vaswani et al. 2017, section 3.2.3 (encoder-decoder attention); Bahdanau et al. 2015"},
    Variant{.name = "scaled_dot_product",
            .title = "scaled dot-product attention",
            .takes_projected = true,
            .needs_weights = false,
            .needs_key_embeddings = false,
            .weights_list = false,
            .causal = false,
            .scaled = true,
            .formula = "softmax(Q · Kᵀ / √d) · V",
            .source = "Vaswani et al. 2017, section 3.2.1, equation 1"},
};

}  // namespace

std::span<const Variant> all_variants() { return table; }

}  // namespace attn
