#pragma once
#include <array>
#include <memory>
#include <vector>

#include "lib/gradient/backward.hpp"
#include "lib/replay/gradient_replay.hpp"
#include "lib/run/mask.hpp"

namespace attn {

/// The stages of queries x keys of a backward pass, head by head, with all rows of each. Internal to the
/// room.
class GradientCells {
  public:
    using Given = std::array<std::shared_ptr<const Numbers4>, stage_count>;

    /// \param masked the plan with the masks of the backward pass \param read weights and what they are made
    /// of, as it has them \param forward as the forward pass had them \param given gradients that are taken
    /// as they are
    GradientCells(const Replay& replay, const CellQuirks& quirks, const Plan& masked, const HeldStages& read,
                  const HeldStages& forward, const Given& given);

    void run(gradient::Backward<double>& backward, bool keep);
    /// What run() has kept; null: nothing.
    Held made(Stage stage) const { return made_[idx(stage)]; }

  private:
    using Matrix = std::vector<double>;  ///< [query, key] of one head

    const double* cells_of(Stage stage, Index b, Index h) const { return read_[stage]->row(b, h, 0); }
    void take(Stage stage, Index b, Index h, Matrix& d);
    Matrix entering(Index b, Index h) const;
    void hide(Index b, Index h);
    void back(Stage stage, Index b, Index h, Matrix& d);
    void through_weights(Index b, Index h, Matrix& d);
    std::vector<double> loss(Index b, Index h, const Matrix& d) const;
    void to_scores(Index b, Index h, Matrix& d);
    void to_values(Index b, Index h);
    void to_queries_and_keys(Index b, Index h, const Matrix& ds);
    void additive(Index b, Index h, const Matrix& ds);
    void to_bias(Index b, Index h, const Matrix& d);
    Index kv_head_of(Index h) const;
    double share_of(Index h) const;
    const Matrix& weights(Index b, Index h);

    const Replay& replay_;
    const Plan& plan_;
    const CellQuirks& quirks_;
    const HeldStages &read_, &forward_;
    const Given& given_;
    gradient::Backward<double>* backward_ = nullptr;
    std::vector<Stage> stages_;  ///< of queries x keys but for the pairs, in their order
    Stage last_ = Stage::weights;
    double lambda_ = 0;
    Mask<double> planned_, mask_;
    Plan without_numbers_;
    Mask<double> rules_;
    std::vector<std::uint8_t> hidden_;  ///< of one head
    std::vector<std::uint8_t> empty_;   ///< rows of it that see nothing
    Matrix weights_, last_weights_, undropped_;
    std::vector<double> loss_of_all_;  ///< [batch, query], summed over heads
    bool summing_ = false;
    std::array<std::shared_ptr<Numbers4>, stage_count> made_{};
    bool keep_ = false;
};

}  // namespace attn
