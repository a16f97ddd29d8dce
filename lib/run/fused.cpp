#include "lib/run/fused.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/run/ops.hpp"
#include "lib/run/seen_keys.hpp"

namespace attn {
namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

constexpr Index block_keys = blocking::block, job_rows = blocking::fused_rows;

/// A row of Space::context is the context under way, and what its roundings have lost.
constexpr Index parts_of_a_row = 2;

}  // namespace

template <class T>
Fused<T>::Fused(const Operands<T>& operands, Arena& arena, Pool& pool)
    : operands_(operands), plan_(operands.plan), pool_(pool), kernel_(kernels::table<T>()), rules_(operands) {
    for (int k = 0; k < (plan_.packs_by_worker ? pool.workers() : 1); ++k)
        packs_.emplace_back(operands, arena, plan_.packs_by_worker);
    for (int k = 0; k < pool.workers(); ++k)
        spaces_.push_back({arena.take<T>(job_rows * block_keys),
                           arena.take<T>(job_rows * parts_of_a_row * plan_.value_dim),
                           arena.take<T>(job_rows),
                           arena.take<double>(job_rows),
                           {},
                           &packs_.front()});
}

template <class T>
void Fused<T>::run(Contexts<T>& contexts, LogSums<T>& log_sums) {
    std::vector<KeyHead> heads;
    for (const Index b : plan_.batch_shown.indices)
        for (Index k = 0; k < plan_.kv_heads; ++k)
            if (std::any_of(operands_.heads.begin(), operands_.heads.end(),
                            [&](Index h) { return plan_.kv_head_of(h) == k; }))
                heads.push_back({b, k});
    if (plan_.packs_by_worker) {
        // Short heads: a worker packs one and computes all of it while it is in its own cache.
        pool_.run(static_cast<Index>(heads.size()), [&](Index k, int worker) {
            const auto at = static_cast<std::size_t>(k), own = static_cast<std::size_t>(worker);
            packs_[own].hold(heads[at]);
            spaces_[own].packs = &packs_[own];
            for (const Job& job : jobs_of({&heads[at], 1})) compute(job, spaces_[own], contexts, log_sums);
        });
        return;
    }
    Packs<T>& packs = packs_.front();
    const auto at_once = static_cast<std::size_t>(packs.capacity());
    for (std::size_t from = 0; from < heads.size(); from += at_once) {
        const std::span group(heads.data() + from, std::min(at_once, heads.size() - from));
        packs.hold(group, true, pool_);
        const std::vector<Job> jobs = jobs_of(group);
        pool_.run(static_cast<Index>(jobs.size()), [&](Index k, int worker) {
            compute(jobs[idx(k)], spaces_[idx(worker)], contexts, log_sums);
        });
    }
}

/// Head by head, so that its keys stay in the cache; within a head from the longest to the shortest.
template <class T>
auto Fused<T>::jobs_of(std::span<const KeyHead> heads) const -> std::vector<Job> {
    std::vector<Job> jobs;
    for (std::size_t slot = 0; slot < heads.size(); ++slot) {
        const auto from = static_cast<std::ptrdiff_t>(jobs.size());
        for (const Index h : operands_.heads) {
            if (plan_.kv_head_of(h) != heads[slot].head) continue;
            for_blocks(plan_, heads[slot].batch, h, job_rows, [&](const RowBlock& block) {
                Index cells = 0;
                for (Index i = 0; i < block.rows; ++i) {
                    const Visible v = operands_.mask.visible(block.batch, block.query + i);
                    cells += v.to - v.from;
                }
                jobs.push_back({block, static_cast<Index>(slot), cells});
            });
        }
        std::stable_sort(jobs.begin() + from, jobs.end(),
                         [](const Job& a, const Job& b) { return a.cells > b.cells; });
    }
    return jobs;
}

