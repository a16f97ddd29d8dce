#include "lib/gradient/fused_back.hpp"

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "lib/run/seen_keys.hpp"

namespace attn::gradient {
namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();
constexpr Index block_keys = blocking::block;
/// Where a mask's edge runs through a block, so many keys, or rows, are multiplied with the rows, or keys,
/// that they have in common.
constexpr Index edge_keys = 32, edge_rows = 24;

}  // namespace

template <class T>
FusedBack<T>::FusedBack(const Operands<T>& operands, Pool& pool)
    : operands_(operands),
      plan_(operands.plan),
      pool_(pool),
      kernel_(kernels::table<T>()),
      rules_(operands),
      key_units_{plan_.keys, plan_.dim},
      value_units_{plan_.keys, plan_.value_dim},
      rows_(blocking::fused_back_rows(plan_.queries, plan_.keys, static_cast<Index>(sizeof(T)))),
      blocks_(blocking::parts(plan_.keys, block_keys)),
      key_block_size_(block_keys * blocking::filled(plan_.dim)),
      spaces_(idx(pool.workers())) {}

/// Row blocks of each head of keys, in order; where heads are few, in runs that see about as many keys.
template <class T>
auto FusedBack<T>::jobs_of(const Plan& rows, std::span<const KeyHead> heads,
                           std::span<const Index> readers) const -> std::vector<Job> {
    const Index runs = blocking::backward_runs(plan_.batch * plan_.kv_heads);
    std::vector<Job> jobs;
    for (const KeyHead& head : heads) {
        std::vector<RowBlock> blocks;
        std::vector<Index> cells;  // of them and all before them
        for (const Index h : readers) {
            if (plan_.kv_head_of(h) != head.head) continue;
            for_blocks(rows, head.batch, h, rows_, [&](RowBlock block) {
                block.first = block.query;  // all rows are there
                Index sum = cells.empty() ? 0 : cells.back();
                for (Index i = 0; i < block.rows; ++i) {
                    const Visible v = operands_.mask.visible(block.batch, block.query + i);
                    sum += v.to - v.from;
                }
                blocks.push_back(block);
                cells.push_back(sum);
            });
        }
        std::size_t k = 0;
        for (Index run = 1; run <= runs; ++run) {
            Job job{head, run == 1, run == runs, {}};
            const Index until = cells.empty() ? 0 : cells.back() * run / runs;
            for (; k < blocks.size() && (run == runs || cells[k] <= until); ++k)
                job.blocks.push_back(blocks[k]);
            jobs.push_back(std::move(job));
        }
    }
    return jobs;
}

template <class T>
void FusedBack<T>::take(Sums& sums) {
    const auto one = [&](bool wanted, Index dim, T*& sum, T*& rest) {
        if (!wanted || sum) return;
        sum = arena_.take<T>(2 * blocks_ * block_keys * dim);
        rest = sum + blocks_ * block_keys * dim;
    };
    one(for_keys_, plan_.dim, sums.keys, sums.keys_rest);
    one(for_values_, plan_.value_dim, sums.values, sums.values_rest);
}

/// Memory for what has not been asked for before.
template <class T>
void FusedBack<T>::prepare(Space& w) {
    take(w.sums);
    if (!w.powers) {
        const Index cells = blocks_ * rows_ * block_keys;
        w.keys = arena_.take<T>(blocks_ * block_keys * plan_.dim);
        w.powers = arena_.take<T>(cells);
        w.weights = arena_.take<T>(rows_ * block_keys);
        w.maxima = arena_.take<T>(blocks_ * rows_);
        w.max = arena_.take<T>(2 * rows_);
        w.old_max = w.max + rows_;
        w.sum = arena_.take<double>(2 * rows_);
        w.shared = w.sum + rows_;
        w.turned_d = arena_.take<T>(rows_ * plan_.value_dim);
        w.rows.resize(idx(rows_));
        w.seen.resize(idx(blocks_));
    }
    if ((for_queries_ || for_keys_) && !w.d) {
        w.values = arena_.take<T>(blocks_ * block_keys * plan_.value_dim);
        w.key_rows = arena_.take<T>(blocks_ * key_block_size_);
        w.d = arena_.take<T>(blocks_ * rows_ * block_keys);
        w.d_scores = arena_.take<T>(rows_ * block_keys);
        w.turned_queries = arena_.take<T>(rows_ * plan_.dim);
        w.dq = arena_.take<T>(2 * rows_ * plan_.dim);
        w.dq_rest = w.dq + rows_ * plan_.dim;
    }
    w.held = {-1, -1};
}

