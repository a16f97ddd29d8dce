#include <array>

#include "lib/error.hpp"
#include "lib/mistakes/mistakes.hpp"

namespace attn {
namespace {

constexpr std::string_view scale_blind = "the scale is 1, or all scores of a row are equal",
                           scale_cure = "a head width above 1, and scores that differ";

// clang-format off
constexpr std::array table{
    MistakeRow{"no_scale", "scores are not divided by √head_dim", "the ratio of log-weights is a constant, √head_dim",
     "delzac/cntkx#10, ethen8181/machine-learning#13", "divide the scores by √head_dim before the softmax", scale_blind, scale_cure},
    MistakeRow{"scale_d_model", "divided by √d_model in place of √head_dim", "the ratio of log-weights is a constant",
     "lucidrains/vit-pytorch#65, chelsea0x3b/dfdx#171, juho-lee/set_transformer#18", "take the width of one head under the root, not that of the model", scale_blind, "more than one head"},
    MistakeRow{"scale_without_root", "divided by head_dim in place of √head_dim", "the ratio of log-weights is a constant, 1/√head_dim",
     "", "take the root of head_dim", scale_blind, scale_cure},
    MistakeRow{"scale_twice", "the scale is applied twice: to the queries and to the scores", "the ratio of log-weights is the scale",
     "", "scale the queries or the scores, not both", scale_blind, scale_cure},
    MistakeRow{"scale_inverted", "multiplied by √head_dim", "the ratio of log-weights is head_dim",
     "", "divide by √head_dim", scale_blind, scale_cure},
    MistakeRow{"scale_after_softmax", "the weights are scaled, not the scores", "rows of weights sum to 1/√head_dim",
     "", "scale before the softmax", scale_blind, scale_cure},
    MistakeRow{"no_mask", "a mask is missing or skipped", "weights where there should be none, above the diagonal",
     "facebookresearch/xformers#103, keras-team/keras#23038", "look whether the mask reaches the scores, in every branch", "nothing is hidden", "a mask that hides a key"},
    MistakeRow{"mask_after_softmax", "weights are masked after the softmax, and not divided by their sum again", "rows of weights sum to less than 1",
     "huggingface/pytorch-image-models PR 2236", "mask the scores with -inf before the softmax", "nothing is hidden", "a mask that hides a key"},
    MistakeRow{"mask_fill_zero", "masked scores are set to 0, or to a tiny number such as 1e-9", "masked weights above 0",
     "hyunwoongko/transformer#10", "fill masked scores with -inf", "nothing is hidden", "a mask that hides a key"},
    MistakeRow{"mask_strict", "off by one: a token does not see itself", "row 0 is empty, no weights on the diagonal",
     "jadore801120/attention-is-all-you-need-pytorch#19", "hide what is above the diagonal: triu(diagonal=1)", "the diagonal is hidden anyway", "a causal mask"},
    MistakeRow{"mask_one_future", "off by one: a token sees the next one", "one more diagonal of weights",
     "jadore801120/attention-is-all-you-need-pytorch#19", "hide what is above the diagonal: triu(diagonal=1)", "the next token is hidden anyway, or there is none", "a causal mask and two tokens"},
    MistakeRow{"mask_inverted", "the mask's polarity: what should be kept is hidden", "the pattern of zeros is the complement",
     "rasbt/LLMs-from-scratch#1061, braindecode#902", "True means keep in one library and hide in another", "nothing is hidden", "a mask that hides a key"},
    MistakeRow{"mask_transposed", "the mask is transposed: the wrong triangle", "the pattern of zeros is the other triangle",
     "cs231n#279", "tril keeps the past, triu the future", "the mask is symmetric", "a causal mask"},
    MistakeRow{"causal_alignment", "the causal mask is aligned at the other corner", "differs only when queries and keys differ in number",
     "ml-explore/mlx#2835, Dao-AILab/flash-attention#581", "say whether the last query sees the last key (bottom right) or the first query the first key alone (top left)", "every key is hidden by another mask", "a causal mask, and more keys than queries"},
    MistakeRow{"softmax_over_queries", "the softmax runs over the queries", "columns of weights sum to 1",
     "PetrochukM/PyTorch-NLP#2", "softmax over the keys: dim=-1", "all scores are equal", "scores that differ"},
    MistakeRow{"softmax_over_heads", "the softmax runs over the heads", "weights sum to 1 over the heads",
     "the printed answer of a tutorial's exercise", "softmax over the keys: dim=-1", "all scores are equal, and heads as many as keys", "more than one head"},
    MistakeRow{"no_softmax", "the softmax is left out", "weights below 0 or above 1",
     "", "apply the softmax to the masked scores", "", ""},
    MistakeRow{"exp2", "base 2 without the factor log2(e)", "the ratio of log-weights is ln 2",
     "carlushuang/gcnasm PR 21", "multiply the scores by log2(e) where the kernel uses exp2", "all scores of a row are equal", "scores that differ"},
    MistakeRow{"queries_keys_swapped", "queries and keys are exchanged", "the scores are transposed",
     "", "scores are queries · keysᵀ", "queries and keys are the same numbers", "weights of queries and keys that differ"},
    MistakeRow{"keys_values_swapped", "keys and values are exchanged", "",
     "", "look at the order in which key and value are passed", "keys and values are the same numbers", "weights of keys and values that differ"},
    MistakeRow{"values_are_keys", "the keys are used as values", "",
     "", "project the values with their own matrix", "keys and values are the same numbers", "weights of keys and values that differ"},
    MistakeRow{"values_are_embeddings", "the embeddings are used as values, not projected", "weights are right, the context is not",
     "", "project the values with W_value", "the weight of the values is the identity", "a W_value that is not the identity"},
    MistakeRow{"weight_transposed", "a square matrix is read the other way", "queries, keys, values or the output differ",
     "skyzh/tiny-llm PR 60, karpathy/nanoGPT#190", "nn.Linear keeps [d_out, d_in] and computes x · Wᵀ", "the matrix is symmetric", "a square matrix that is not symmetric"},
    MistakeRow{"split_without_transpose", "[token, heads, dim] is read as [heads, token, dim]", "queries, keys and values are permuted",
     "reczoo/FuxiCTR#30", "view(batch, token, heads, dim), then transpose(1, 2)", "there is one token", "more than one head and more than one token"},
    MistakeRow{"split_interleaved", "heads on the fast axis: head h has the columns h, h + heads, ...", "queries, keys and values are permuted",
     "", "a head is a run of neighbouring columns: view(..., heads, dim), not (..., dim, heads)", "heads are one column wide", "more than one head, wider than 1"},
    MistakeRow{"merge_without_transpose", "contexts are put side by side from [head, query, dim]", "the output is permuted, the contexts are right",
     "jsbaan/transformer-from-scratch PR 6", "transpose(1, 2) before view(batch, token, heads * dim)", "there is one query", "more than one head and more than one query"},
    MistakeRow{"weights_transposed", "the context is made from transposed weights", "the weights are right, the context is not",
     "", "context = weights · values", "the weights are symmetric", "scores that are not symmetric"},
    MistakeRow{"no_bias", "the bias of a projection is left out", "queries, keys or values differ by a constant row",
     "", "add the bias after the product", "the bias is 0, or the softmax removes it: a bias of keys adds the same to all scores of a row", "a bias that is not 0"},
    MistakeRow{"no_output_projection", "the output projection is left out", "the output is the concatenated contexts",
     "", "multiply the concatenated contexts by W_out", "W_out is the identity", "a W_out that is not the identity"},
    MistakeRow{"no_output_bias", "the bias of the output projection is left out", "the output differs by a constant row",
     "", "add the bias of the output projection", "the bias is 0", "a bias that is not 0"},
    MistakeRow{"kv_heads_tiled", "kv heads repeated k0 k1 k0 k1 in place of k0 k0 k1 k1, or the reverse", "head h reads the wrong kv head",
     "onnx PR 7274, prime-rl PR 2681", "repeat_interleave, not repeat (or the reverse)", "kv heads are alike, or one is read by all or by one", "two kv heads, and two query heads for each"},
    MistakeRow{"rope_pairs", "halves in place of interleaved pairs, or the reverse", "only rotated stages and those after them differ",
     "huggingface/transformers#25199, rasbt/LLMs-from-scratch#838", "columns n and n + dim/2 turn together, or 2n and 2n + 1: as the weights were trained", "a single pair turns", "four rotated columns"},
    MistakeRow{"rope_position", "rotary positions are off by one, or forget the cache", "only rotated stages and those after them differ",
     "", "the first new token's position is the length of the cache", "scores know only differences of positions", "positions of queries and keys apart, or a cache"},
    MistakeRow{"rope_on_values", "values are rotated too", "the weights are right, the context is not",
     "", "rotate queries and keys only", "every position is 0", "a token whose position is not 0"},
    MistakeRow{"window_off_by_one", "whether the token itself counts in the window", "one diagonal more or less",
     "", "left: n leaves n tokens before the token itself", "the window is wider than the input", "more tokens than the window holds"},
    MistakeRow{"softcap_after_mask", "the cap is applied after the mask", "masked weights above 0",
     "onnx/onnx#7867", "cap, then mask: tanh(-inf) is -1", "nothing is hidden", "a mask that hides a key"},
    MistakeRow{"no_softcap", "the soft cap is left out", "scores are not bounded",
     "onnx/onnx#7867", "c * tanh(scores / c) before the mask", "the scores are far below the cap", "scores as large as the cap"},
    MistakeRow{"empty_row_nan", "a row whose keys are all hidden becomes NaN", "NaN rows",
     "pytorch/pytorch#103963, ml-explore/mlx#2395", "give rows without a visible key the weights 0", "", "a row whose keys are all hidden"},
    MistakeRow{"empty_row_uniform", "a row whose keys are all hidden gets equal weights", "rows of 1/keys",
     "pytorch/pytorch#103963", "a finite fill such as -1e9 leaves equal weights: use -inf and clear the row", "", "a row whose keys are all hidden"},
    MistakeRow{"empty_row_zero", "a row whose keys are all hidden gets the weights 0", "rows of 0",
     "", "the document asks for other weights in empty rows: see empty_rows", "", "a row whose keys are all hidden"},
    MistakeRow{"dropout_left_on", "dropout was not switched off", "some weights are 0, the rest are multiplied by 1/(1-p)",
     "idiap/fast-transformers#131", "model.eval(), or dropout_p=0.0", "", "stages that hold the weights, or no more keys than a head's width"},
    MistakeRow{"init_order", "seeded weights were drawn in another order", "every weight differs, the set is the same",
     "neetcode-gh/leetcode#5169", "make the layers in the order query, key, value", "", "weights that are drawn from a seed"},
    MistakeRow{"rounded", "scores or weights held in 16 bits", "errors near 2^-8 (bf16) or 2^-11 (f16), of random sign",
     "", "no mistake: keep scores and weights in float32 where the digits matter", "the scores need no more than 16 bits", ""},
};
constexpr std::array<std::string_view, 3> unmistaken{
    "the mask applied after the softmax, and the weights divided by their sum again: the same weights",
    "masked scores filled with -1e9 where every row sees a key: the same weights",
    "a missing bias of the keys, without rope and norms: it adds the same to all scores of a row, and the softmax removes it"};
// clang-format on

}  // namespace

std::span<const MistakeRow> all_mistakes() { return table; }
std::span<const std::string_view> no_mistakes() { return unmistaken; }

const MistakeRow& mistake_row(std::string_view id) {
    for (const MistakeRow& r : table)
        if (r.id == id) return r;
    throw Error(Exit::defect, {}, "the table of mistakes has no " + std::string(id));
}

}  // namespace attn
