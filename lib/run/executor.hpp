#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "lib/run/contexts.hpp"
#include "lib/run/fused.hpp"
#include "lib/run/linear.hpp"
#include "lib/run/recurrence.hpp"
#include "lib/run/single_rows.hpp"
#include "lib/run/sink.hpp"
#include "lib/run/sources.hpp"
#include "lib/run/traced.hpp"

namespace attn {

/// Runs a plan in T, as often as it is asked to. What a stage needs is computed when it is asked for, and
/// only for the shown batch items, heads and query rows; stages of queries x keys live only as long as their
/// row block.
template <class T>
class Executor {
  public:
    explicit Executor(const Plan& plan);
    /// Returns the warnings of the run, not those of planning.
    std::vector<std::string> run(Sink& sink);

  private:
    void prepare(Sink& sink);
    void place_contexts(Sink& sink);
    /// What a projection is applied to: [batch, token, width].
    struct Input {
        const T* data;
        Index tokens, width;
    };
    Input input(std::size_t tensor) const;
    View<T> project(WeightRole role, const Input& x, const std::vector<Index>& tokens, Index heads, Index dim,
                    const std::vector<Index>& wanted);
    View<T> placed(const Input& x, Index heads, Index dim) const;
    /// What has to be there before the scores, or before the state.
    struct Needs {
        bool keys, values, all;  ///< all: queries and keys as the scores read them
        std::vector<Index> kv_heads;
    };
    void project_all(const Needs& needs);
    void project_latent(const Needs& needs);
    View<T> query_rows(const View<T>& x, Index dim);
    void prepare_operands(const Needs& needs);
    void prepare_state(const Needs& needs);
    View<T> per_token(Stage stage, WeightRole role, const std::optional<std::size_t>& given, Index dim,
                      const Needs& needs);
    View<T>& at(Stage stage) { return sources_[static_cast<std::size_t>(stage)]; }
    const std::optional<LinearMap<T>>& map(WeightRole r) const { return maps_[static_cast<std::size_t>(r)]; }
    /// For the weights of the next projection, in place of the last one's.
    Arena& panels() {
        panels_.rewind();
        return panels_;
    }
    void pass(Sink& sink, const std::vector<const PlannedStage*>& shown);
    void compute_contexts(Sink& sink);
    void apply_gate();
    Contexts<T>& merged_contexts() { return plan_.gate ? *gated_contexts_ : *contexts_; }
    Contexts<T>& contexts_of(Stage stage);
    void trace(Sink& sink, const std::vector<const PlannedStage*>& shown, Stage last);
    void trace_in_place(Sink& sink, const std::vector<const PlannedStage*>& shown, Stage last,
                        const std::vector<RowBlock>& blocks);
    void trace_in_order(Sink& sink, const std::vector<const PlannedStage*>& shown, Stage last,
                        const std::vector<RowBlock>& blocks);
    void look_at_rows_left_out();
    void take_block(const RowBlock& block, Stage last, const TraceSpace<T>& w, Findings& findings);
    void emit_source(Sink& sink, const PlannedStage& stage);
    void emit_per_key(Sink& sink, const PlannedStage& stage);
    void emit_state(Sink& sink, const PlannedStage& stage);
    void emit_projected(Sink& sink, const PlannedStage& stage);
    void emit_contexts(Sink& sink, const PlannedStage& stage);
    Index merged_rows() const;
    void emit_merged(Sink& sink, const PlannedStage& stage, Index batch);
    Rows rows_of(const PlannedStage& stage, Index batch, Index head, Index row_begin, Index rows) const;
    void emit(Sink& sink, Rows rows, const T* data, Index stride, const std::uint8_t* hidden);
    bool wants(Stage first, Stage last) const;
    bool shows_head(Index head) const;

    const Plan& plan_;
    Findings findings_;
    Pool pool_;
    Tensors<T> tensors_;
    Mask<T> mask_;
    Biases<T> biases_;
    DropoutRows dropout_;
    std::array<std::optional<LinearMap<T>>, projection_count> maps_;  ///< by role
    Arena arena_;
    Arena panels_;             ///< the weights of the projection under way, packed
    std::vector<Index> dims_;  ///< 0, 1, 2, ... as column numbers

    // Of the run under way.
    std::array<View<T>, stage_count> sources_;  ///< stages before the scores
    View<T> gate_, past_keys_, past_values_;
    Operands<T> operands_;
    std::optional<Linear<T>> output_;
    std::unique_ptr<Contexts<T>> contexts_, normed_contexts_, gated_contexts_;
    std::unique_ptr<Traced<T>> traced_;
    std::unique_ptr<Recurrence<T>> recurrence_;
    bool contexts_in_place_ = false, keeps_contexts_ = false, has_contexts_ = false;
    std::vector<T> gathered_;
    std::vector<std::uint8_t> gathered_hidden_;
};

}  // namespace attn
