#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "lib/mistakes/mistakes.hpp"
#include "lib/mistakes/rotary.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// What their scores are made of, head by head: s · (queries · keys) - slope · distance + times · bias +
/// added · mask, but for one number in each row, which the softmax removes.
struct ScoreTerms {
    std::vector<double> scale;
    std::vector<double> slopes;  ///< of ALiBi; empty where the plan has none
    std::vector<double> bias;    ///< theirs over ours; empty where the plan has none
    std::vector<double> added;   ///< the same of additive masks
};

/// What their numbers say by themselves, before any mistake is tried. Internal to the room.
class Measures {
  public:
    /// `ours`: stages of the plan, of some rows and items.
    Measures(const Replay& replay, const StageSet& theirs, const HeldStages& ours);

    /// From their weights, or the last scores that they have; nothing where these are no such sum.
    const std::optional<ScoreTerms>& scores() const { return scores_; }
    /// From their rotated queries and keys: one rule for both, in the plan's pairs; nothing where these are
    /// not given, or follow none.
    const std::optional<RotaryRule>& rope() const { return rope_; }
    /// The window that is left by the zeros of their weights, or the fills of their masked scores; a side
    /// that hides no key is unlimited. Nothing where the plan has no window, or theirs follow none.
    std::optional<Window> window() const;
    /// The kv head that each of their query heads reads, and the head whose context stands in each place of
    /// concat: from the first of their stages that shows it, the output among them. Nothing where no choice
    /// of heads gives theirs.
    std::optional<std::vector<Index>> kv_heads() const;
    std::optional<std::vector<Index>> contexts_of() const;
    /// They have this stage, whole.
    bool have(Stage stage) const;
    /// How far a rate of it may be off.
    double rate_slack() const { return rate_slack_; }

  private:
    void measure_scores();
    void measure_rope();
    std::vector<HeldStages> each_choice(Index count, Stage first,
                                        const std::function<void(Deviation&, Index)>& choose) const;
    std::optional<std::vector<Index>> chosen_heads(const std::vector<HeldStages>& choices, Stage first) const;
    std::optional<std::vector<Index>> nearest_heads(const std::vector<HeldStages>& choices,
                                                    const PlannedStage& stage, Index places) const;
    std::optional<std::vector<Index>> heads_in_output(const std::vector<HeldStages>& choices) const;
    std::optional<RotaryRule> turning(Stage before, Stage after, Index first, const Places& positions,
                                      double& slack) const;

    const Replay& replay_;
    const StageSet& theirs_;
    const HeldStages& ours_;
    std::optional<ScoreTerms> scores_;
    std::optional<RotaryRule> rope_;
    double rate_slack_ = 0;
};

/// Whether two measured numbers are one.
bool measured_same(double a, double b);
/// The number that all are; nothing where they differ.
std::optional<double> common(const std::vector<double>& numbers);

}  // namespace attn
