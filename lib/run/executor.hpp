#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "lib/run/fused.hpp"
#include "lib/run/outputs.hpp"
#include "lib/run/single_rows.hpp"
#include "lib/run/traced.hpp"

namespace attn {

/// Runs a plan in T, as often as it is asked to: says in which order projections, scores, contexts and what
/// follows them are made and pushed. What a stage needs is computed when it is asked for, and only for the
/// shown batch items, heads and query rows; stages of queries x keys live only as long as their row block.
template <class T>
class Executor {
  public:
    explicit Executor(const Plan& plan);
    /// Returns the warnings of the run, not those of planning.
    std::vector<std::string> run(Sink& sink);

  private:
    using Shown = std::vector<const PlannedStage*>;

    void prepare(Sink& sink);
    void place_contexts(Sink& sink);
    void pass(Sink& sink, const Shown& shown);
    void compute_contexts(Sink& sink);
    void trace(Sink& sink, const Shown& shown, const Needs& needs);
    void trace_in_place(Sink& sink, const Shown& shown, const Needs& needs,
                        const std::vector<RowBlock>& blocks);
    void trace_in_order(Sink& sink, const Shown& shown, const Needs& needs,
                        const std::vector<RowBlock>& blocks);
    template <class F>
    void compute_in_order(const std::vector<RowBlock>& blocks, const Needs& needs, F&& f);
    void look_at_rows_left_out();
    void take_block(const RowBlock& block, const Needs& needs, const TraceSpace<T>& w, Findings& findings);
    /// A head, and the factor of its weights in a sum of heads.
    struct HeadShare {
        Index head;
        double share;
    };
    std::vector<HeadShare> shares_of(std::optional<Index> head) const;
    void add_weights(Sink& sink, const PlannedStage& stage, Index batch, Index head,
                     const std::vector<HeadShare>& shares, double divisor);
    void keep_contexts();
    /// Where contexts of the heads of queries go: half heads where there are such.
    Contexts<T>& of_query_heads() const { return plan_.differential ? *halves_ : *contexts_; }
    T* log_sums_of(const RowBlock& block, const Needs& needs) const;
    bool is_traced(Stage stage) const;
    bool shows_head(Index head) const;

    const Plan& plan_;
    const Needs needs_;  ///< of all stages that are shown
    Findings findings_;
    Pool pool_;
    Arena arena_;
    Tensors<T> tensors_;
    Mask<T> mask_;
    Biases<T> biases_;
    DropoutRows dropout_;
    Projections<T> projections_;
    Outputs<T> outputs_;
    Emitter<T> emitter_;

    // Of the run under way.
    Operands<T> operands_;
    std::unique_ptr<Contexts<T>> contexts_, halves_;
    double lambda_ = 0;  ///< of differential attention
    LogSums<T> log_sums_;
    std::unique_ptr<Traced<T>> traced_;
    std::unique_ptr<Recurrence<T>> recurrence_;
    bool contexts_in_place_ = false;  ///< they are computed where the sink wants them
    bool keeps_contexts_ = false;     ///< they outlive their row block
    bool has_contexts_ = false;       ///< and are there
    bool has_traced_ = false;         ///< blocks were traced in this pass: their empty rows are counted
};

}  // namespace attn
