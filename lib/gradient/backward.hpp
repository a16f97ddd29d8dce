#pragma once
// The backward pass (docs/gradients.md has the formulas), in the plan's type where it is fused, else in
// double.
//
// How a stage's backward is added: a stage is one node, and its backward one function that reads its gradient
// at(stage), which is complete then (whatever reads the stage has sent back), and adds to those of the stages
// that it reads, of_input(tensor) and of_tensor(k). Nodes go against the order in which stages read each
// other (Backward::run). Stages of queries x keys have functions of a row instead (cells.hpp), and states one
// walk through the tokens from the last to the first. The `switch`es have no `default`: the compiler names
// what a new stage lacks. Sums are added in an order that depends on the plan alone, never on the number of
// threads.
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lib/gradient/changes.hpp"
#include "lib/gradient/forward.hpp"

namespace attn::gradient {

/// Gradients of one stage.
template <class T>
using Grads = Stored4<T>;

template <class T>
class FusedBack;

template <class T>
class Backward {
  public:
    /// `forward`, and `changes` where there are some, have to outlive it.
    explicit Backward(Forward<T>& forward, const Changes* changes = nullptr);

    /// Everything that is shown or leads to it, but the stages of queries x keys, which are computed where
    /// they are shown, and what the plan streams: those start from d_context(). May be called again.
    void run();

    Forward<T>& forward() const { return forward_; }
    const Plan& plan() const { return plan_; }
    /// The gradient of a stage that is no stage of queries x keys: zeros before anything was sent back.
    Grads<T>& at(Stage stage);
    /// The same for who writes all of its numbers and adds to none, before anything was sent back.
    Grads<T>& unwritten(Stage stage) { return at_first(stage).grads; }
    Grads<T>& unwritten_scored_queries() {
        return plan_.projects(WeightRole::score) ? of_scored_queries()
                                                 : unwritten(plan_.find(Stage::scores)->reads.front());
    }
    /// The gradient of the contexts, [batch, head, query, dim], when it is complete.
    View<T> d_context();
    /// Where gradients go: added to what is there, or, where nothing was sent back before, in the place of
    /// whatever is there.
    struct To {
        T* at = nullptr;
        bool adds = true;
    };
    /// The gradient of an embedding, or of the stage that is made of it where this is normed first.
    T* of_input(std::size_t tensor);
    To into_input(std::size_t tensor);
    /// The gradient of an input or of a matrix, in its layout.
    std::vector<T>& of_given(std::size_t tensor);
    /// That of another parameter, which is added up token by token.
    std::vector<double>& of_tensor(std::size_t tensor);
    /// The gradient of what the scores read: of queries, or of queries · W_score.
    Grads<T>& of_scored_queries();
    /// The numbers of a planned gradient of a parameter, an input or a stage that is not of queries x keys,
    /// in its axes.
    std::vector<double> numbers_of(const PlannedStage& gradient);
    /// The same where they stand, if they are those of one tensor that is held in T; else null.
    const T* in_place(const PlannedStage& gradient) const;
    /// Steps that are done otherwise; null: none.
    const BackwardQuirks* quirks() const { return changes_ ? &changes_->quirks : nullptr; }
    /// What goes through weights that are not kept.
    FusedBack<T>& fused();
    std::vector<double>& sinks() { return sinks_; }
    double& lambda() { return lambda_; }

    /// The gradient enters a projection y = x · W + b: dy · Wᵀ goes to dx (null: nobody asks), xᵀ · dy is
    /// added to the tensors of W, sums of dy to those of b. \param x [rows, d_in] \param dy [rows, d_out],
    /// both dense
    void through_projection(WeightRole role, const T* x, Index rows, const T* dy, To dx);
    /// The gradient enters a norm. \param of one token: the first head's columns, heads so many numbers apart
    struct NormRow {
        const T *x, *dy;
        T* dx;
        Index x_step, dy_step, dx_step;
    };
    void through_norm(const PlannedNorm& norm, std::optional<double> limit, const NormRow& of, Index heads,
                      Index dim);

  private:
    std::vector<Stage> order() const;
    void node(const PlannedStage& stage);
    void take_given(Stage stage);
    bool reads_input(WeightRole role) const;
    bool sends_to_input(WeightRole role) const;
    MatrixBack matrix_back(WeightRole role) const;
    double rope_sign() const { return changes_ && changes_->quirks.rope_not_inverted ? -1 : 1; }

    void lambda_vectors();
    // matrices.cpp
    void send(const typename LinearMap<T>::Stored& w, Index d_in, Index d_out, Index rows, const T* dy,
              To dx);
    struct Operand;
    void turn_parts(const Operand& m, Index rows, T* to);
    void pack_parts(const Operand& m, Index rows, T* to);
    const T* kept(const Operand& x, Index rows, bool packed);
    T* product_over_rows(const Operand& a, const Operand& b, Index rows);
    void add_weights(const Projection& p, const T* dw, bool out_in);
    /// f(begin, end) of parts of so many numbers, by all workers: a thread alone takes longer than the
    /// products of a small layer.
    void in_parts(Index count, const std::function<void(Index, Index)>& f);
    void clear(std::vector<T>& numbers);

    // outputs.cpp
    void result();
    void output(const PlannedStage& stage);
    void normed_concat(const PlannedStage& stage);
    void concat(const PlannedStage& stage);
    void gated_context(const PlannedStage& stage);
    void normed_context(const PlannedStage& stage);

    // sources.cpp
    void normed(const PlannedStage& stage);
    void normed_embeddings(const PlannedStage& stage);
    void rotated(const PlannedStage& stage);
    void rope_keys(const PlannedStage& stage);
    void tempered(const PlannedStage& stage);
    void mapped(const PlannedStage& stage);
    void convolved(const PlannedStage& stage);
    void joined(const PlannedStage& stage);
    void projected(const PlannedStage& stage);
    void from_latent(const PlannedStage& stage);
    void latent(const PlannedStage& stage);
    void rate(const PlannedStage& stage);
    void score_weight();
    const T* input_numbers(std::size_t tensor) const;
    std::span<T> tokens_first(const Grads<T>& x);
    /// A stage's gradients as they are, and whether something was sent back to them in this run.
    struct AtFirst {
        Grads<T>& grads;
        bool adds;
    };
    AtFirst at_first(Stage stage);
    struct GivenAtFirst {
        std::vector<T>& numbers;
        bool adds;
    };
    GivenAtFirst given_at_first(std::size_t tensor);

    Forward<T>& forward_;
    Arena scratch_, flat_, keeps_;
    /// What several projections read, turned or packed.
    struct Kept {
        const T* of = nullptr;
        Index rows = 0;
        bool packed = false;
        T* at = nullptr;
    } kept_;
    std::shared_ptr<FusedBack<T>> fused_;  ///< its type is not known here
    const Plan& plan_;
    const Changes* changes_;
    std::array<std::unique_ptr<Grads<T>>, stage_count> stages_;
    std::array<bool, stage_count> is_sent_{};  ///< something was sent back to the stage in this run
    std::vector<std::vector<T>> given_;
    std::vector<bool> is_sent_given_;
    std::vector<std::vector<double>> tensors_;
    std::vector<double> sinks_;
    double lambda_ = 0;
    Grads<T> scored_;                 ///< of q · W_score
    std::vector<T> gate_of_queries_;  ///< the gate's half of what W_query makes, [batch, query, head, dim]
    std::optional<Grads<T>> past_keys_, past_values_;  ///< made of a cached latent
};

}  // namespace attn::gradient
