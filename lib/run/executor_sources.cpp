#include <algorithm>
#include <cmath>

#include "lib/run/executor.hpp"

namespace attn {
/// x[b, tokens[t], :] · W + bias with the columns of the wanted heads filled in; where nothing is projected,
/// the input itself.
template <class T>
View<T> Executor<T>::project(const Projection& projection, std::size_t input,
                             const std::optional<LinearMap<T>>& map, const std::vector<Index>& tokens,
                             Index heads, Index dim, const std::vector<Index>& wanted) {
    const std::span<const T> x = tensors_[input];
    const Shape& shape = plan_.tensors[input].shape;
    const Index all_tokens = shape[shape.size() - 2], width = shape.back();
    if (!map) {
        const Index head = plan_.projected_given ? all_tokens * width : dim;
        return {x.data(), plan_.projected_given ? heads * head : all_tokens * width, head, width};
    }
    const auto rows = static_cast<Index>(tokens.size());
    T* out = arena_.template take<T>(plan_.batch * rows * projection.d_out);
    struct Columns {
        Index first;
        Linear<T> linear;
    };
    std::vector<Columns> columns;
    for_ranges(wanted, [&](Index from, Index to) {
        const Index first = wanted[static_cast<std::size_t>(from)] * dim;
        columns.push_back(
            {first, Linear<T>(*map, first, first + (to - from) * dim, plan_.batch * all_tokens, arena_)});
    });
    struct Job {
        Index item, place, token, rows;
    };
    std::vector<Job> jobs;
    for (const Index b : plan_.batch_shown.indices)
        for_ranges(tokens, [&](Index from, Index to) {
            for (Index k = from; k < to; k += Linear<T>::rows_of_a_job)
                jobs.push_back(
                    {b, k, tokens[static_cast<std::size_t>(k)], std::min(Linear<T>::rows_of_a_job, to - k)});
        });
    pool_.run(static_cast<Index>(jobs.size()), [&](Index k, int) {
        const Job& j = jobs[static_cast<std::size_t>(k)];
        for (const Columns& c : columns)
            c.linear.apply(x.data() + (j.item * all_tokens + j.token) * width, width, j.rows,
                           out + (j.item * rows + j.place) * projection.d_out + c.first, projection.d_out);
    });
    return {out, rows * projection.d_out, dim, projection.d_out};
}

/// Queries, keys and values, and what becomes of them before the scores.
template <class T>
void Executor<T>::prepare_sources(bool scores, bool context) {
    std::vector<Index> kv_heads;
    for (const Index h : operands_.heads) kv_heads.push_back(plan_.kv_head_of(h));
    std::sort(kv_heads.begin(), kv_heads.end());
    kv_heads.erase(std::unique(kv_heads.begin(), kv_heads.end()), kv_heads.end());
    // A norm over the width needs all heads.
    const bool wide = plan_.qk_norm && plan_.qk_norm->over_width;
    const auto all_keys = counted(plan_.new_keys), every_head = counted(plan_.heads),
               every_kv = counted(plan_.kv_heads);
    const auto& rows = plan_.queries_shown.indices;
    const bool queries =
        scores || wants(Stage::queries, Stage::queries) || wants(Stage::normed_queries, Stage::all_values);
    const bool from_queries = plan_.gate && plan_.gate->from_queries;
    const auto at = [&](Stage s) -> View<T>& { return sources_[static_cast<std::size_t>(s)]; };
    operands_.queries_are_whole = !query_map_;
    if (queries) {
        at(Stage::queries) =
            project(plan_.query_projection, *plan_.query_input, query_map_, rows, plan_.heads,
                    plan_.dim * (from_queries ? 2 : 1), wide ? every_head : operands_.heads);
        at(Stage::keys) = project(plan_.key_projection, *plan_.key_input, key_map_, all_keys, plan_.kv_heads,
                                  plan_.dim, wide ? every_kv : kv_heads);
    } else if (wants(Stage::keys, Stage::keys)) {
        at(Stage::keys) = project(plan_.key_projection, *plan_.key_input, key_map_, all_keys, plan_.kv_heads,
                                  plan_.dim, kv_heads);
    }
    if (context || wants(Stage::values, Stage::values) || wants(Stage::all_values, Stage::all_values))
        at(Stage::values) = project(plan_.value_projection, *plan_.value_input, value_map_, all_keys,
                                    plan_.kv_heads, plan_.value_dim, kv_heads);
    if (from_queries) {
        gate_ = at(Stage::queries);
        gate_.data += plan_.dim;
    } else if (plan_.gate && wants(Stage::gated_context, Stage::output)) {
        gate_ = project(plan_.gate_projection, *plan_.query_input, gate_map_, rows, plan_.heads,
                        plan_.value_dim, operands_.heads);
    }
    operands_.queries = at(Stage::queries);
    operands_.keys = at(Stage::keys);
    operands_.values = at(Stage::values);
    if (!queries) return;
    const Sources<T> sources(plan_, tensors_, arena_);
    // Rows of queries are those that are shown from the first copy on.
    const auto count = static_cast<Index>(rows.size());
    const auto query_rows = [&](const View<T>& x) {
        if (!operands_.queries_are_whole || plan_.queries_shown.all) return x;
        T* data = arena_.template take<T>(plan_.batch * plan_.heads * count * plan_.dim);
        const View<T> out{data, plan_.heads * count * plan_.dim, count * plan_.dim, plan_.dim};
        for (Index b = 0; b < plan_.batch; ++b)
            for (Index h = 0; h < plan_.heads; ++h)
                for (const Index r : rows) data = std::copy_n(x.row(b, h, r), plan_.dim, data);
        return out;
    };
    if (plan_.qk_norm || plan_.rope) {
        operands_.queries = query_rows(operands_.queries);
        operands_.queries_are_whole = false;
    }
    if (plan_.qk_norm) {
        operands_.queries = at(Stage::normed_queries) =
            sources.normed(operands_.queries, plan_.heads, count, plan_.query_norm);
        operands_.keys = at(Stage::normed_keys) =
            sources.normed(operands_.keys, plan_.kv_heads, plan_.new_keys, plan_.key_norm);
    }
    if (plan_.rope) {
        operands_.queries = at(Stage::rotated_queries) =
            sources.rotated(operands_.queries, plan_.heads, rows, plan_.rope->query_positions);
        operands_.keys = at(Stage::rotated_keys) =
            sources.rotated(operands_.keys, plan_.kv_heads, all_keys, plan_.rope->key_positions);
    }
    if (plan_.past > 0 || plan_.has_appended()) {
        operands_.keys = at(Stage::all_keys) =
            sources.joined(operands_.keys, plan_.past_keys, plan_.bias_k, plan_.dim);
        if (context || wants(Stage::all_values, Stage::all_values))
            operands_.values = at(Stage::all_values) =
                sources.joined(operands_.values, plan_.past_values, plan_.bias_v, plan_.value_dim);
    }
}

/// Normed and gated contexts, from the contexts of all computed heads.
template <class T>
void Executor<T>::apply_gate() {
    const Gate& gate = *plan_.gate;
    const auto count = static_cast<Index>(plan_.queries_shown.indices.size());
    const Index width = plan_.value_dim;
    const std::span<const T> weight =
        plan_.context_norm ? tensors_[*plan_.context_norm] : std::span<const T>{};
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : operands_.heads)
            for (Index k = 0; k < count; ++k) {
                const T* x = contexts_->row(b, k, h);
                if (gate.norm) {
                    T* normed = normed_contexts_->row(b, k, h);
                    rms_norm(x, normed, width, 1e-6, weight);
                    x = normed;
                }
                const T* g = gate_.row(b, h, k);
                T* out = gated_contexts_->row(b, k, h);
                for (Index j = 0; j < width; ++j) {
                    const auto v = static_cast<double>(g[j]);
                    const double by = 1 / (1 + std::exp(-v));
                    out[j] = static_cast<T>(static_cast<double>(x[j]) * (gate.silu ? v * by : by));
                }
            }
}

template class Executor<float>;
template class Executor<double>;

}  // namespace attn
