#include "lib/run/single_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/plan/blocking.hpp"
#include "lib/run/ops.hpp"

namespace attn {
namespace {

constexpr Index keys_of_a_block = blocking::block, keys_of_a_piece = blocking::piece,
                most_rows = blocking::single_rows;

}  // namespace

template <class T>
SingleRows<T>::SingleRows(const Operands<T>& operands, Arena& arena, Pool& pool)
    : operands_(operands),
      plan_(operands.plan),
      pool_(pool),
      kernel_(kernels::table<T>()),
      rules_(operands),
      pieces_of_group_(blocking::parts(plan_.keys, keys_of_a_piece)) {
    for (const Index b : plan_.batch_shown.indices) {
        for (Index k = 0; k < plan_.kv_heads; ++k) {
            Group group{b, k, {}, nullptr};
            for (const Index h : operands.heads)
                if (plan_.kv_head_of(h) == k)
                    for_blocks(plan_, b, h, 1, [&](const RowBlock& row) { group.rows.push_back(row); });
            if (group.rows.empty()) continue;
            const auto rows = static_cast<Index>(group.rows.size());
            group.queries = arena.take<T>(rows * plan_.dim);
            for (Index i = 0; i < rows; ++i)
                std::copy_n(operands.queries_of(group.rows[idx(i)]), plan_.dim,
                            group.queries + i * plan_.dim);
            for (Index p = 0; p < pieces_of_group_; ++p)
                pieces_.push_back({arena.take<T>(rows), arena.take<T>(rows * 2 * plan_.value_dim),
                                   arena.take<double>(rows)});
            groups_.push_back(std::move(group));
        }
    }
    for (int w = 0; w < pool.workers(); ++w)
        spaces_.push_back(
            {arena.take<T>(most_rows * keys_of_a_block), arena.take<T>(most_rows * plan_.value_dim)});
}

template <class T>
void SingleRows<T>::run(Contexts<T>& contexts, LogSums<T>& log_sums) {
    pool_.run(static_cast<Index>(groups_.size()) * pieces_of_group_, [&](Index job, int worker) {
        const Index k0 = job % pieces_of_group_ * keys_of_a_piece;
        compute(groups_[idx(job / pieces_of_group_)], k0, std::min(k0 + keys_of_a_piece, plan_.keys),
                spaces_[idx(worker)], pieces_[idx(job)]);
    });
    pool_.run(static_cast<Index>(groups_.size()), [&](Index g, int) {
        merge(groups_[idx(g)], pieces_.data() + g * pieces_of_group_, contexts, log_sums);
    });
}

template <class T>
void SingleRows<T>::compute(const Group& group, Index k0, Index k1, const Space& w,
                            const Piece& piece) const {
    const auto rows = static_cast<Index>(group.rows.size());
    const Index width = plan_.value_dim;
    std::fill_n(piece.max, rows, -std::numeric_limits<T>::infinity());
    std::fill_n(piece.sum, rows, 0.0);
    std::fill_n(piece.context, rows * 2 * width, T{0});
    for (Index from = k0; from < k1; from += keys_of_a_block) {
        const Index to = std::min(from + keys_of_a_block, k1);
        bool touched = to > plan_.given_keys();
        for (const RowBlock& r : group.rows) {
            const Visible v = operands_.mask.visible(group.batch, r.query);
            touched = touched || (v.from < to && v.to > from);
        }
        if (!touched) continue;
        kernel_.dot_stream(group.queries, plan_.dim, operands_.keys.row(group.batch, group.kv_head, from),
                           operands_.keys.token, w.scores, keys_of_a_block, rows, to - from, plan_.dim);
        for (Index i = 0; i < rows; ++i) {
            const RowBlock& r = group.rows[idx(i)];
            const Visible v = operands_.mask.visible(group.batch, r.query);
            if (rules_.changes_all() || v.from > from || v.to < to)
                rules_.apply(r.batch, r.head, r.query, from, to, w.scores + i * keys_of_a_block);
        }
        kernel_.weigh(w.scores, keys_of_a_block, rows, to - from, rules_.factor(),
                      {piece.max, piece.sum, piece.context, 2 * width, 2 * width});
        kernel_.multiply_stream(w.scores, keys_of_a_block,
                                operands_.values.row(group.batch, plan_.value_head_of(group.kv_head), from),
                                operands_.values.token, w.context, width, rows, width, to - from);
        for (Index i = 0; i < rows; ++i) {
            T* context = piece.context + i * 2 * width;
            kernel_.add_exactly(w.context + i * width, context, context + width, width);
        }
    }
}

template <class T>
void SingleRows<T>::merge(const Group& group, const Piece* pieces, Contexts<T>& contexts,
                          LogSums<T>& log_sums) const {
    const Index width = plan_.value_dim;
    std::vector<double> context(static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < group.rows.size(); ++i) {
        const RowBlock& r = group.rows[i];
        const auto at = static_cast<Index>(i);
        T* out = contexts.row(r.batch, r.first, r.head);
        T max = -std::numeric_limits<T>::infinity();
        double sum = 0;
        for (Index p = 0; p < pieces_of_group_; ++p) max = std::max(max, pieces[p].max[i]);
        if (!plan_.sinks.empty()) {
            const T sink = rules_.sink(r.head);
            max = std::max(max, sink);
            sum = std::exp2((static_cast<double>(sink) - static_cast<double>(max)) * rules_.factor() -
                            kernel_.rounding(max, rules_.factor()));
        }
        std::fill(context.begin(), context.end(), 0.0);
        for (Index p = 0; p < pieces_of_group_; ++p) {
            // A piece without a visible key adds nothing; NaN goes through.
            const bool hidden =
                pieces[p].max[i] == -std::numeric_limits<T>::infinity() && pieces[p].sum[i] == 0;
            if (hidden) continue;
            const double by = rules_.power_between(pieces[p].max[i], max);
            sum += pieces[p].sum[i] * by;
            const T* part = pieces[p].context + at * 2 * width;
            for (Index j = 0; j < width; ++j)
                context[idx(j)] += (static_cast<double>(part[j]) + static_cast<double>(part[width + j])) * by;
        }
        if (T* logarithms = log_sums.of(r.batch, r.head)) logarithms[r.first] = rules_.log_sum(max, sum);
        if (rules_.is_empty(r.batch, r.head, r.query, sum == 0)) {
            contexts.is_empty(r.batch, r.head, r.query);
            std::fill_n(out, width, ops::empty_context<T>(plan_.empty_rows));
            if (plan_.empty_rows != EmptyRows::uniform) continue;
            sum = static_cast<double>(plan_.keys);
            for (Index k = 0; k < plan_.keys; ++k)
                for (Index j = 0; j < width; ++j)
                    context[idx(j)] +=
                        static_cast<double>(operands_.values.row(r.batch, group.kv_head, k)[j]);
        }
        for (Index j = 0; j < width; ++j) out[j] = static_cast<T>(context[idx(j)] / sum);
    }
}

template class SingleRows<float>;
template class SingleRows<double>;

}  // namespace attn
