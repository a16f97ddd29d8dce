#include "lib/run/fused.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace attn {
namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

constexpr Index block_keys = blocking::block, unit_keys = blocking::unit, job_rows = blocking::fused_rows;

/// Rows begin ... end - 1 of a block.
struct Part {
    Index begin = 0, end = 0;
};

/// Rows that see some key of k0 ... k1 - 1: both ends of what a row sees grow from row to row.
Part seeing(const std::vector<Visible>& rows, Index k0, Index k1) {
    const auto first =
        std::partition_point(rows.begin(), rows.end(), [&](const Visible& v) { return v.to <= k0; });
    const auto last = std::partition_point(first, rows.end(), [&](const Visible& v) { return v.from < k1; });
    return {first - rows.begin(), last - rows.begin()};
}

}  // namespace

template <class T>
Fused<T>::Fused(const Operands<T>& operands, Arena& arena, Pool& pool)
    : operands_(operands),
      plan_(operands.plan),
      pool_(pool),
      kernel_(kernels::table<T>()),
      rules_(operands),
      packs_(operands, arena, pool) {
    for (int k = 0; k < pool.workers(); ++k)
        spaces_.push_back({arena.take<T>(job_rows * block_keys),
                           arena.take<T>(job_rows * plan_.value_dim),
                           arena.take<T>(job_rows),
                           arena.take<double>(job_rows),
                           {}});
}

template <class T>
void Fused<T>::run(Contexts<T>& contexts) {
    std::vector<KeyHead> heads;
    for (const Index b : plan_.batch_shown.indices)
        for (Index k = 0; k < plan_.kv_heads; ++k)
            if (std::any_of(operands_.heads.begin(), operands_.heads.end(),
                            [&](Index h) { return plan_.kv_head_of(h) == k; }))
                heads.push_back({b, k});
    const auto at_once = static_cast<std::size_t>(packs_.capacity());
    for (std::size_t from = 0; from < heads.size(); from += at_once) {
        const std::span group(heads.data() + from, std::min(at_once, heads.size() - from));
        packs_.hold(group, true);
        const std::vector<Job> jobs = jobs_of(group);
        pool_.run(static_cast<Index>(jobs.size()), [&](Index k, int worker) {
            compute(jobs[static_cast<std::size_t>(k)], spaces_[static_cast<std::size_t>(worker)], contexts);
        });
    }
}

/// Head by head, so that its keys stay in the cache; within a head from the longest to the shortest.
template <class T>
auto Fused<T>::jobs_of(std::span<const KeyHead> heads) const -> std::vector<Job> {
    std::vector<Job> jobs;
    for (std::size_t place = 0; place < heads.size(); ++place) {
        const auto from = static_cast<std::ptrdiff_t>(jobs.size());
        for (const Index h : operands_.heads) {
            if (plan_.kv_head_of(h) != heads[place].head) continue;
            for_blocks(plan_, heads[place].batch, h, job_rows, [&](const RowBlock& block) {
                Index cells = 0;
                for (Index i = 0; i < block.rows; ++i) {
                    const Visible v = operands_.mask.visible(block.batch, block.query + i);
                    cells += v.to - v.from;
                }
                jobs.push_back({block, static_cast<Index>(place), cells});
            });
        }
        std::stable_sort(jobs.begin() + from, jobs.end(),
                         [](const Job& a, const Job& b) { return a.cells > b.cells; });
    }
    return jobs;
}

template <class T>
void Fused<T>::compute(const Job& job, Space& w, Contexts<T>& contexts) const {
    const RowBlock& block = job.block;
    w.visible.resize(static_cast<std::size_t>(block.rows));
    for (Index i = 0; i < block.rows; ++i)
        w.visible[static_cast<std::size_t>(i)] = operands_.mask.visible(block.batch, block.query + i);
    std::fill_n(w.context, block.rows * plan_.value_dim, T{0});
    std::fill_n(w.max, block.rows, -infinity<T>);
    std::fill_n(w.sum, block.rows, 0.0);
    const Index from = w.visible.front().from / block_keys * block_keys, to = w.visible.back().to;
    for (Index k0 = from; k0 < to; k0 += block_keys)
        key_block(job, w, k0, std::min(k0 + block_keys, plan_.keys));
    finish(job, w, contexts);
}

