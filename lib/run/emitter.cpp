#include "lib/run/emitter.hpp"

#include <algorithm>

#include "lib/plan/blocking.hpp"

namespace attn {
namespace {

/// So many numbers are worth waking all workers.
constexpr Index many_numbers = Index{1} << 16;

}  // namespace

template <class T>
Emitter<T>::Emitter(const Plan& plan, Findings& findings, Pool& pool)
    : plan_(plan), findings_(findings), pool_(pool) {
    Index widest = 0;
    for (const auto* list : {&plan.stages, &plan.gradients})
        for (const PlannedStage& s : *list) widest = std::max(widest, s.shape.back());
    dims_ = counted(widest);
}

template <class T>
Rows Emitter<T>::rows_of(const PlannedStage& stage, Index batch, Index head, Index row_begin,
                         Index rows) const {
    Rows r;
    r.stage = &stage;
    r.batch = batch;
    r.head = head;
    r.has_head = has_heads(stage.family);
    r.row_begin = row_begin;
    r.row_end = row_begin + rows;
    r.dtype = plan_.dtype;
    r.columns = {dims_.data(), idx(stage.shape.back())};
    if (has_token_columns(stage.family)) r.columns = plan_.columns_of(stage.family).indices;
    return r;
}

template <class T>
void Emitter<T>::push(Sink& sink, Rows rows, const T* data, Index stride, const std::uint8_t* hidden) {
    rows.data = data;
    rows.hidden = hidden;
    const bool is_part = stride != rows.column_count();
    if (is_part) {
        gathered_.clear();
        gathered_hidden_.clear();
        const bool all = !has_key_columns(rows.stage->family);
        for (Index i = 0; i < rows.row_count(); ++i) {
            const T* from = data + i * stride;
            if (all) {
                gathered_.insert(gathered_.end(), from, from + rows.column_count());
                continue;
            }
            for (const Index j : rows.columns) {
                gathered_.push_back(from[j]);
                if (hidden) gathered_hidden_.push_back(hidden[i * stride + j]);
            }
        }
        rows.data = gathered_.data();
        if (hidden) rows.hidden = gathered_hidden_.data();
    }
    if (rows.row_count() * rows.column_count() >= many_numbers && sink.gives_memory() &&
        !sink.stage_by_stage())
        return place(sink, rows);
    findings_.look_at(rows);
    sink.rows(rows);
}

/// Rows are looked at and copied by all workers.
template <class T>
void Emitter<T>::place(Sink& sink, const Rows& rows) {
    const Index columns = rows.column_count(), all = rows.row_count(),
                together = std::max(Index{1}, many_numbers / 4 / columns);
    std::vector<Findings> found(idx(Index{pool_.workers()}), Findings(plan_));
    pool_.run(blocking::parts(all, together), [&](Index k, int worker) {
        const Index first = k * together, end = std::min(first + together, all);
        Rows part = rows;
        part.row_begin = rows.row_begin + first;
        part.row_end = rows.row_begin + end;
        part.data = static_cast<const T*>(rows.data) + first * columns;
        found[idx(Index{worker})].look_at(part);
        std::copy_n(static_cast<const T*>(part.data), (end - first) * columns,
                    static_cast<T*>(sink.memory_of(part)));
    });
    for (const Findings& f : found) findings_.merge(f);
}

template <class T>
void Emitter<T>::source(Sink& sink, const PlannedStage& stage, const View<T>& from, bool rows_are_shown) {
    for (const Index b : plan_.batch_shown.indices) {
        if (stage.family == StageShape::per_key) {
            for (const Index h : plan_.kv_heads_shown.indices)
                push(sink, rows_of(stage, b, h, 0, 1), from.row(b, h, 0), plan_.new_keys);
            continue;
        }
        const std::vector<Index>& rows = plan_.rows_of(stage.family).indices;
        for (const Index h : plan_.heads_of(stage.family).indices)
            for_ranges(rows, [&](Index k, Index end) {
                const Index first = rows[idx(k)];
                push(sink, rows_of(stage, b, h, first, end - k), from.row(b, h, rows_are_shown ? k : first),
                     from.token);
            });
    }
}

template <class T>
void Emitter<T>::contexts(Sink& sink, const PlannedStage& stage, const Contexts<T>& from, bool in_place) {
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.heads_of(stage.family).indices)
            for_blocks(plan_, b, h, plan_.row_block, [&](const RowBlock& r) {
                Rows rows = rows_of(stage, b, h, r.query, r.rows);
                if (!in_place) return push(sink, rows, from.row(b, r.first, h), from.stride());
                rows.data = from.row(b, r.first, h);
                findings_.look_at(rows);
            });
}

template <class T>
void Emitter<T>::log_sums(Sink& sink, const PlannedStage& stage, const LogSums<T>& from) {
    const auto rows = static_cast<Index>(plan_.queries_shown.indices.size());
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.heads_shown.indices)
            push(sink, rows_of(stage, b, h, 0, 1), from.of(b, h), rows);
}

template <class T>
void Emitter<T>::states(Sink& sink, const PlannedStage& stage, Recurrence<T>& from) {
    std::vector<T> rounded(idx(plan_.dim * plan_.value_dim));
    const auto push_state = [&](Index b, Index h, Index token, const double* state) {
        std::transform(state, state + rounded.size(), rounded.begin(),
                       [](double v) { return static_cast<T>(v); });
        Rows rows = rows_of(stage, b, h, 0, plan_.dim);
        rows.token = token;
        push(sink, rows, rounded.data(), plan_.value_dim);
    };
    const auto& tokens = plan_.new_keys_shown.indices;
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.kv_heads_shown.indices) {
            if (stage.family == StageShape::state) {
                push_state(b, h, 0, from.state(b, h));
                continue;
            }
            from.each_state(b, h, [&](Index token, const double* state) {
                if (std::binary_search(tokens.begin(), tokens.end(), token)) push_state(b, h, token, state);
            });
        }
}

template class Emitter<float>;
template class Emitter<double>;

}  // namespace attn
