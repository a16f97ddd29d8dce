#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// What a run has to warn of: rows without a visible key, numbers that are not finite. One warning of a kind,
/// with the first place in the order of stages, batch, head, row, column, whatever order the work was done
/// in.
class Findings {
  public:
    explicit Findings(const Plan& plan);

    /// Forgets everything.
    void start();
    void start_pass() { empty_count_ = 0; }
    void empty_row(Index batch, Index head, Index query);
    /// The same of a row that is not computed: counted once, beside those of the fullest pass.
    void empty_row_left_out(Index batch, Index head, Index query);
    /// Looks for numbers that are not finite where the stage should have none.
    void look_at(const Rows& rows);
    /// What another worker has found in the same pass.
    void merge(const Findings& other);
    std::vector<std::string> warnings() const;

  private:
    const Plan& plan_;
    const PlannedStage& stage_at(Index place) const;
    void take_first(const std::array<Index, 3>& spot);

    std::vector<bool> may_be_minus_infinity_;  ///< by the place in plan.stages, then gradients
    Index empty_count_ = 0, most_empty_ = 0, empty_left_out_ = 0;
    std::optional<std::array<Index, 3>> first_empty_;
    struct Spot {
        std::array<Index, 6>
            at;  ///< place in plan.stages or gradients, batch, head, token (of states), row, column
        double value;
        StageShape family;
    };
    std::optional<Spot> first_nonfinite_;
};

}  // namespace attn
