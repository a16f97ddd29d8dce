#include "lib/run/recurrence.hpp"

#include <algorithm>
#include <cmath>

namespace attn {
namespace {

/// Columns of a job: a state of 128 rows of them stays in the second cache.
constexpr Index job_columns = 64;
/// Queries that read a state at once.
constexpr Index read_rows = 32;

}  // namespace

template <class T>
struct Recurrence<T>::Walk {
    Index batch, head, begin, end;
    double* state;  ///< [dim, columns], rows value_dim apart
    std::vector<double> key, decay, seen, change, sum;
    std::vector<double> queries, contexts;

    Index columns() const { return end - begin; }
};

template <class T>
Recurrence<T>::Recurrence(const Operands<T>& operands, View<T> decay, View<T> beta, std::span<const T> past,
                          Arena& arena, Pool& pool)
    : operands_(operands),
      plan_(operands.plan),
      rule_(*operands.plan.state),
      decay_(decay),
      beta_(beta),
      past_(past),
      pool_(pool),
      kernel_(kernels::table<double>()),
      states_(arena.take<double>(plan_.batch * plan_.kv_heads * plan_.dim * plan_.value_dim)) {}

template <class T>
Index Recurrence<T>::state_of(Index batch, Index query) const {
    if (!plan_.causal) return plan_.keys - 1;
    return std::clamp(query + plan_.offsets[idx(batch)], Index{-1}, plan_.keys - 1);
}

template <class T>
void Recurrence<T>::start(Walk& w) const {
    const auto rows = static_cast<std::size_t>(plan_.dim), columns = static_cast<std::size_t>(w.columns());
    w.key.resize(rows);
    w.decay.resize(rows);
    w.sum.assign(rows, 0);
    w.seen.resize(columns);
    w.change.resize(columns);
    w.queries.resize(static_cast<std::size_t>(read_rows * plan_.dim));
    w.contexts.resize(static_cast<std::size_t>(read_rows * w.columns()));
    for (Index i = 0; i < plan_.dim; ++i) {
        double* row = w.state + i * plan_.value_dim;
        if (past_.empty()) {
            std::fill_n(row, w.columns(), 0.0);
        } else {
            const Index head = w.batch * plan_.kv_heads + w.head;
            const T* from = past_.data() + (head * plan_.dim + i) * plan_.value_dim + w.begin;
            std::copy_n(from, w.columns(), row);
        }
    }
}

template <class T>
void Recurrence<T>::step(Walk& w, Index token) const {
    const Index rows = plan_.dim, columns = w.columns();
    const T* key = operands_.keys.row(w.batch, w.head / plan_.head_group, token);
    const T* value = operands_.values.row(w.batch, w.head, token) + w.begin;
    std::copy_n(key, rows, w.key.data());
    if (rule_.decays) {
        const T* g = decay_.row(w.batch, w.head, token);
        for (std::size_t i = 0; i < w.decay.size(); ++i)
            w.decay[i] = i == 0 || rule_.decay_by_column
                             ? std::exp(static_cast<double>(g[rule_.decay_by_column ? i : 0]))
                             : w.decay[0];
    }
    const double* decay = rule_.decays ? w.decay.data() : nullptr;
    std::copy_n(value, columns, w.change.data());
    if (rule_.delta) {
        // (e^g S)ᵀ k = Sᵀ (e^g k): nothing is written twice.
        for (std::size_t i = 0; decay && i < w.key.size(); ++i) w.key[i] *= decay[i];
        kernel_.multiply(w.key.data(), rows, w.state, plan_.value_dim, w.seen.data(), columns, 1, columns,
                         rows);
        std::copy_n(key, rows, w.key.data());
        const T* beta = rule_.has_beta ? beta_.row(w.batch, w.head, token) : nullptr;
        for (std::size_t j = 0; j < w.change.size(); ++j) {
            w.change[j] -= w.seen[j];
            if (beta)
                w.change[j] *= static_cast<double>(
                    beta[rule_.beta_by_column ? w.begin + static_cast<Index>(j) : Index{0}]);
        }
    }
    kernel_.add_outer(w.state, plan_.value_dim, rows, columns, decay, w.key.data(), w.change.data());
    for (std::size_t i = 0; rule_.normalizer && i < w.sum.size(); ++i)
        w.sum[i] = w.sum[i] * (decay ? decay[i] : 1) + w.key[i];
}

/// Contexts of the shown rows first ... last - 1, in the heads that read this state.
template <class T>
void Recurrence<T>::answer(Walk& w, Index first, Index last, const std::vector<Index>& heads,
                           Contexts<T>& contexts) const {
    const Index rows = plan_.dim, columns = w.columns();
    const double scale = plan_.factor();
    for (const Index head : heads)
        for (Index from = first; from < last; from += read_rows) {
            const Index count = std::min(read_rows, last - from);
            for (Index i = 0; i < count; ++i) {
                const Index query = plan_.queries_shown.indices[idx(from + i)];
                const T* q = operands_.queries.row(w.batch, head / plan_.head_group,
                                                   operands_.queries_are_whole ? query : from + i);
                std::copy_n(q, rows, w.queries.data() + i * rows);
            }
            kernel_.multiply(w.queries.data(), rows, w.state, plan_.value_dim, w.contexts.data(), columns,
                             count, columns, rows);
            for (Index i = 0; i < count; ++i) {
                double by = scale;
                if (rule_.normalizer) {
                    double sum = 0;
                    for (Index k = 0; k < rows; ++k) sum += w.queries[idx(i * rows + k)] * w.sum[idx(k)];
                    by /= sum;
                }
                T* out = contexts.row(w.batch, from + i, head) + w.begin;
                for (Index j = 0; j < columns; ++j)
                    out[j] = static_cast<T>(w.contexts[idx(i * columns + j)] * by);
            }
        }
}

template <class T>
void Recurrence<T>::run(Contexts<T>* contexts, bool to_the_end) {
    struct Job {
        Index batch, head, begin, end;
        const std::vector<Index>* readers;
    };
    std::vector<std::vector<Index>> readers(static_cast<std::size_t>(plan_.kv_heads));
    for (const Index h : operands_.heads) readers[idx(plan_.kv_head_of(h))].push_back(h);
    std::vector<Job> jobs;
    for (const Index b : plan_.batch_shown.indices)
        for (Index h = 0; h < plan_.kv_heads; ++h)
            for (Index c = 0; c < plan_.value_dim && !readers[idx(h)].empty(); c += job_columns)
                jobs.push_back({b, h, c, std::min(c + job_columns, plan_.value_dim), &readers[idx(h)]});
    const auto rows = static_cast<Index>(plan_.queries_shown.indices.size());
    pool_.run(static_cast<Index>(jobs.size()), [&](Index k, int) {
        const Job& j = jobs[idx(k)];
        Walk w{j.batch, j.head, j.begin, j.end, nullptr, {}, {}, {}, {}, {}, {}, {}};
        w.state = states_ + (j.batch * plan_.kv_heads + j.head) * plan_.dim * plan_.value_dim + j.begin;
        start(w);
        const Index end_token =
            to_the_end ? plan_.keys : state_of(j.batch, plan_.queries_shown.indices.back()) + 1;
        Index next = 0;
        for (Index token = -1; token < end_token; ++token) {
            if (token >= 0) step(w, token);
            Index end = next;
            while (end < rows && state_of(j.batch, plan_.queries_shown.indices[idx(end)]) == token) ++end;
            if (contexts) answer(w, next, end, *j.readers, *contexts);
            next = end;
        }
    });
}

template <class T>
void Recurrence<T>::each_state(Index batch, Index kv_head,
                               const std::function<void(Index, const double*)>& f) {
    std::vector<double> state(static_cast<std::size_t>(plan_.dim * plan_.value_dim));
    Walk w{batch, kv_head, 0, plan_.value_dim, state.data(), {}, {}, {}, {}, {}, {}, {}};
    start(w);
    for (Index token = 0; token < plan_.keys; ++token) {
        step(w, token);
        f(token, state.data());
    }
}

template class Recurrence<float>;
template class Recurrence<double>;

}  // namespace attn
