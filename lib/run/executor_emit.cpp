#include <algorithm>

#include "lib/run/executor.hpp"

namespace attn {

template <class T>
void Executor<T>::emit_source(Sink& sink, const PlannedStage& stage) {
    if (stage.family == StageShape::per_key) {
        emit_per_key(sink, stage);
    } else {
        emit_projected(sink, stage);
    }
}

template <class T>
void Executor<T>::emit_per_key(Sink& sink, const PlannedStage& stage) {
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.kv_heads_shown.indices)
            emit(sink, rows_of(stage, b, h, 0, 1), at(stage.stage).row(b, h, 0), plan_.new_keys, nullptr);
}

template <class T>
void Executor<T>::emit_state(Sink& sink, const PlannedStage& stage) {
    std::vector<T> rounded(static_cast<std::size_t>(plan_.dim * plan_.value_dim));
    const auto push = [&](Index b, Index h, Index token, const double* state) {
        std::transform(state, state + rounded.size(), rounded.begin(),
                       [](double v) { return static_cast<T>(v); });
        Rows rows = rows_of(stage, b, h, 0, plan_.dim);
        rows.token = token;
        emit(sink, rows, rounded.data(), plan_.value_dim, nullptr);
    };
    const auto& tokens = plan_.new_keys_shown.indices;
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.kv_heads_shown.indices) {
            if (stage.stage == Stage::state) {
                push(b, h, 0, recurrence_->state(b, h));
                continue;
            }
            recurrence_->each_state(b, h, [&](Index token, const double* state) {
                if (std::binary_search(tokens.begin(), tokens.end(), token)) push(b, h, token, state);
            });
        }
}

template <class T>
void Executor<T>::emit_projected(Sink& sink, const PlannedStage& stage) {
    const View<T>& from = sources_[static_cast<std::size_t>(stage.stage)];
    const bool whole =
        stage.stage == Stage::queries ? !map(WeightRole::query) : row_kind(stage.family) != RowKind::queries;
    for (const Index b : plan_.batch_shown.indices) {
        for (const Index h : plan_.heads_of(stage.family).indices) {
            const auto& rows = plan_.rows_of(stage.family).indices;
            for_ranges(rows, [&](Index k, Index end) {
                const Index first = rows[static_cast<std::size_t>(k)];
                emit(sink, rows_of(stage, b, h, first, end - k), from.row(b, h, whole ? first : k),
                     from.token, nullptr);
            });
        }
    }
}

template <class T>
Contexts<T>& Executor<T>::contexts_of(Stage stage) {
    return stage == Stage::normed_context  ? *normed_contexts_
           : stage == Stage::gated_context ? *gated_contexts_
                                           : *contexts_;
}

template <class T>
void Executor<T>::emit_contexts(Sink& sink, const PlannedStage& stage) {
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.heads_shown.indices)
            for_blocks(plan_, b, h, plan_.row_block, [&](const RowBlock& r) {
                Rows rows = rows_of(stage, b, h, r.query, r.rows);
                if (!contexts_in_place_ || stage.stage != Stage::context)
                    return emit(sink, rows, contexts_of(stage.stage).row(b, r.first, h),
                                contexts_of(stage.stage).stride(), nullptr);
                rows.data = contexts_of(stage.stage).row(b, r.first, h);
                findings_.look_at(rows);
            });
}

/// Rows of the output that are computed before they are pushed: some jobs for each worker.
template <class T>
Index Executor<T>::merged_rows() const {
    return blocking::merged_rows * pool_.workers();
}

/// Stages after the context, from the contexts of all heads.
template <class T>
void Executor<T>::emit_merged(Sink& sink, const PlannedStage& stage, Index batch) {
    const Index width = merged_contexts().stride(), out = plan_.output_dim;
    const auto each_block = [&](auto&& f) { for_blocks(plan_, batch, 0, merged_rows(), f); };
    if (stage.stage == Stage::concat) {
        each_block([&](const RowBlock& r) {
            emit(sink, rows_of(stage, batch, 0, r.query, r.rows), merged_contexts().row(batch, r.first, 0),
                 width, nullptr);
        });
        return;
    }
    std::vector<T> result(static_cast<std::size_t>(std::min(merged_rows(), plan_.queries) * out));
    const auto multiply = [&](const RowBlock& r, Index head, auto&& part) {
        const Index jobs = (r.rows + Linear<T>::rows_of_a_job - 1) / Linear<T>::rows_of_a_job;
        pool_.run(jobs, [&](Index j, int) {
            const Index first = j * Linear<T>::rows_of_a_job;
            part(merged_contexts().row(batch, r.first + first, 0),
                 std::min(Linear<T>::rows_of_a_job, r.rows - first), result.data() + first * out);
        });
        emit(sink, rows_of(stage, batch, head, r.query, r.rows), result.data(), out, nullptr);
    };
    if (stage.stage == Stage::head_outputs) {
        const Index dim = plan_.value_dim;
        for (const Index h : plan_.heads_shown.indices)
            each_block([&](const RowBlock& r) {
                multiply(r, h, [&](const T* x, Index rows, T* y) {
                    output_->multiply(x + h * dim, width, rows, y, out, h * dim, (h + 1) * dim);
                });
            });
        return;
    }
    each_block([&](const RowBlock& r) {
        multiply(r, 0, [&](const T* x, Index rows, T* y) { output_->apply(x, width, rows, y, out); });
    });
}

/// Rows without numbers: where they stand, with the columns that are shown (keys where the columns are keys).
template <class T>
Rows Executor<T>::rows_of(const PlannedStage& stage, Index batch, Index head, Index row_begin,
                          Index rows) const {
    Rows r;
    r.stage = &stage;
    r.batch = batch;
    r.head = head;
    r.has_head = has_heads(stage.family);
    r.row_begin = row_begin;
    r.row_end = row_begin + rows;
    r.dtype = plan_.dtype;
    r.columns = {dims_.data(), static_cast<std::size_t>(stage.shape.back())};
    if (has_key_columns(stage.family)) r.columns = plan_.columns_of(stage.family).indices;
    return r;
}

/// Pushes rows, made dense where they are not.
template <class T>
void Executor<T>::emit(Sink& sink, Rows rows, const T* data, Index stride, const std::uint8_t* hidden) {
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
    findings_.look_at(rows);
    sink.rows(rows);
}

template class Executor<float>;
template class Executor<double>;

}  // namespace attn