template <class T>
void Fused<T>::compute(const Job& job, Space& w, Contexts<T>& contexts, LogSums<T>& log_sums) const {
    const RowBlock& block = job.block;
    w.visible.resize(static_cast<std::size_t>(block.rows));
    for (Index i = 0; i < block.rows; ++i)
        w.visible[idx(i)] = operands_.mask.visible(block.batch, block.query + i);
    std::fill_n(w.context, block.rows * parts_of_a_row * plan_.value_dim, T{0});
    // A sink is a score that was seen before all others and carries no value.
    const T sink = plan_.sinks.empty() ? -infinity<T> : rules_.sink(block.head);
    std::fill_n(w.max, block.rows, sink);
    std::fill_n(w.sum, block.rows,
                plan_.sinks.empty() ? 0.0 : std::exp2(-kernel_.rounding(sink, rules_.factor())));
    const Index from = w.visible.front().from / block_keys * block_keys,
                to = plan_.has_appended() ? plan_.keys : w.visible.back().to;
    for (Index k0 = from; k0 < to; k0 += block_keys)
        key_block(job, w, k0, std::min(k0 + block_keys, plan_.keys));
    if (T* out = log_sums.of(block.batch, block.head))
        for (Index i = 0; i < block.rows; ++i) out[block.first + i] = rules_.log_sum(w.max[i], w.sum[i]);
    finish(job, w, contexts);
}

/// One step of the running softmax over keys k0 ... k1 - 1.
template <class T>
void Fused<T>::key_block(const Job& job, Space& w, Index k0, Index k1) const {
    for_rows_alike(w.visible, k0, k1, plan_.given_keys(), [&](Index first, Index rows, Visible keys) {
        if (keys.from < keys.to) step(job, w, first, rows, keys);
    });
}

/// Rows first ... first + rows - 1 with all of `keys`.
template <class T>
void Fused<T>::step(const Job& job, Space& w, Index first, Index rows, Visible keys) const {
    const RowBlock& block = job.block;
    const Index stride = operands_.queries.token, width = plan_.value_dim;
    w.packs->scores(job.slot, keys.from, keys.to, operands_.queries_of(block) + first * stride, stride,
                    w.scores, block_keys, rows);
    for (Index i = 0; i < rows; ++i) {
        const Visible& v = w.visible[idx(first + i)];
        if (rules_.changes_all() || v.from > keys.from || v.to < keys.to)
            rules_.apply(block.batch, block.head, block.query + first + i, keys.from, keys.to,
                         w.scores + i * block_keys);
    }
    const Index row = parts_of_a_row * width;
    T* context = w.context + first * row;
    kernel_.weigh(w.scores, block_keys, rows, keys.to - keys.from, rules_.factor(),
                  {w.max + first, w.sum + first, context, row, row});
    w.packs->add_values(job.slot, keys.from, keys.to, w.scores, block_keys, context, context + width, row,
                        rows);
}

/// The mean of all values, added up as a context is.
template <class T>
void Fused<T>::fill_uniform(const Job& job, Space& w, T* context) const {
    const Index width = plan_.value_dim;
    std::fill_n(context, parts_of_a_row * width, T{0});
    std::fill_n(w.scores, block_keys, T{1} / static_cast<T>(plan_.keys));
    for (Index k0 = 0; k0 < plan_.keys; k0 += block_keys)
        w.packs->add_values(job.slot, k0, std::min(k0 + block_keys, plan_.keys), w.scores, block_keys,
                            context, context + width, parts_of_a_row * width, 1);
}

template <class T>
void Fused<T>::finish(const Job& job, Space& w, Contexts<T>& contexts) const {
    const RowBlock& block = job.block;
    const Index width = plan_.value_dim;
    for (Index i = 0; i < block.rows; ++i) {
        T* context = w.context + i * parts_of_a_row * width;
        T* out = contexts.row(block.batch, block.first + i, block.head);
        const bool saw_nothing = w.max[i] == -infinity<T> && w.sum[i] == 0;
        if (rules_.is_empty(block.batch, block.head, block.query + i, saw_nothing)) {
            contexts.is_empty(block.batch, block.head, block.query + i);
            if (plan_.empty_rows == EmptyRows::uniform) {
                fill_uniform(job, w, context);
                kernel_.add_rest(context + width, context, width);
                std::copy_n(context, width, out);
            } else {
                std::fill_n(out, width, ops::empty_context<T>(plan_.empty_rows));
            }
            continue;
        }
        kernel_.add_rest(context + width, context, width);
        kernel_.divide(context, out, width, w.sum[i]);
    }
}

template class Fused<float>;
template class Fused<double>;

}  // namespace attn