template <class T>
template <class F>
void FusedBack<T>::each_sum(const Sums& sums, const F& f) const {
    if (for_keys_) f(sums.keys, sums.keys_rest, blocks_ * block_keys * plan_.dim);
    if (for_values_) f(sums.values, sums.values_rest, blocks_ * block_keys * plan_.value_dim);
}

template <class T>
void FusedBack<T>::run(const View<T>& d_context, const Plan& rows, std::span<const KeyHead> heads,
                       std::span<const Index> readers, const Takers<T>& takers) {
    d_context_ = d_context;
    for_queries_ = static_cast<bool>(takers.queries);
    for_keys_ = static_cast<bool>(takers.keys);
    for_values_ = static_cast<bool>(takers.values);
    const std::vector<Job> jobs = jobs_of(rows, heads, readers);
    const std::size_t used = std::min(spaces_.size(), jobs.size());
    for (std::size_t k = 0; k < used; ++k) prepare(spaces_[k]);
    const bool apart = jobs.size() > heads.size();
    if (apart) take(together_);
    const auto clear = [](T* sum, T* rest, Index n) {
        std::fill_n(sum, n, T{0});
        std::fill_n(rest, n, T{0});
    };
    InTurn turns;
    pool_.run(static_cast<Index>(jobs.size()), [&](Index k, int worker) {
        const Job& job = jobs[idx(k)];
        Space& w = spaces_[idx(worker)];
        try {
            if (turns.has_failed()) return;
            hold(job.head, w);
            each_sum(w.sums, clear);
            w.queries.clear();
            Index rows_of_job = 0;
            for (const RowBlock& block : job.blocks) rows_of_job += block.rows;
            if (for_queries_) w.queries.reserve(idx(rows_of_job * plan_.dim));
            for (const RowBlock& block : job.blocks) compute(block, w);
            if (!apart) finish(w.sums, w.block);
            turns.take(k, [&] {
                const T* done = w.queries.data();
                for (const RowBlock& block : job.blocks) {
                    if (for_queries_) takers.queries(block, done);
                    done += block.rows * plan_.dim;
                }
                const Sums& sums = apart ? together_ : w.sums;
                if (apart) {
                    if (job.is_first) each_sum(together_, clear);
                    if (for_keys_)
                        add(w.sums.keys, w.sums.keys_rest, together_.keys, together_.keys_rest, plan_.dim);
                    if (for_values_)
                        add(w.sums.values, w.sums.values_rest, together_.values, together_.values_rest,
                            plan_.value_dim);
                    if (job.is_last) finish(together_, w.block);
                }
                if (!job.is_last) return;
                if (for_keys_) takers.keys(job.head, sums.keys);
                if (for_values_) takers.values(job.head, sums.values);
            });
        } catch (...) {
            turns.fail();
            throw;
        }
    });
}

template <class T>
void FusedBack<T>::add(const T* sum, const T* rest, T* to, T* to_rest, Index dim) const {
    const Index n = blocks_ * block_keys * dim;
    kernel_.add_exactly(sum, to, to_rest, n);
    kernel_.add_exactly(rest, to, to_rest, n);
}

/// Sums become rows of keys: those of queries times keys have waited for the scale.
template <class T>
void FusedBack<T>::finish(const Sums& sums, std::vector<T>& block) const {
    if (for_keys_) finish(sums.keys, sums.keys_rest, plan_.dim, plan_.factor(), block);
    if (for_values_) finish(sums.values, sums.values_rest, plan_.value_dim, 1, block);
}

template <class T>
void FusedBack<T>::finish(T* sum, const T* rest, Index dim, double factor, std::vector<T>& block) const {
    const Index size = block_keys * dim;
    block.resize(idx(size));
    for (Index b = 0; b < blocks_; ++b, sum += size, rest += size) {
        for (Index k = 0; k < size; ++k) block[idx(k)] = finished(sum[k], rest[k], factor);
        kernel_.turn(block.data(), block_keys, dim, block_keys, sum, dim);
    }
}

