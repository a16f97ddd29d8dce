#include "lib/run/outputs.hpp"

#include <algorithm>

#include "lib/run/ops.hpp"

namespace attn {

template <class T>
Outputs<T>::Outputs(const Plan& plan, const Tensors<T>& tensors, Pool& pool)
    : plan_(plan), tensors_(tensors), pool_(pool) {}

template <class T>
bool Outputs<T>::is_applied_once(const Needs& needs) const {
    return !needs.has(Stage::head_outputs) &&
           blocking::is_one_push(
               static_cast<Index>(plan_.batch_shown.indices.size() * plan_.queries_shown.indices.size()),
               pool_.workers());
}

template <class T>
void Outputs<T>::prepare(const Needs& needs, Projections<T>& projections, Findings& findings, Arena& arena) {
    projections_ = &projections;
    output_.reset();
    if (needs.applies(WeightRole::output) && !is_applied_once(needs))
        output_.emplace(*projections.map(WeightRole::output), 0, plan_.output_dim,
                        plan_.batch * plan_.queries, projections.panels(), &pool_);
    for (auto* gated : {&normed_contexts_, &gated_contexts_}) {
        gated->reset();
        if (!needs.any(Phase::gated)) continue;
        *gated = std::make_unique<Contexts<T>>(plan_, findings, true, plan_.context_heads());
        (*gated)->take(arena);
    }
    normed_concats_.reset();
    if (!needs.has(Stage::normed_concat)) return;
    normed_concats_ = std::make_unique<Contexts<T>>(plan_, findings, true, plan_.context_heads());
    normed_concats_->take(arena);
}

template <class T>
void Outputs<T>::apply_gate(const Needs& needs, const Contexts<T>& contexts, const View<T>& gate) {
    const auto count = static_cast<Index>(plan_.queries_shown.indices.size());
    const Index width = plan_.value_dim;
    const bool norms = needs.has(Stage::normed_context);
    if (norms) {
        const Norming<T> norming(*plan_.context_norm, plan_, tensors_);
        const bool together = plan_.context_norm->over_width;
        for (const Index b : plan_.batch_shown.indices)
            for (Index k = 0; k < count; ++k) {
                if (together)
                    norming(contexts.row(b, k, 0), width, normed_contexts_->row(b, k, 0), width,
                            plan_.context_heads(), width);
                else
                    for (const Index h : needs.context_heads)
                        norming(contexts.row(b, k, h), 0, normed_contexts_->row(b, k, h), 0, 1, width);
            }
    }
    if (!needs.has(Stage::gated_context)) return;
    const Contexts<T>& from = norms ? *normed_contexts_ : contexts;
    const Rounding rounding = plan_.rounding;
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : needs.context_heads)
            for (Index k = 0; k < count; ++k) {
                const T *x = from.row(b, k, h), *g = gate.row(b, h, k);
                T* out = gated_contexts_->row(b, k, h);
                for (Index j = 0; j < width; ++j) {
                    const auto own = static_cast<double>(g[plan_.gate_by_head ? 0 : j]);
                    const double opening = rounding(ops::opening(plan_.gate->activation, own));
                    out[j] = rounding(static_cast<T>(static_cast<double>(x[j]) * opening));
                }
            }
}

template <class T>
void Outputs<T>::norm_concat(const Contexts<T>& contexts) {
    const Contexts<T>& from = joined(contexts);
    const Norming<T> norming(*plan_.concat_norm, plan_, tensors_);
    const auto count = static_cast<Index>(plan_.queries_shown.indices.size());
    constexpr Index rows = Linear<T>::rows_of_a_job;
    const Index jobs = blocking::parts(count, rows);
    const auto& items = plan_.batch_shown.indices;
    pool_.run(static_cast<Index>(items.size()) * jobs, [&](Index job, int) {
        const Index b = items[idx(job / jobs)], first = job % jobs * rows;
        for (Index k = first; k < std::min(first + rows, count); ++k)
            norming(from.row(b, k, 0), 0, normed_concats_->row(b, k, 0), 0, 1, from.stride());
    });
}

template <class T>
void Outputs<T>::merged(Sink& sink, const PlannedStage& stage, Index batch, const Contexts<T>& contexts,
                        Emitter<T>& emitter) {
    const Contexts<T>& from =
        normed_concats_ && stage.stage != Stage::concat ? *normed_concats_ : joined(contexts);
    const Index width = from.stride(), out = plan_.output_dim, dim = plan_.value_dim;
    // Rows that are computed before they are pushed: some jobs for each worker.
    const Index rows = blocking::merged_rows * pool_.workers();
    const auto each_block = [&](auto&& f) { for_blocks(plan_, batch, 0, rows, f); };
    if (stage.stage == Stage::concat || stage.stage == Stage::normed_concat) {
        each_block([&](const RowBlock& r) {
            emitter.push(sink, emitter.rows_of(stage, batch, 0, r.query, r.rows), from.row(batch, r.first, 0),
                         width);
        });
        return;
    }
    std::vector<T> result(idx(std::min(rows, plan_.queries) * out));
    const auto push = [&](const RowBlock& r, Index head) {
        emitter.push(sink, emitter.rows_of(stage, batch, head, r.query, r.rows), result.data(), out);
    };
    if (!output_) {
        each_block([&](const RowBlock& r) {
            const typename Linear<T>::Run run{from.row(batch, r.first, 0), r.rows, result.data()};
            Linear<T>::apply_once(*projections_->map(WeightRole::output), 0, out, plan_.batch * plan_.queries,
                                  {&run, 1}, width, out, pool_, projections_->panels());
            push(r, 0);
        });
        return;
    }
    const auto multiply = [&](const RowBlock& r, Index head, auto&& part) {
        pool_.run(blocking::parts(r.rows, Linear<T>::rows_of_a_job), [&](Index j, int) {
            const Index first = j * Linear<T>::rows_of_a_job;
            part(from.row(batch, r.first + first, 0), std::min(Linear<T>::rows_of_a_job, r.rows - first),
                 result.data() + first * out);
        });
        push(r, head);
    };
    if (stage.stage == Stage::head_outputs) {
        for (const Index h : plan_.heads_of(stage.family).indices)
            each_block([&](const RowBlock& r) {
                multiply(r, h, [&](const T* x, Index n, T* y) {
                    output_->multiply(x + h * dim, width, n, y, out, h * dim, (h + 1) * dim);
                    plan_.rounding(y, n * out);
                });
            });
        return;
    }
    each_block([&](const RowBlock& r) {
        multiply(r, 0, [&](const T* x, Index n, T* y) { output_->apply(x, width, n, y, out); });
    });
}

template class Outputs<float>;
template class Outputs<double>;

}  // namespace attn
