#pragma once
#include "lib/mistakes/mistakes.hpp"

namespace attn::forms {

// The ways in which each mistake can be made with a plan. Each adds to `out`, and returns why the plan has no
// room for it, or an empty text. Internal to the room.
using Forms = std::vector<Form>;

std::string no_mask(const Replay& r, Forms& out);
std::string mask_after_softmax(const Replay& r, Forms& out);
std::string mask_fill_zero(const Replay& r, Forms& out);
std::string mask_strict(const Replay& r, Forms& out);
std::string mask_one_future(const Replay& r, Forms& out);
std::string mask_inverted(const Replay& r, Forms& out);
std::string mask_transposed(const Replay& r, Forms& out);
std::string causal_alignment(const Replay& r, Forms& out);
std::string window_off_by_one(const Replay& r, Forms& out);
std::string empty_row_nan(const Replay& r, Forms& out);
std::string empty_row_uniform(const Replay& r, Forms& out);
std::string empty_row_zero(const Replay& r, Forms& out);
std::string rope_pairs(const Replay& r, Forms& out);
std::string rope_position(const Replay& r, Forms& out);
std::string rope_on_values(const Replay& r, Forms& out);
/// These two make a mistake for each weight, and one for all of them.
std::string weight_transposed(const Replay& r, const MistakeRow& row, std::vector<Mistake>& out);
std::string no_bias(const Replay& r, const MistakeRow& row, std::vector<Mistake>& out);

/// A form that may leave rows without a key: as it is, and with what other codes put into such rows.
void empty_rows_too(const Replay& r, const Form& form, Forms& out, bool may_be_empty);

}  // namespace attn::forms