/// A sum and what its roundings have lost, which means nothing where the sum is not finite; 0 is +0.
template <class T>
T FusedBack<T>::finished(T sum, T rest, double factor) {
    const double lost = std::isfinite(sum) ? static_cast<double>(rest) : 0;
    return static_cast<T>((static_cast<double>(sum) + lost) * factor) + T{0};
}

template <class T>
void FusedBack<T>::hold(const KeyHead& head, Space& w) const {
    if (w.held == head) return;
    w.held = head;
    const T *keys = operands_.keys.row(head.batch, head.head, 0),
            *values = operands_.values.row(head.batch, plan_.value_head_of(head.head), 0);
    key_units_.pack(keys, operands_.keys.token, 0, plan_.keys, w.keys);
    if (!for_queries_ && !for_keys_) return;
    value_units_.pack(values, operands_.values.token, 0, plan_.keys, w.values);
    for (Index b = 0; b < blocks_ && for_queries_; ++b)
        kernel_.pack_columns(keys + b * block_keys * operands_.keys.token, operands_.keys.token, plan_.dim,
                             keys_of(b), w.key_rows + b * key_block_size_);
}

template <class T>
void FusedBack<T>::compute(const RowBlock& block, Space& w) const {
    w.visible.clear();
    for (Index i = 0; i < block.rows; ++i)
        w.visible.push_back(operands_.mask.visible(block.batch, block.query + i));
    std::fill_n(w.max, block.rows, -infinity<T>);
    std::fill_n(w.sum, block.rows, 0.0);
    std::fill_n(w.shared, block.rows, 0.0);
    const Index begin = w.visible.front().from / block_keys,
                end = blocking::parts(w.visible.back().to, block_keys);
    for (Index b = begin; b < end; ++b) key_block(block, b, w);
    w.empty.assign(idx(block.rows), 0);
    for (Index i = 0; i < block.rows; ++i) {
        const bool saw_nothing = w.max[i] == -infinity<T> && w.sum[i] == 0;
        const bool empty = rules_.is_empty(block.batch, block.head, block.query + i, saw_nothing);
        w.empty[idx(i)] = empty ? 1 : 0;
        w.shared[i] = empty ? 0 : w.shared[i] / w.sum[i];
        // A row of one key learns nothing: its D is that key's, exactly. (Products of floats are exact.)
        if constexpr (std::is_same_v<T, double>)
            if (const T* const alone = only_key(i, begin, end, w)) w.shared[i] = *alone;
        w.sum[i] = empty ? 0 : 1 / w.sum[i];
    }
    if (for_values_)
        kernel_.turn(d_context_.row(block.batch, block.head, block.query), d_context_.token, block.rows,
                     plan_.value_dim, w.turned_d, rows_);
    if (for_keys_)
        kernel_.turn(operands_.queries_of(block), operands_.queries.token, block.rows, plan_.dim,
                     w.turned_queries, rows_);
    if (for_queries_) std::fill_n(w.dq, 2 * rows_ * plan_.dim, T{0});
    for (Index b = begin; b < end; ++b) send_back(b, w);
    if (for_values_ && plan_.masked && plan_.empty_rows != EmptyRows::zero) empty_rows(block, w);
    if (!for_queries_) return;
    const auto at = w.queries.size();
    w.queries.resize(at + idx(block.rows * plan_.dim));
    for (Index k = 0; k < block.rows * plan_.dim; ++k)
        w.queries[at + idx(k)] = finished(w.dq[k], w.dq_rest[k], plan_.factor());
}

/// The gradient of the only weight of a row; null where there are more.
template <class T>
const T* FusedBack<T>::only_key(Index row, Index begin, Index end, const Space& w) const {
    const T* found = nullptr;
    for (Index b = begin; b < end && w.d; ++b) {
        const Index at = (b * rows_ + row) * block_keys;
        for (Index j = 0; j < keys_of(b); ++j) {
            if (w.powers[at + j] == 0) continue;
            if (found) return nullptr;
            found = w.d + at + j;
        }
    }
    return found;
}

