#include <array>

#include "lib/plan/plan.hpp"

namespace attn {
namespace {

/// THE TABLE of variants: a row sets requirements and defaults, everything else follows from the document.
constexpr std::array table{
    Variant{.name = "simplified",
            .title = "simplified self-attention",
            .formula = "softmax(X · Xᵀ) · X",
            .source = "dot-product attention without weights: Luong et al. 2015, section 3.1 (score \"dot\")",
            .needs_weights = false,
            .scaled = false},
    Variant{.name = "self_attention",
            .title = "self-attention",
            .formula = "softmax(Q · Kᵀ / √d) · V",
            .source = "Vaswani et al. 2017, section 3.2.1, equation 1"},
    Variant{.name = "causal_attention",
            .title = "causal self-attention",
            .formula = "softmax(mask(Q · Kᵀ / √d)) · V",
            .source = "Vaswani et al. 2017, section 3.2.3 (masked self-attention of the decoder)",
            .causal = true},
    Variant{.name = "multi_head",
            .title = "multi-head attention",
            .formula = "concat(head_1 ... head_h) · W_out",
            .source = "Vaswani et al. 2017, section 3.2.2"},
    Variant{.name = "stacked_heads",
            .title = "stacked single heads",
            .formula = "concat(head_1 ... head_h)",
            .source = "Vaswani et al. 2017, section 3.2.2, each head with matrices of its own",
            .weights_list = true},
    Variant{.name = "cross_attention",
            .title = "cross-attention",
            .formula = "softmax(Q(X) · K(Y)ᵀ / √d) · V(Y)",
            .source = "Vaswani et al. 2017, section 3.2.3 (encoder-decoder attention); Bahdanau et al. 2015",
            .needs_key_embeddings = true},
    Variant{.name = "scaled_dot_product",
            .title = "scaled dot-product attention",
            .formula = "softmax(Q · Kᵀ / √d) · V",
            .source = "Vaswani et al. 2017, section 3.2.1, equation 1",
            .takes_projected = true,
            .needs_weights = false},
    Variant{.name = "grouped_query",
            .title = "grouped-query attention",
            .formula = "softmax(Q_h · K_gᵀ / √d) · V_g, g = h / group",
            .source = "Ainslie et al. 2023, section 2.2",
            .may_take_projected = true},
    Variant{.name = "multi_query",
            .title = "multi-query attention",
            .formula = "softmax(Q_h · Kᵀ / √d) · V",
            .source = "Shazeer 2019, section 3",
            .may_take_projected = true,
            .one_kv_head = true},
    Variant{.name = "sliding_window",
            .title = "sliding-window attention",
            .formula = "softmax(window(Q · Kᵀ / √d)) · V",
            .source = "Beltagy et al. 2020, section 3.1",
            .may_take_projected = true,
            .needs_window = true,
            .causal = true},
    Variant{.name = "gated",
            .title = "gated attention",
            .formula = "(softmax(Q · Kᵀ / √d) · V) · sigmoid(gate)",
            .source = "Qiu et al. 2025, section 2.2",
            .gated = true},
};

}  // namespace

std::span<const Variant> all_variants() { return table; }

}  // namespace attn
