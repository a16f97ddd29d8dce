#include <array>

#include "lib/error.hpp"
#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/mistakes/seen.hpp"

namespace attn {
namespace {

// clang-format off
constexpr std::string_view more_keys = "rows that see two keys or more";
constexpr std::array scale_blind{Blind{"the scale is 1", blind::scale_is_one}, Blind{"all scores are 0", blind::scores_are_zero},
                                 Blind{"both scales are the same number"}};
constexpr std::array scale_out_blind{Blind{"the scale is 1", blind::scale_is_one}, Blind{"all scores are 0", blind::scores_are_zero}};
constexpr std::array other_scale_blind{Blind{"all scores are 0", blind::scores_are_zero}, Blind{"both scales are the same number"}};
constexpr std::array mask_blind{Blind{"nothing is hidden", blind::nothing_hidden}, Blind{"what is hidden has no part in the numbers"}};
constexpr std::array strict_blind{Blind{"the diagonal is hidden anyway"}};
constexpr std::array future_blind{Blind{"the next token is hidden anyway, or there is none"}};
constexpr std::array transposed_mask_blind{Blind{"the mask is symmetric"}};
constexpr std::array corner_blind{Blind{"the keys between the two corners are hidden by another mask"}};
constexpr std::array over_queries_blind{
    Blind{"each query sees one key, and each key is seen by one query", blind::one_key, more_keys},
    Blind{"all scores are equal", blind::all_equal_scores}, Blind{"the softmax over the queries gives the same weights"}};
constexpr std::array over_heads_blind{Blind{"the softmax over the heads gives the same weights"}};
constexpr std::array no_softmax_blind{Blind{"the scores are the weights"}};
constexpr std::array base_blind{Blind{"each row sees one key, whose weight is 1 whatever its score", blind::one_key, more_keys},
    Blind{"all scores of a row are equal", blind::equal_scores}, Blind{"the weights of the other keys are too small to be seen"}};
constexpr std::array swapped_queries_blind{Blind{"queries and keys are the same numbers"}};
constexpr std::array swapped_values_blind{Blind{"keys and values are the same numbers"}};
constexpr std::array embeddings_blind{Blind{"the values are the embeddings: W_value is the identity on them"}};
constexpr std::array matrix_blind{Blind{"the matrix is symmetric", blind::symmetric_weight}, Blind{"what it is multiplied by is 0"}};
constexpr std::array flat_blind{Blind{"there is one token", blind::one_token}, Blind{"all numbers come to stand where they belong"}};
constexpr std::array interleaved_blind{Blind{"heads are one column wide", blind::narrow_heads}, Blind{"all numbers come to stand where they belong"}};
constexpr std::array merge_blind{Blind{"all numbers come to stand where they belong: there is one query, or contexts are equal"}};
constexpr std::array transposed_weights_blind{Blind{"the weights are symmetric", blind::symmetric_weights}, Blind{"the contexts come out the same"}};
constexpr std::array bias_blind{Blind{"the bias is 0"}};
constexpr std::array projection_blind{Blind{"the output is the contexts: W_out is the identity on them"}};
constexpr std::array kv_blind{Blind{"the kv heads are alike"}};
constexpr std::array rope_blind{Blind{"every position is 0", blind::zero_positions}, Blind{"what turns is 0"}};
constexpr std::array base_of_rope_blind{Blind{"every position is 0", blind::zero_positions}, Blind{"what turns is 0, or the pairs that differ are too slow to be seen"}};
constexpr std::array rope_sign_blind{Blind{"every position is 0", blind::zero_positions}, Blind{"queries and keys that see each other have the same position"}};
constexpr std::array permuted_blind{Blind{"the columns of the keys are alike"}};
constexpr std::array alibi_blind{Blind{"all slopes are 0, or all keys that are seen are at one distance"}};
constexpr std::array bias_scaled_blind{Blind{"the scale is 1", blind::scale_is_one}, Blind{"what is added is 0"}};
constexpr std::array symmetric_bias_blind{Blind{"the bias is symmetric"}};
constexpr std::array window_blind{Blind{"the window is wider than the input", blind::wide_window},
    Blind{"the keys at the window's edge are hidden by another mask"}};
constexpr std::array cap_blind{Blind{"all scores are 0", blind::scores_are_zero}, Blind{"the scores are far below the cap"}};
constexpr std::array bits_blind{Blind{"the numbers need no more than 16 bits"}};
constexpr std::string_view scale_cure = "a head width above 1, and scores that differ", mask_cure = "a mask that hides a key";

constexpr std::array table{
    MistakeRow{"no_scale", "", "scores are not divided by √head_dim", "the ratio of log-weights is a constant, √head_dim",
     "delzac/cntkx#10, ethen8181/machine-learning#13", "divide the scores by √head_dim before the softmax",
     scale_out_blind, scale_cure, applies::scaled, make::no_scale},
    MistakeRow{"scale_d_model", "", "scores are divided by √d_model instead of √head_dim", "the ratio of log-weights is a constant",
     "lucidrains/vit-pytorch#65, chelsea0x3b/dfdx#171, juho-lee/set_transformer#18", "take the width of one head under the root, not that of the model",
     other_scale_blind, "more than one head", applies::other_width, make::scale_d_model},
    MistakeRow{"scale_without_root", "", "scores are divided by head_dim instead of √head_dim", "the ratio of log-weights is a constant, 1/√head_dim",
     "", "take the root of head_dim", other_scale_blind, scale_cure, applies::scaled, make::scale_without_root},
    MistakeRow{"scale_twice", "", "the scale is applied twice: to the queries and to the scores", "the ratio of log-weights is the scale",
     "", "scale the queries or the scores, not both", scale_blind, scale_cure, applies::scaled, make::scale_twice},
    MistakeRow{"scale_inverted", "", "scores are multiplied by √head_dim", "the ratio of log-weights is head_dim",
     "", "divide by √head_dim", scale_blind, scale_cure, applies::scaled, make::scale_inverted},
    MistakeRow{"scale_after_softmax", "", "the weights are scaled, not the scores", "rows of weights sum to 1/√head_dim",
     "", "scale before the softmax", scale_out_blind, scale_cure, applies::scaled_softmax, make::scale_after_softmax},
    MistakeRow{"scale_other", "", "scores are multiplied by another scale", "the ratio of log-weights is a constant: it is measured",
     "ggml-org/llama.cpp#13951, huggingface/transformers#31891, EleutherAI/gpt-neox#1434", "take the scale that the model's configuration says (query_pre_attn_scalar, head_dim), not one made from other widths",
     other_scale_blind, "scores that differ", applies::score_scale, make::scale_other, Pairs::never, {}, make::scale_measured, make::scale_tuned},
    MistakeRow{"no_mask", "no_mask, no_mask:MASK", "a mask is missing or skipped", "keys that should be hidden have weights",
     "facebookresearch/xformers#103, keras-team/keras#23038", "check that the mask reaches the scores, in every branch",
     mask_blind, mask_cure, applies::masked, make::no_mask, Pairs::with_others, "mask_other_item"},
    MistakeRow{"mask_after_softmax", "", "weights are masked after the softmax and not divided by their sum again", "rows of weights sum to less than 1",
     "huggingface/pytorch-image-models PR 2236", "mask the scores with -inf before the softmax",
     mask_blind, mask_cure, applies::masked, make::mask_after_softmax},
    MistakeRow{"mask_fill_zero", "", "masked scores are set to 0, or to a tiny number such as 1e-9", "masked weights above 0",
     "hyunwoongko/transformer#10", "fill masked scores with -inf",
     mask_blind, mask_cure, applies::masked_scores, make::mask_fill_zero},
    MistakeRow{"mask_strict", "", "off by one: a token does not see itself", "row 0 is empty, no weights on the diagonal",
     "jadore801120/attention-is-all-you-need-pytorch#19", "hide what is above the diagonal: triu(diagonal=1)",
     strict_blind, "a causal mask", applies::causal, make::mask_strict},
    MistakeRow{"mask_one_future", "", "off by one: a token sees the next one", "one more diagonal of weights",
     "jadore801120/attention-is-all-you-need-pytorch#19", "hide what is above the diagonal: triu(diagonal=1)",
     future_blind, "a causal mask and two tokens", applies::causal, make::mask_one_future},
    MistakeRow{"mask_inverted", "", "the mask's polarity: what should be kept is hidden", "the pattern of zeros is the complement",
     "rasbt/LLMs-from-scratch#1061, braindecode#902", "True means keep in one library and hide in another",
     mask_blind, mask_cure, applies::masked, make::mask_inverted},
    MistakeRow{"mask_transposed", "", "the mask is transposed: queries for keys", "the pattern of zeros is transposed: the other triangle, or rows where columns were hidden",
     "cs231n#279, hyunwoongko/transformer#40", "tril keeps the past, triu the future",
     transposed_mask_blind, "a causal mask, or one that hides a key", applies::square_mask, make::mask_transposed},
    MistakeRow{"causal_alignment", "", "the causal mask is aligned with the other corner", "differs only when queries and keys differ in number",
     "ml-explore/mlx#2835, Dao-AILab/flash-attention#581", "say whether the last query sees the last key (bottom right) or the first query the first key alone (top left)",
     corner_blind, "a causal mask, and more keys than queries", applies::causal_of_other_corner, make::causal_alignment},
    MistakeRow{"softmax_over_queries", "", "the softmax runs over the queries", "columns of weights sum to 1",
     "PetrochukM/PyTorch-NLP#2", "softmax over the keys: dim=-1",
     over_queries_blind, "scores that differ", applies::softmax, make::softmax_over_queries},
    MistakeRow{"softmax_over_heads", "", "the softmax runs over the heads", "weights sum to 1 over the heads",
     "the printed answer of a tutorial's exercise", "softmax over the keys: dim=-1",
     over_heads_blind, "more than one head", applies::softmax_of_heads, make::softmax_over_heads},
    MistakeRow{"no_softmax", "", "the softmax is left out", "weights below 0 or above 1",
     "", "apply the softmax to the masked scores", no_softmax_blind, "scores that are not weights", applies::softmax, make::no_softmax},
    MistakeRow{"exp2", "", "base 2 without the factor log2(e)", "the ratio of log-weights is ln 2",
     "carlushuang/gcnasm PR 21", "multiply the scores by log2(e) where the kernel uses exp2",
     base_blind, "scores that differ", applies::softmax, make::exp2},
    MistakeRow{"queries_keys_swapped", "", "queries and keys are exchanged", "the scores are transposed",
     "", "scores are queries · keysᵀ", swapped_queries_blind, "weights of queries and keys that differ", applies::queries_like_keys, make::queries_keys_swapped},
    MistakeRow{"keys_values_swapped", "", "keys and values are exchanged", "",
     "", "check the order in which key and value are passed", swapped_values_blind, "weights of keys and values that differ", applies::keys_like_values, make::keys_values_swapped},
    MistakeRow{"values_are_keys", "", "the keys are used as values", "",
     "", "project the values with their own matrix", swapped_values_blind, "weights of keys and values that differ", applies::keys_like_values, make::values_are_keys},
    MistakeRow{"values_are_embeddings", "", "the embeddings are used as values, not projected", "weights are right, the context is not",
     "", "project the values with W_value", embeddings_blind, "a W_value that is not the identity", applies::embeddings_like_values, make::values_are_embeddings},
    MistakeRow{"weight_transposed", "weight_transposed:NAME", "a square matrix is read transposed", "queries, keys, values or the output differ",
     "skyzh/tiny-llm PR 60, karpathy/nanoGPT#190", "nn.Linear keeps [d_out, d_in] and computes x · Wᵀ",
     matrix_blind, "a square matrix that is not symmetric", applies::square_matrix, make::weight_transposed},
    MistakeRow{"split_without_transpose", "split_without_transpose, split_without_transpose:query, split_without_transpose:key, split_without_transpose:value", "[token, heads, dim] is read as [heads, token, dim]", "queries, keys and values are permuted",
     "reczoo/FuxiCTR#30", "view(batch, token, heads, dim), then transpose(1, 2)",
     flat_blind, "more than one head and more than one token", applies::projected_heads, make::split_without_transpose},
    MistakeRow{"split_interleaved", "", "heads on the fast axis: head h has the columns h, h + heads, ...", "queries, keys and values are permuted",
     "", "a head is a run of neighbouring columns: view(..., heads, dim), not (..., dim, heads)",
     interleaved_blind, "more than one head, wider than 1", applies::projected_heads, make::split_interleaved},
    MistakeRow{"merge_without_transpose", "", "contexts are put side by side from [head, query, dim]", "the output is permuted, the contexts are right",
     "jsbaan/transformer-from-scratch PR 6", "transpose(1, 2) before view(batch, token, heads * dim)",
     merge_blind, "more than one head and more than one query", applies::heads, make::merge_without_transpose},
    MistakeRow{"weights_transposed", "", "the context is made from transposed weights", "the weights are right, the context is not",
     "", "context = weights · values", transposed_weights_blind, "scores that are not symmetric", applies::square_weights, make::weights_transposed},
    MistakeRow{"no_bias", "no_bias, no_bias:NAME", "the bias of a projection is left out", "queries, keys or values differ by a constant row",
     "", "add the bias after the product", bias_blind, "a bias that is not 0", applies::bias, make::no_bias},
    MistakeRow{"no_output_projection", "", "the output projection is left out", "the output is the concatenated contexts",
     "", "multiply the concatenated contexts by W_out", projection_blind, "a W_out that is not the identity", applies::square_output, make::no_output_projection},
    MistakeRow{"no_output_bias", "", "the bias of the output projection is left out", "the output differs by a constant row",
     "", "add the bias of the output projection", bias_blind, "a bias that is not 0", applies::output_bias, make::no_output_bias},
    MistakeRow{"kv_heads_tiled", "", "kv heads are repeated k0 k1 k0 k1 instead of k0 k0 k1 k1, or the reverse", "head h reads the wrong kv head",
     "onnx PR 7274, prime-rl PR 2681", "repeat_interleave, not repeat (or the reverse)",
     kv_blind, "two kv heads, and two query heads for each", applies::shared_kv_heads, make::kv_heads_tiled, Pairs::with_others, "kv_head_other, merge_head_order"},
    MistakeRow{"rope_pairs", "", "halves instead of interleaved pairs, or the reverse", "only rotated stages and those after them differ",
     "huggingface/transformers#25199, rasbt/LLMs-from-scratch#838", "columns n and n + dim/2 turn together, or 2n and 2n + 1: as the weights were trained",
     rope_blind, "four rotated columns", applies::rope_of_pairs, make::rope_pairs},
    MistakeRow{"rope_position", "", "rotary positions are off by one, or forget the cache", "only rotated stages and those after them differ",
     "", "the first new token's position is the length of the cache",
     rope_blind, "positions of queries and keys apart, or a cache", applies::rope_of_positions, make::rope_position},
    MistakeRow{"rope_on_values", "", "values are rotated too", "the weights are right, the context is not",
     "", "rotate queries and keys only", rope_blind, "a token whose position is not 0", applies::rope_as_wide_as_values, make::rope_on_values},
    MistakeRow{"no_rope", "", "queries and keys are not rotated", "only rotated stages and those after them differ",
     "", "rotate queries and keys before the scores, in every branch", rope_blind, "a token whose position is not 0", applies::rope, make::no_rope, Pairs::with_others, "rope_axis"},
    MistakeRow{"rope_queries_only", "", "queries are rotated and keys are not, or the reverse", "one rotated stage is right, the other is not rotated",
     "", "rotate the keys too, before they are cached", rope_blind, "a token whose position is not 0", applies::rope, make::rope_queries_only, Pairs::never},
    MistakeRow{"rope_base", "", "the rotary embedding has another base", "pairs turn by another base^(-2n/dims): it is measured",
     "lyogavin/airllm#368, stanford-crfm/levanter#649, google/gemma.cpp#986", "take rope_theta from the model's configuration: 10000 is a default only",
     base_of_rope_blind, "positions far apart, four rotated columns", applies::rope_with_base, make::rope_base, Pairs::never, {}, make::rope_base_measured, make::rope_base_tuned},
    MistakeRow{"rope_scaling", "", "the scaling of the rotary embedding is left out, applied where there is none, applied twice, or inverted", "the frequencies are ours times one number, or a number for each pair",
     "felafax/felafax#59, unslothai/unsloth#6197, ggml-org/llama.cpp#8676", "read rope_scaling of the model's configuration, once",
     rope_blind, "a token whose position is not 0", applies::rope_with_rule, make::rope_scaling, Pairs::never, {}, make::rope_scaling_measured, make::rope_scaling_tuned},
    MistakeRow{"rope_factor", "", "cosines and sines have another factor (attention_factor, mscale)", "rotated queries and keys are ours times one number",
     "", "yarn and longrope multiply cosines and sines by a factor of their own", scale_out_blind, "a rotary embedding with a factor", applies::rope_with_factor, make::rope_factor, Pairs::never, {}, make::rope_factor_measured},
    MistakeRow{"rope_exponent", "", "the exponents of the frequencies begin elsewhere, or take other steps", "pair n turns by base^(-(2n + 1)/dims), or the like",
     "cs336#22", "pair n, counted from 0, turns by base^(-2n/dims)", base_of_rope_blind, "positions far apart, four rotated columns", applies::rope_with_base, make::rope_exponent, Pairs::never, {}, make::rope_exponent_measured},
    MistakeRow{"rope_inverted", "", "the frequencies are inverted, or run from the last pair to the first", "pairs turn by base^(2n/dims)",
     "", "inv_freq is 1 / base^(2n/dims), and positions are multiplied by it", base_of_rope_blind, "positions far apart, four rotated columns", applies::rope_with_base, make::rope_inverted, Pairs::never},
    MistakeRow{"rope_sign", "", "the rotation goes the other way", "the sines have the other sign",
     "karpathy/nanochat#489, skyzh/tiny-llm#25", "(a, b) becomes (a cos - b sin, a sin + b cos)", rope_sign_blind, "tokens whose positions differ", applies::rope, make::rope_sign},
    MistakeRow{"rope_axis", "", "positions run over the heads, or the batch, not over the tokens", "all tokens of a head turn alike",
     "facebookresearch/xformers#841", "the axis that positions run over is that of the tokens: transpose first, or unsqueeze the other axis", rope_blind, "more than one head", applies::rope_of_heads, make::rope_axis, Pairs::never},
    MistakeRow{"rope_partial", "", "more or fewer columns turn, or with the partners or frequencies of the whole head", "columns that should stay are turned, or the reverse",
     "AI-Hypercomputer/maxtext#4616", "dims = head_dim * partial_rotary_factor columns turn: partners and frequencies are counted in these", base_of_rope_blind, "positions far apart, heads of more than four columns", applies::rope_of_columns, make::rope_partial, Pairs::never},
    MistakeRow{"rope_before_split", "", "the rotary embedding is applied to all heads joined, before they are split", "each head turns by other frequencies",
     "", "split into heads, then rotate each", rope_blind, "more than one head", applies::rope_unsplit, make::rope_before_split, Pairs::never},
    MistakeRow{"rope_table_layout", "", "cosines and sines are laid out for the other way of pairing", "the two columns of a pair turn by different angles",
     "tenstorrent/tt-metal#26844", "halves go with cat(freqs, freqs), pairs 2n, 2n + 1 with repeat_interleave(freqs, 2)", rope_blind, "four rotated columns", applies::rope_tables, make::rope_table_layout, Pairs::never},
    MistakeRow{"k_permuted", "", "the key's columns were put into halves for another number of heads, or not as the query's were", "the keys are permuted",
     "", "permute W_key for num_kv_heads, W_query for num_heads", permuted_blind, "keys whose columns differ", applies::rope_and_keys, make::k_permuted, Pairs::never},
    MistakeRow{"cache_rotated_again", "", "cached keys, which are rotated already, are rotated again", "only the scores of cached keys differ",
     "EleutherAI/gpt-neox#363", "rotate new keys alone, before they go into the cache", rope_blind, "a cache of more than one token", applies::rope_and_cache, make::cache_rotated_again, Pairs::never},
    MistakeRow{"no_position_bias", "", "the position bias is left out", "log-weights differ by the bias",
     "guillaume-be/rust-bert#171", "add the position bias to the scores of every layer", bias_blind, "a bias that is not 0", applies::position_bias, make::no_position_bias},
    MistakeRow{"no_alibi", "", "ALiBi is left out", "log-weights differ by the slope times the distance",
     "", "add -slope * (i - j) to the scores", alibi_blind, "tokens at several distances", applies::alibi, make::no_alibi},
    MistakeRow{"bias_scaled", "", "what is added to the scores is multiplied by the scale too", "log-weights differ by a multiple of the bias: it is measured",
     "microsoft/onnxruntime#14976, NVIDIA/OpenSeq2Seq#76", "scale the products of queries and keys alone, then add", bias_scaled_blind, "a bias that is not 0, and a scale that is not 1", applies::added_and_scaled, make::bias_scaled, Pairs::never, {}, make::bias_scaled_measured, make::bias_tuned},
    MistakeRow{"bias_transposed", "", "the position bias is transposed: keys for queries", "log-weights differ by the bias less its transpose",
     "", "the bias is [head, query, key]; distances are key - query", symmetric_bias_blind, "a bias that is not symmetric", applies::square_bias, make::bias_transposed},
    MistakeRow{"alibi_sign", "", "ALiBi has the other sign", "far keys are favoured",
     "", "subtract slope * (i - j): far keys lose", alibi_blind, "tokens at several distances", applies::alibi, make::alibi_sign},
    MistakeRow{"alibi_slopes", "", "ALiBi has other slopes", "log-weights differ by another slope in each head: they are measured",
     "aprender#2143", "head h of heads, counted from 1, has the slope 2^(-8h/heads); see Press et al. 2022 where heads are no power of 2", alibi_blind, "tokens at several distances", applies::alibi, make::alibi_slopes, Pairs::never, {}, make::alibi_slopes_measured, make::alibi_slopes_tuned},
    MistakeRow{"window_off_by_one", "", "the token itself is counted in the window, or left out of it", "one diagonal more or less",
     "", "left: n leaves n tokens before the token itself",
     window_blind, "more tokens than the window holds", applies::windowed, make::window_off_by_one, Pairs::with_others, "window_width"},
    MistakeRow{"softcap_after_mask", "", "the cap is applied after the mask", "masked weights above 0",
     "onnx/onnx#7867", "cap, then mask: tanh(-inf) is -1",
     mask_blind, mask_cure, applies::softcap_and_mask, make::softcap_after_mask},
    MistakeRow{"no_softcap", "", "the soft cap is left out", "scores are not bounded",
     "onnx/onnx#7867", "c * tanh(scores / c) before the mask",
     cap_blind, "scores as large as the cap", applies::softcap, make::no_softcap},
    MistakeRow{"empty_row_nan", "", "a row whose keys are all hidden becomes NaN", "NaN rows",
     "pytorch/pytorch#103963, ml-explore/mlx#2395", "give rows without a visible key the weights 0",
     {}, "a row whose keys are all hidden", applies::empty_row_nan, make::empty_row_nan},
    MistakeRow{"empty_row_uniform", "", "a row whose keys are all hidden gets equal weights", "rows of 1/keys",
     "pytorch/pytorch#103963", "a finite fill such as -1e9 leaves equal weights: use -inf and clear the row",
     {}, "a row whose keys are all hidden", applies::empty_row_uniform, make::empty_row_uniform, Pairs::with_others, "mask_fill_small"},
    MistakeRow{"empty_row_zero", "", "a row whose keys are all hidden gets the weights 0", "rows of 0",
     "", "the document asks for other weights in empty rows: see empty_rows",
     {}, "a row whose keys are all hidden", applies::empty_row_zero, make::empty_row_zero},
    MistakeRow{"dropout_left_on", "", "dropout was not switched off", "some weights are 0, the rest are multiplied by 1/(1-p)",
     "idiap/fast-transformers#131", "model.eval(), or dropout_p=0.0",
     {}, "stages that hold the weights, or no more keys than a head's width", applies::never_from_a_plan, make::nothing},
    MistakeRow{"init_order", "", "seeded weights were drawn in another order", "every weight differs, the set is the same",
     "neetcode-gh/leetcode#5169", "make the layers in the order query, key, value",
     {}, "weights that are drawn from a seed", applies::drawn_alike, make::init_order},
    MistakeRow{"rounded", "rounded:bf16, rounded:f16", "scores or weights are held in 16 bits", "errors near 2^-8 (bf16) or 2^-11 (f16) in many numbers, of random sign",
     "", "no mistake: keep scores and weights in float32 where the digits matter",
     bits_blind, "numbers that need more than 16 bits", applies::unrounded_scores, make::rounded},
    MistakeRow{"kept_in_float32", "kept_in_float32:scores, kept_in_float32:weights, kept_in_float32:cells, kept_in_float32:stages, kept_in_float32:all", "in half precision, stages are kept in float32 and not rounded", "errors of half a unit of the type in many numbers, of random sign, from the stage on that is not rounded",
     "F.scaled_dot_product_attention with SDPBackend.MATH, PyTorch 2.6: scores and weights", "no mistake: eager code rounds each result to its type, a fused kernel only what it writes",
     bits_blind, "numbers that need more than 16 bits", applies::half_scores, make::kept_in_float32, Pairs::never},
};
constexpr std::array<std::string_view, 4> unmistaken{
    "the mask applied after the softmax, and the weights divided by their sum again: the same weights",
    "masked scores filled with -1e9 where every row sees a key, or with anything else that leaves the weights the same",
    "the scale in the queries or the keys, where the weights are the same",
    "a missing bias of the keys, without rope and norms: it adds the same to all scores of a row, and the softmax removes it"};
// clang-format on

}  // namespace

std::span<const MistakeRow> all_mistakes() {
    static const std::vector<MistakeRow> all = [] {
        std::vector<MistakeRow> rows;
        const auto add = [&](std::span<const MistakeRow> some) {
            rows.insert(rows.end(), some.begin(), some.end());
        };
        add(rows_of_heads());
        add(table);
        for (const auto kind :
             {rows_of_windows, rows_of_softmax, rows_of_norms, rows_of_sources, rows_of_merging})
            add(kind());
        return rows;
    }();
    return all;
}
std::span<const std::string_view> no_mistakes() { return unmistaken; }

const MistakeRow& mistake_row(std::string_view id) {
    for (const MistakeRow& r : all_mistakes())
        if (r.id == id) return r;
    throw Error(Exit::defect, {}, "the table of mistakes has no " + std::string(id));
}

}  // namespace attn