template <class T>
void FusedBack<T>::key_block(const RowBlock& block, Index b, Space& w) const {
    const Index k0 = b * block_keys, k1 = k0 + keys_of(b);
    Seen& seen = w.seen[idx(b)];
    seen = {block.rows, 0, 0, w.visible.back().from <= k0 && w.visible.front().to >= k1};
    for_rows_alike(w.visible, k0, k1, plan_.given_keys(), [&](Index first, Index rows, Visible keys) {
        const Index at = (b * rows_ + first) * block_keys;
        const Index left = keys.from < keys.to ? keys.from - k0 : block_keys, right = keys.to - k0;
        for (T* const cells : {w.powers, w.d})
            for (Index i = 0; cells && i < rows; ++i) {
                T* const row = cells + at + i * block_keys;
                std::fill_n(row, left, T{0});
                if (left < block_keys) std::fill(row + right, row + block_keys, T{0});
            }
        if (keys.from == keys.to) {
            std::fill_n(w.maxima + b * rows_ + first, rows, -infinity<T>);
            return;
        }
        seen.row_begin = std::min(seen.row_begin, first);
        seen.row_end = first + rows;
        seen.keys = std::max(seen.keys, right);
        step(block, b, first, rows, keys, w);
    });
}

/// Powers of the scores of rows first ... first + rows - 1, the gradients of their weights, and D.
template <class T>
void FusedBack<T>::step(const RowBlock& block, Index b, Index first, Index rows, Visible keys,
                        Space& w) const {
    const Index at = (b * rows_ + first) * block_keys + keys.from - b * block_keys, n = keys.to - keys.from;
    T* const powers = w.powers + at;
    key_units_.multiply(w.keys, keys.from, keys.to,
                        operands_.queries_of(block) + first * operands_.queries.token,
                        operands_.queries.token, powers, block_keys, rows);
    for (Index i = 0; i < rows; ++i) {
        const Visible& v = w.visible[idx(first + i)];
        if (rules_.changes_all() || v.from > keys.from || v.to < keys.to)
            rules_.apply(block.batch, block.head, block.query + first + i, keys.from, keys.to,
                         powers + i * block_keys);
    }
    std::copy_n(w.max + first, rows, w.old_max);
    kernel_.weigh(powers, block_keys, rows, n, rules_.factor(), {w.max + first, w.sum + first, powers, 0, 0});
    std::copy_n(w.max + first, rows, w.maxima + b * rows_ + first);
    if (!for_queries_ && !for_keys_) return;
    T* const d = w.d + at;
    value_units_.multiply(w.values, keys.from, keys.to,
                          d_context_.row(block.batch, block.head, block.query + first), d_context_.token, d,
                          block_keys, rows);
    for (Index i = 0; i < rows; ++i) {
        double& shared = w.shared[first + i];
        if (w.old_max[i] != w.max[first + i]) shared *= rules_.power_between(w.old_max[i], w.max[first + i]);
        shared += kernel_.dot_exactly(powers + i * block_keys, d + i * block_keys, n);
    }
}

