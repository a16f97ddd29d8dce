#pragma once
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "lib/explain/expr.hpp"
#include "lib/run/sink.hpp"

namespace attn::explain {

/// Every number that an explanation may name: the stages of a run and its gradients, as doubles, and the
/// tensors of its plan as the run reads them.
class Values : public Sink {
  public:
    /// Of `states` only those after some tokens are kept, and keys and values of one head only where that is
    /// given.
    Values(const Plan& plan, std::vector<Index> state_tokens, std::optional<Index> kv_head = {});
    ~Values() override;
    Values(const Values&) = delete;
    Values& operator=(const Values&) = delete;

    bool stage_by_stage() const override { return false; }
    void rows(const Rows& rows) override;

    double at(const Cell& cell) const;
    /// A mask hides the cell: of stages from the scores to the weights.
    bool is_hidden(const Cell& cell) const;
    /// Element `flat` (row-major) of tensor `k` of the plan, in the run's type.
    double tensor(std::size_t k, Index flat) const;

  private:
    struct Row {
        std::vector<double> numbers;
        std::vector<bool> hidden;
    };
    struct Inputs;
    const Row& row_of(const Cell& cell) const;

    const Plan& plan_;
    std::vector<Index> state_tokens_;
    std::optional<Index> kv_head_;
    /// By stage, gradient, batch item, head, token, row.
    std::map<std::tuple<Stage, Index, Index, Index, Index, Index>, Row> rows_;
    std::unique_ptr<Inputs> inputs_;
};

}  // namespace attn::explain
