#include "lib/gradient/forward.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "lib/plan/blocking.hpp"
#include "lib/run/fused.hpp"
#include "lib/run/recurrence.hpp"

namespace attn::gradient {
namespace {

template <class T>
View<T> view_of(const Contexts<T>& contexts, const Plan& plan, Index heads) {
    const Index row = heads * plan.value_dim;
    return {contexts.row(0, 0, 0), plan.queries * row, plan.value_dim, row};
}

Needs all_of(const Plan& plan, bool cells_only) {
    std::vector<const PlannedStage*> wanted;
    for (const PlannedStage& s : plan.stages) {
        const Phase phase = info_of(s.stage).phase;
        if (s.on_request || (cells_only && phase != Phase::cells)) continue;
        wanted.push_back(&s);
    }
    return needs_of(plan, wanted);
}

/// All of the plan in T, by as many workers as it has; what is shown is shown elsewhere.
template <class T>
Plan plan_of_backward(const Plan& planned) {
    Plan plan = planned;
    if constexpr (std::is_same_v<T, double>)
        plan = in_double(std::move(plan));
    else
        static_cast<Schedule&>(plan) = whole(plan);
    plan.threads = planned.threads;
    plan.row_block = blocking::backward_rows(plan.queries, plan.keys);
    for (PlannedStage& s : plan.stages) s.shown = false;
    return plan;
}

}  // namespace

template <class T>
Forward<T>::Forward(const Plan& planned, const BackwardNeeds& backward_needs)
    : plan_(plan_of_backward<T>(planned)),
      backward_needs_(backward_needs),
      pool_(plan_.threads),
      tensors_(plan_, pool_),
      mask_(plan_, tensors_),
      biases_(plan_, tensors_),
      dropout_(plan_, tensors_),
      projections_(plan_, tensors_, pool_, arena_),
      outputs_(plan_, tensors_, pool_),
      findings_(plan_),
      needs_(all_of(plan_, false)),
      needs_of_cells_(all_of(plan_, true)),
      operands_{plan_, mask_, biases_, {}, true, {}, {}, {}, {}} {
    if (plan_.additive) operands_.additive = tensors_[*plan_.additive];
    operands_.heads = counted(plan_.heads);
    for (const PlannedStage& s : plan_.stages)
        if (info_of(s.stage).phase == Phase::cells) cells_.push_back(&s);
}

template <class T>
void Forward<T>::compute() {
    arena_.rewind();
    projections_.make(needs_, operands_);
    if (plan_.differential)
        lambda_ = plan_.differential->factor(
            [&](std::size_t k, Index at) { return static_cast<double>(tensors_[k][idx(at)]); });
    if (!plan_.state && !backward_needs_.fused)
        traced_ = std::make_unique<Traced<T>>(operands_, needs_of_cells_, dropout_, arena_, pool_);
    make_contexts();
}

template <class T>
void Forward<T>::compute_cells(const RowBlock& block, DropoutRows& dropout, TraceSpace<T>& space) const {
    if (plan_.dropout) {
        space.keep.resize(idx(block.rows * plan_.keys));
        for (Index i = 0; i < block.rows; ++i)
            dropout.row(block.batch, block.head, block.query + i, space.keep.data() + i * plan_.keys);
    }
    traced_->compute(block, needs_of_cells_, true, space);
}

template <class T>
std::vector<Index> Forward<T>::readers_of(Index value_head) const {
    std::vector<Index> out;
    for (Index h = 0; h < plan_.heads; ++h)
        if (plan_.value_head_of(plan_.kv_head_of(h)) == value_head) out.push_back(h);
    return out;
}

/// Only where something is made of them.
template <class T>
void Forward<T>::make_contexts() {
    const bool read = plan_.context_norm || plan_.gate || plan_.concat_norm || plan_.has_output ||
                      (plan_.gradient && plan_.gradient->loss == Loss::mean_squared_error);
    if (!read) return;
    const Index heads = plan_.context_heads(), width = plan_.value_dim;
    contexts_ = std::make_unique<Contexts<T>>(plan_, findings_, true, heads);
    contexts_->take(arena_);
    std::fill_n(contexts_->row(0, 0, 0), plan_.batch * plan_.queries * heads * width, T{0});
    if (plan_.state) {
        const std::optional<std::size_t>& past = plan_.state->past;
        Recurrence<T>(operands_, projections_.of(Stage::decay), projections_.of(Stage::beta),
                      past ? tensors_[*past] : std::span<const T>{}, arena_, pool_)
            .run(contexts_.get(), false);
    } else if (backward_needs_.fused) {
        LogSums<T> none;
        Fused<T>(operands_, arena_, pool_).run(*contexts_, none);
    } else {
        weigh_values();
    }
    outputs_.prepare(needs_, projections_, findings_, arena_);
    if (needs_.any(Phase::gated)) outputs_.apply_gate(needs_, *contexts_, projections_.gate());
    if (needs_.has(Stage::normed_concat)) outputs_.norm_concat(*contexts_);
}

/// Contexts of weights, block by block.
template <class T>
void Forward<T>::weigh_values() {
    const Index heads = plan_.context_heads(), width = plan_.value_dim;
    const auto& kernel = kernels::table<T>();
    std::vector<std::vector<T>> parts(spaces().size());
    pool_.run(plan_.batch * heads, [&](Index job, int worker) {
        const Index b = job / heads, head = job % heads;
        DropoutRows keep = dropout();
        TraceSpace<T>& space = spaces()[idx(worker)];
        std::vector<T>& part = parts[idx(worker)];
        part.resize(idx(plan_.row_block * width));
        for (Index h = 0; h < plan_.heads; ++h) {
            if (plan_.context_head_of(h) != head) continue;
            const bool second = plan_.differential && h == plan_.differential->half_of(head, true, heads);
            const Index value_head = plan_.value_head_of(plan_.kv_head_of(h));
            for_blocks(plan_, b, h, plan_.row_block, [&](const RowBlock& block) {
                compute_cells(block, keep, space);
                kernel.multiply(space.at[idx(cells_.back()->stage)], plan_.keys,
                                operands_.values.row(b, value_head, 0), operands_.values.token, part.data(),
                                width, block.rows, width, plan_.keys);
                for (Index i = 0; i < block.rows; ++i)
                    for (Index k = 0; k < width; ++k)
                        contexts_->row(b, block.first + i, head)[k] += static_cast<T>(
                            (second ? -lambda_ : 1.0) * static_cast<double>(part[idx(i * width + k)]));
            });
        }
    });
}

template <class T>
void Forward<T>::take(const std::array<const Stored4<T>*, stage_count>& numbers) {
    taken_ = numbers;
    const auto view = [&](Stage s, View<T>& to) {
        if (taken_[idx(s)]) to = taken_[idx(s)]->view();
    };
    const std::vector<Stage>& of_context = plan_.find(Stage::context)->reads;
    const std::vector<Stage>& read = plan_.state ? of_context : plan_.find(Stage::scores)->reads;
    view(read[0], operands_.queries);
    view(read[1], operands_.keys);
    view(of_context[plan_.state ? 2 : 1], operands_.values);
}

template <class T>
View<T> Forward<T>::of(Stage stage) const {
    if (taken_[idx(stage)]) return taken_[idx(stage)]->view();
    const Index heads = plan_.context_heads();
    if (stage == Stage::context) return view_of<T>(*contexts_, plan_, heads);
    if (stage == Stage::normed_context || stage == Stage::gated_context)
        return view_of(outputs_.of(stage), plan_, heads);
    return projections_.of(stage);
}

template <class T>
View<T> Forward<T>::joined() const {
    const Index heads = plan_.context_heads();
    const PlannedStage* normed = plan_.find(Stage::normed_concat);
    for (const Stage s : {Stage::normed_concat, Stage::concat})
        if (plan_.find(s) && taken_[idx(s)]) return taken_[idx(s)]->view();
    View<T> out = normed               ? view_of(outputs_.normed_concats(), plan_, heads)
                  : plan_.gate         ? of(Stage::gated_context)
                  : plan_.context_norm ? of(Stage::normed_context)
                                       : of(Stage::context);
    out.head = 0;
    return out;
}

template class Forward<float>;
template class Forward<double>;

}  // namespace attn::gradient