/// What a key block gets of the rows that see it, and these of it.
template <class T>
void FusedBack<T>::send_back(Index b, Space& w) const {
    const Seen& seen = w.seen[idx(b)];
    const Index rows = seen.row_end - seen.row_begin, k0 = b * block_keys;
    if (rows <= 0) return;
    for (Index i = seen.row_begin; i < seen.row_end; ++i) {
        const T at = w.maxima[b * rows_ + i];
        const double share =
            w.sum[i] == 0 || at == w.max[i] ? w.sum[i] : w.sum[i] * rules_.power_between(at, w.max[i]);
        w.rows[idx(i)] = {share, w.shared[i]};
    }
    const Index first = (b * rows_ + seen.row_begin) * block_keys;
    const bool scores = for_queries_ || for_keys_;
    kernel_.send_back(w.powers + first, scores ? w.d + first : nullptr, block_keys, rows, seen.keys,
                      w.rows.data() + seen.row_begin, w.weights, w.d_scores);
    const auto sees = [&](Index i, Index from, Index to) {
        const Visible& v = w.visible[idx(seen.row_begin + i)];
        return v.to > k0 + from && v.from < k0 + to;
    };
    // Keys, and the rows that see some of them.
    for (Index from = 0; from < seen.keys;) {
        const Index to = seen.all ? seen.keys : std::min(from + edge_keys, seen.keys);
        Index begin = 0, end = rows;
        while (begin < end && !sees(begin, from, to)) ++begin;
        while (begin < end && !sees(end - 1, from, to)) --end;
        const kernels::Part part{seen.keys, rows, begin, end, from, to};
        const Index row = seen.row_begin + begin;
        const auto add = [&](const T* turned, const T* cells, T* sum, T* rest, Index dim) {
            const Index place = b * block_keys * dim + from;
            kernel_.add_packed(turned + row, rows_, cells, sum + place, rest + place, block_keys, dim, part);
        };
        if (begin < end && for_values_)
            add(w.turned_d, w.weights, w.sums.values, w.sums.values_rest, plan_.value_dim);
        if (begin < end && for_keys_)
            add(w.turned_queries, w.d_scores, w.sums.keys, w.sums.keys_rest, plan_.dim);
        from = to;
    }
    // Rows, and the keys from the block's first to the last that they see: a row's chains of products begin
    // at the same keys whatever rows are beside it.
    for (Index i = 0; i < rows && for_queries_;) {
        const Index end = seen.all ? rows : std::min(i + edge_rows, rows), row = seen.row_begin + i;
        const Index to = std::min(w.visible[idx(seen.row_begin + end - 1)].to - k0, keys_of(b));
        if (to > 0)
            kernel_.add_packed(w.d + (b * rows_ + row) * block_keys, block_keys,
                               w.key_rows + b * key_block_size_, w.dq + row * plan_.dim,
                               w.dq_rest + row * plan_.dim, plan_.dim, end - i,
                               kernels::Part::of_depth(plan_.dim, keys_of(b), 0, to));
        i = end;
    }
}

/// Rows that see no key have the weights that the plan gives them, which come from no scores.
template <class T>
void FusedBack<T>::empty_rows(const RowBlock& block, Space& w) const {
    const double weight = plan_.empty_rows == EmptyRows::uniform ? 1 / static_cast<double>(plan_.keys)
                                                                 : std::numeric_limits<double>::quiet_NaN();
    const Index dim = plan_.value_dim;
    std::vector<T> row(idx(block_keys));
    for (Index i = 0; i < block.rows; ++i) {
        if (w.empty[idx(i)] == 0) continue;
        const T* d = d_context_.row(block.batch, block.head, block.query + i);
        for (Index k = 0; k < dim; ++k) {
            std::fill(row.begin(), row.end(), static_cast<T>(weight * static_cast<double>(d[k])));
            for (Index b = 0; b < blocks_; ++b) {
                const Index at = (b * dim + k) * block_keys;
                kernel_.add_exactly(row.data(), w.sums.values + at, w.sums.values_rest + at, keys_of(b));
            }
        }
    }
}

template <class T>
void through_fused(Backward<T>& backward) {
    const Plan& plan = backward.plan();
    const BackwardNeeds& needs = backward.forward().backward_needs();
    Takers<T> takers;
    if (needs.queries)
        takers.queries = [&plan, &dq = backward.unwritten_scored_queries()](const RowBlock& block,
                                                                            const T* rows) {
            std::copy_n(rows, block.rows * plan.dim, dq.row(block.batch, block.head, block.query));
        };
    if (needs.keys)
        takers.keys = [&plan, &dk = backward.unwritten(plan.find(Stage::scores)->reads[1])](
                          const KeyHead& head, const T* rows) {
            std::copy_n(rows, plan.keys * plan.dim, dk.row(head.batch, head.head, 0));
        };
    if (needs.values)
        takers.values = [&plan, &dv = backward.unwritten(plan.find(Stage::context)->reads[1])](
                            const KeyHead& head, const T* rows) {
            std::copy_n(rows, plan.keys * plan.value_dim,
                        dv.row(head.batch, plan.value_head_of(head.head), 0));
        };
    std::vector<KeyHead> heads;
    for (Index b = 0; b < plan.batch; ++b)
        for (Index k = 0; k < plan.kv_heads; ++k) heads.push_back({b, k});
    backward.fused().run(backward.d_context(), plan, heads, counted(plan.heads), takers);
}

template class FusedBack<float>;
template class FusedBack<double>;
template void through_fused(Backward<float>& backward);
template void through_fused(Backward<double>& backward);

}  // namespace attn::gradient