/// One step of the running softmax over keys k0 ... k1 - 1.
template <class T>
void Fused<T>::key_block(const Job& job, Space& w, Index k0, Index k1) const {
    const RowBlock& block = job.block;
    const Part all = seeing(w.visible, k0, k1);
    if (all.begin >= all.end) return;
    const T* queries = operands_.queries_of(block);
    const Index stride = operands_.queries.token;
    // Each half of the block is computed for the rows that see some of it.
    const Index middle = std::min(k0 + unit_keys, k1);
    const std::array<Index, 3> ends{k0, middle, k1};
    std::array<Part, 2> seen;
    for (std::size_t u = 0; u < 2; ++u) {
        const Index u0 = ends[u], u1 = ends[u + 1];
        if (u0 == u1) continue;
        seen[u] = seeing(w.visible, u0, u1);
        const Part& s = seen[u];
        T* scores = w.scores + (u0 - k0);
        for (Index i = all.begin; i < all.end; ++i)
            if (i < s.begin || i >= s.end) std::fill_n(scores + i * block_keys, u1 - u0, -infinity<T>);
        if (s.begin < s.end)
            packs_.scores(job.place, u0, queries + s.begin * stride, stride, scores + s.begin * block_keys,
                          block_keys, s.end - s.begin);
    }
    for (Index i = all.begin; i < all.end; ++i) {
        const Visible& v = w.visible[static_cast<std::size_t>(i)];
        if (rules_.changes_all() || v.from > k0 || v.to < k1)
            rules_.apply(block.batch, block.head, block.query + i, k0, k1, w.scores + i * block_keys);
    }
    kernel_.weigh(w.scores + all.begin * block_keys, block_keys, all.end - all.begin, k1 - k0,
                  rules_.factor(),
                  {w.max + all.begin, w.sum + all.begin, w.context + all.begin * plan_.value_dim,
                   plan_.value_dim, plan_.value_dim});
    // Rows that see the same halves go together; a hidden half would only add zeros.
    std::array<Index, 4> cuts{seen[0].begin, seen[0].end, seen[1].begin, seen[1].end};
    if (middle == k1) cuts[2] = cuts[3] = seen[0].end;
    std::sort(cuts.begin(), cuts.end());
    for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
        const Index begin = cuts[c], end = cuts[c + 1];
        if (begin >= end) continue;
        const bool first = begin >= seen[0].begin && begin < seen[0].end;
        const bool second = middle < k1 && begin >= seen[1].begin && begin < seen[1].end;
        if (!first && !second) continue;
        const Index from = first ? k0 : middle, to = second ? k1 : middle;
        packs_.add_values(job.place, from, to, w.scores + begin * block_keys + (from - k0), block_keys,
                          w.context + begin * plan_.value_dim, plan_.value_dim, end - begin);
    }
}

template <class T>
void Fused<T>::finish(const Job& job, Space& w, Contexts<T>& contexts) const {
    const RowBlock& block = job.block;
    const Index width = plan_.value_dim;
    for (Index i = 0; i < block.rows; ++i) {
        T* context = w.context + i * width;
        if (plan_.masked && w.max[i] == -infinity<T> && w.sum[i] == 0) {
            contexts.is_empty(block.batch, block.head, block.query + i);
            if (plan_.empty_rows == EmptyRows::uniform) {
                std::fill_n(context, width, T{0});
                std::fill_n(w.scores, block_keys, T{1} / static_cast<T>(plan_.keys));
                for (Index k0 = 0; k0 < plan_.keys; k0 += block_keys)
                    packs_.add_values(job.place, k0, std::min(k0 + block_keys, plan_.keys), w.scores,
                                      block_keys, context, width, 1);
            } else {
                std::fill_n(context, width,
                            plan_.empty_rows == EmptyRows::zero ? T{0} : std::numeric_limits<T>::quiet_NaN());
            }
        } else {
            kernel_.divide(context, width, w.sum[i]);
        }
        std::copy_n(context, width, contexts.row(block.batch, block.first + i, block.head));
    }
}

template class Fused<float>;
template class Fused<double>;

}  // namespace attn
