#pragma once
#include "lib/mistakes/mistakes.hpp"

namespace attn {

/// What the numbers of an input are like, without a mistake: for reasons that hold. Internal to the room.
class Seen {
  public:
    /// `base`: its stages, whole or some rows of them.
    Seen(const Replay& replay, const HeldStages& base) : replay_(replay), base_(base) {}

    const Plan& plan() const { return replay_.plan(); }
    /// The numbers of a stage; null: the plan has no such stage.
    const Numbers4* stage(Stage s) const { return base_[s] ? base_[s].get() : nullptr; }

    /// The weights that values are multiplied by, before any dropout; null with a state.
    const Numbers4* weights() const;
    /// No row has more than one weight that is not 0.
    bool rows_see_one_key() const;
    /// Visible scores of a row are equal, in each row; with `all` those of all rows.
    bool scores_are_equal(bool all) const;
    bool all_zero(Stage s) const;
    /// Some cell is hidden.
    bool hides() const;
    /// All keys of a head have the same values.
    bool keys_have_equal_values() const;
    /// Each square piece of a weight is its own transpose.
    bool is_symmetric(WeightRole role) const;
    bool positions_are_zero() const;

  private:
    const Replay& replay_;
    const HeldStages& base_;
};

namespace blind {

// Reasons that several rows share: `holds` of a Blind.
bool scale_is_one(const Seen& seen, const Mistake& m);
bool scores_are_zero(const Seen& seen, const Mistake& m);
bool one_key(const Seen& seen, const Mistake& m);
bool equal_scores(const Seen& seen, const Mistake& m);
bool all_equal_scores(const Seen& seen, const Mistake& m);
bool nothing_hidden(const Seen& seen, const Mistake& m);
bool one_token(const Seen& seen, const Mistake& m);
bool narrow_heads(const Seen& seen, const Mistake& m);
bool symmetric_weight(const Seen& seen, const Mistake& m);
bool symmetric_weights(const Seen& seen, const Mistake& m);
bool zero_positions(const Seen& seen, const Mistake& m);
bool wide_window(const Seen& seen, const Mistake& m);

}  // namespace blind
}  // namespace attn
