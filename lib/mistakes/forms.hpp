#pragma once
#include "lib/mistakes/mistakes.hpp"

// What the rows of the table call. Internal to the room.

namespace attn::applies {

// Why a mistake cannot be made with a plan; empty: it can.
std::string scaled(const Replay& r);
std::string other_width(const Replay& r);
std::string scaled_softmax(const Replay& r);
std::string softmax(const Replay& r);
std::string softmax_of_heads(const Replay& r);
std::string scores(const Replay& r);
std::string unrounded_scores(const Replay& r);
std::string half_scores(const Replay& r);
std::string masked(const Replay& r);
std::string masked_scores(const Replay& r);
std::string causal(const Replay& r);
std::string square_mask(const Replay& r);
std::string causal_of_other_corner(const Replay& r);
std::string windowed(const Replay& r);
std::string empty_row_nan(const Replay& r);
std::string empty_row_uniform(const Replay& r);
std::string empty_row_zero(const Replay& r);
std::string queries_like_keys(const Replay& r);
std::string keys_like_values(const Replay& r);
std::string embeddings_like_values(const Replay& r);
std::string heads(const Replay& r);
std::string projected_heads(const Replay& r);
std::string square_weights(const Replay& r);
std::string square_output(const Replay& r);
std::string output_bias(const Replay& r);
std::string shared_kv_heads(const Replay& r);
std::string rope_of_pairs(const Replay& r);
std::string rope_of_positions(const Replay& r);
std::string rope_as_wide_as_values(const Replay& r);
std::string softcap(const Replay& r);
std::string softcap_and_mask(const Replay& r);
std::string never_from_a_plan(const Replay& r);
std::string drawn_alike(const Replay& r);
std::string square_matrix(const Replay& r);
std::string bias(const Replay& r);
std::string score_scale(const Replay& r);
std::string rope(const Replay& r);
std::string rope_with_rule(const Replay& r);
std::string rope_with_base(const Replay& r);
std::string rope_with_factor(const Replay& r);
std::string rope_of_heads(const Replay& r);
std::string rope_unsplit(const Replay& r);
std::string rope_of_columns(const Replay& r);
std::string rope_tables(const Replay& r);
std::string rope_and_keys(const Replay& r);
std::string rope_and_cache(const Replay& r);
std::string alibi(const Replay& r);
std::string position_bias(const Replay& r);
std::string square_bias(const Replay& r);
std::string added_and_scaled(const Replay& r);

}  // namespace attn::applies

namespace attn::make {

// The ways in which a mistake can be made with a plan to which it applies.
Forms no_scale(const Replay& r);
Forms scale_d_model(const Replay& r);
Forms scale_without_root(const Replay& r);
Forms scale_twice(const Replay& r);
Forms scale_inverted(const Replay& r);
Forms scale_after_softmax(const Replay& r);
Forms no_mask(const Replay& r);
Forms mask_after_softmax(const Replay& r);
Forms mask_fill_zero(const Replay& r);
Forms mask_strict(const Replay& r);
Forms mask_one_future(const Replay& r);
Forms mask_inverted(const Replay& r);
Forms mask_transposed(const Replay& r);
Forms causal_alignment(const Replay& r);
Forms softmax_over_queries(const Replay& r);
Forms softmax_over_heads(const Replay& r);
Forms no_softmax(const Replay& r);
Forms exp2(const Replay& r);
Forms queries_keys_swapped(const Replay& r);
Forms keys_values_swapped(const Replay& r);
Forms values_are_keys(const Replay& r);
Forms values_are_embeddings(const Replay& r);
Forms weight_transposed(const Replay& r);
Forms split_without_transpose(const Replay& r);
Forms split_interleaved(const Replay& r);
Forms merge_without_transpose(const Replay& r);
Forms weights_transposed(const Replay& r);
Forms no_bias(const Replay& r);
Forms no_output_projection(const Replay& r);
Forms no_output_bias(const Replay& r);
Forms kv_heads_tiled(const Replay& r);
Forms rope_pairs(const Replay& r);
Forms rope_position(const Replay& r);
Forms rope_on_values(const Replay& r);
Forms window_off_by_one(const Replay& r);
Forms softcap_after_mask(const Replay& r);
Forms no_softcap(const Replay& r);
Forms empty_row_nan(const Replay& r);
Forms empty_row_uniform(const Replay& r);
Forms empty_row_zero(const Replay& r);
Forms nothing(const Replay& r);
Forms init_order(const Replay& r);
Forms rounded(const Replay& r);
Forms kept_in_float32(const Replay& r);

Forms scale_other(const Replay& r);
std::optional<Forms> scale_measured(const Replay& r, const Measures& m);
std::vector<Tunable> scale_tuned(const Replay& r);

Forms no_rope(const Replay& r);
Forms rope_queries_only(const Replay& r);
Forms rope_base(const Replay& r);
Forms rope_scaling(const Replay& r);
Forms rope_factor(const Replay& r);
Forms rope_exponent(const Replay& r);
Forms rope_inverted(const Replay& r);
Forms rope_sign(const Replay& r);
Forms rope_axis(const Replay& r);
Forms rope_partial(const Replay& r);
Forms rope_before_split(const Replay& r);
Forms rope_table_layout(const Replay& r);
Forms k_permuted(const Replay& r);
Forms cache_rotated_again(const Replay& r);
std::optional<Forms> rope_base_measured(const Replay& r, const Measures& m);
std::optional<Forms> rope_scaling_measured(const Replay& r, const Measures& m);
std::optional<Forms> rope_factor_measured(const Replay& r, const Measures& m);
std::optional<Forms> rope_exponent_measured(const Replay& r, const Measures& m);

Forms no_position_bias(const Replay& r);
Forms no_alibi(const Replay& r);
Forms alibi_sign(const Replay& r);
Forms alibi_slopes(const Replay& r);
Forms bias_scaled(const Replay& r);
Forms bias_transposed(const Replay& r);
std::optional<Forms> alibi_slopes_measured(const Replay& r, const Measures& m);
std::optional<Forms> bias_scaled_measured(const Replay& r, const Measures& m);
std::vector<Tunable> rope_base_tuned(const Replay& r);
std::vector<Tunable> rope_scaling_tuned(const Replay& r);
std::vector<Tunable> alibi_slopes_tuned(const Replay& r);
std::vector<Tunable> bias_tuned(const Replay& r);

/// A scale that is something else: plainly by a number.
Form other_scale(double scale);

/// A form that may leave rows without a key: as it is, and with what other codes put into such rows.
void empty_rows_too(const Replay& r, const Form& form, Forms& out, bool may_be_empty);

}  // namespace attn::make
