#pragma once
#include <array>
#include <optional>
#include <vector>

#include "lib/plan/needs.hpp"
#include "lib/run/linear.hpp"
#include "lib/run/operands.hpp"
#include "lib/run/sources.hpp"

namespace attn {

/// Everything before the scores, or before the state: projections, and what becomes of queries, keys and
/// values. Only the stages that are needed are made, for the batch items and query rows that are shown; they
/// stay until the next call.
template <class T>
class Projections {
  public:
    Projections(const Plan& plan, const Tensors<T>& tensors, Pool& pool, Arena& arena);

    /// Makes the stages of Phase::source that are needed, and says in `operands` what scores and contexts
    /// read.
    void make(const Needs& needs, Operands<T>& operands);

    /// A source stage, [batch, head, token, width]: the numbers of a plan's stage that was needed.
    const View<T>& of(Stage stage) const { return stages_[idx(stage)]; }
    /// What opens the gate, [batch, head, shown row, value_dim].
    const View<T>& gate() const { return gate_; }
    const std::optional<LinearMap<T>>& map(WeightRole r) const { return maps_[idx(r)]; }
    /// Space for one projection's packed weights, used again by the next one's.
    Arena& panels() {
        panels_.rewind();
        return panels_;
    }

  private:
    /// What a projection is applied to: [batch, token, width].
    struct Input {
        const T* data;
        Index tokens, width;
    };
    /// An input, normed where the plan says so.
    Input input(std::size_t tensor) const;
    void norm_embeddings();
    View<T> placed(const Input& x, Index heads, Index dim) const;
    View<T> project(WeightRole role, const Input& x, const std::vector<Index>& tokens, Index heads, Index dim,
                    const std::vector<Index>& wanted);
    View<T> query_rows(const View<T>& x, Index dim, bool are_whole);
    void project_all();
    void project_latent();
    void prepare(Operands<T>& operands);
    void norm(Operands<T>& operands);
    void rotate(Operands<T>& operands);
    void prepare_state(Operands<T>& operands);
    void per_token(Stage stage, WeightRole role, const std::optional<std::size_t>& given, Index dim);
    View<T>& at(Stage stage) { return stages_[idx(stage)]; }
    HeadsOf query_heads() const { return {plan_.query_heads(), needs_.query_heads}; }
    HeadsOf key_heads() const { return {plan_.key_heads(), needs_.key_heads}; }
    HeadsOf kv_heads() const { return {plan_.kv_heads, needs_.kv_heads}; }
    HeadsOf value_heads() const { return {plan_.value_heads(), needs_.value_heads}; }

    const Plan& plan_;
    const Tensors<T>& tensors_;
    Pool& pool_;
    Arena& arena_;
    Arena panels_;
    Sources<T> sources_;
    std::array<std::optional<LinearMap<T>>, projection_count> maps_;  ///< by role
    Needs needs_;
    std::array<View<T>, stage_count> stages_;
    View<T> gate_, past_keys_, past_values_;
};

}  // namespace attn
