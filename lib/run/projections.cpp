#include "lib/run/projections.hpp"

#include <algorithm>
#include <cmath>

#include "lib/run/ops.hpp"

namespace attn {

namespace {

constexpr Index one_head = 1;

}  // namespace

template <class T>
Projections<T>::Projections(const Plan& plan, const Tensors<T>& tensors, Pool& pool, Arena& arena)
    : plan_(plan),
      tensors_(tensors),
      pool_(pool),
      arena_(arena),
      sources_(plan, tensors, arena, plan.batch_shown.indices) {
    for (std::size_t r = 0; r < projection_count; ++r)
        if (!plan.projections[r].weight.empty()) maps_[r].emplace(plan.projections[r], plan, tensors);
}

template <class T>
void Projections<T>::make(const Needs& needs, Operands<T>& operands) {
    needs_ = needs;
    stages_.fill({});
    norm_embeddings();
    project_all();
    prepare(operands);
    if (plan_.state) prepare_state(operands);
}

template <class T>
auto Projections<T>::input(std::size_t tensor) const -> Input {
    const Shape& shape = plan_.tensors[tensor].shape;
    const std::optional<Stage> normed = plan_.normed_input(tensor);
    return {normed ? of(*normed).data : tensors_[tensor].data(), shape[shape.size() - 2], shape.back()};
}

/// Of all tokens: keys read them, too.
template <class T>
void Projections<T>::norm_embeddings() {
    const auto make = [&](Stage stage, const std::optional<std::size_t>& tensor) {
        if (!needs_.has(stage)) return;
        const Shape& shape = plan_.tensors[*tensor].shape;
        const Index tokens = shape[shape.size() - 2], width = shape.back();
        at(stage) = sources_.normed({tensors_[*tensor].data(), tokens * width, 0, width}, one_head, tokens,
                                    width, stage);
    };
    make(Stage::normed_embeddings, plan_.query_input);
    make(Stage::normed_key_embeddings, plan_.key_input);
}

/// An input as it is: [batch, head, token, dim] where it was given so, else columns of its rows.
template <class T>
View<T> Projections<T>::placed(const Input& x, Index heads, Index dim) const {
    const Index head = plan_.projected_given ? x.tokens * x.width : dim;
    return {x.data, plan_.projected_given ? heads * head : x.tokens * x.width, head, x.width};
}

/// x[b, tokens[t], :] · W + bias with the columns of the wanted heads filled in; where nothing is projected,
/// the input itself.
template <class T>
View<T> Projections<T>::project(WeightRole role, const Input& x, const std::vector<Index>& tokens,
                                Index heads, Index dim, const std::vector<Index>& wanted) {
    const Projection& projection = plan_.projection(role);
    if (!map(role)) return placed(x, heads, dim);
    const auto rows = static_cast<Index>(tokens.size());
    T* out = arena_.template take<T>(plan_.batch * rows * projection.d_out);
    for_ranges(wanted, [&](Index from, Index to) {
        const Index first = wanted[idx(from)] * dim;
        std::vector<typename Linear<T>::Run> runs;
        for (const Index b : plan_.batch_shown.indices)
            for_ranges(tokens, [&](Index k, Index end) {
                runs.push_back({x.data + (b * x.tokens + tokens[idx(k)]) * x.width, end - k,
                                out + (b * rows + k) * projection.d_out + first});
            });
        Linear<T>::apply_once(*map(role), first, first + (to - from) * dim, plan_.batch * x.tokens, runs,
                              x.width, projection.d_out, pool_, panels());
    });
    for (const WeightPiece& p : projection.weight) plan_.tensors[p.tensor].numbers.let_go();
    return {out, rows * projection.d_out, dim, projection.d_out};
}

/// Queries, keys, values and gate. Rows of queries are the shown ones wherever they are projected.
template <class T>
void Projections<T>::project_all() {
    const auto& rows = plan_.queries_shown.indices;
    const auto all_keys = counted(plan_.new_keys);
    const bool from_queries = plan_.gate && plan_.gate->from_queries;
    if (needs_.has(Stage::queries) || needs_.has(Stage::query_latent)) {
        Input x = input(*plan_.query_input);
        std::vector<Index> tokens = plan_.conv ? counted(plan_.queries) : rows;
        if (map(WeightRole::query_latent)) {
            const Index narrow = plan_.projection(WeightRole::query_latent).d_out;
            View<T> made = at(Stage::query_latent) =
                project(WeightRole::query_latent, x, rows, 1, narrow, {0});
            const auto count = static_cast<Index>(rows.size());
            if (plan_.query_latent_norm)
                made = at(Stage::normed_query_latent) =
                    sources_.normed(made, one_head, count, narrow, Stage::normed_query_latent);
            x.data = made.data;
            x.tokens = static_cast<Index>(rows.size());
            x.width = narrow;
            tokens = counted(x.tokens);
        }
        at(Stage::queries) = project(WeightRole::query, x, tokens, plan_.query_heads(),
                                     plan_.query_dim * (from_queries ? 2 : 1), needs_.query_heads);
    }
    if (from_queries && needs_.has(Stage::gated_context)) {
        gate_ = at(Stage::queries);
        gate_.data += plan_.query_dim;  // the second half of each head
    } else if (needs_.applies(WeightRole::gate)) {
        gate_ = project(WeightRole::gate, input(*plan_.query_input), rows, plan_.context_heads(),
                        plan_.gate_by_head ? 1 : plan_.value_dim, needs_.context_heads);
    }
    if (plan_.variant->is_latent()) return project_latent();
    if (needs_.has(Stage::keys))
        at(Stage::keys) = project(WeightRole::key, input(*plan_.key_input), all_keys, plan_.key_heads(),
                                  plan_.key_dim, needs_.key_heads);
    if (needs_.has(Stage::values))
        at(Stage::values) = project(WeightRole::value, input(*plan_.value_input), all_keys,
                                    plan_.value_heads(), plan_.value_dim, needs_.value_heads);
    const auto clamp = [&](Stage stage, const HeadsOf& heads, Index tokens, Index dim) {
        if (const auto limit = plan_.limit_of(stage); limit && needs_.has(stage))
            at(stage) = sources_.clamped(at(stage), heads, tokens, dim, *limit);
    };
    clamp(Stage::queries, query_heads(), plan_.conv ? plan_.queries : static_cast<Index>(rows.size()),
          plan_.query_dim);
    clamp(Stage::keys, key_heads(), plan_.new_keys, plan_.key_dim);
    clamp(Stage::values, value_heads(), plan_.new_keys, plan_.value_dim);
    const auto cached = [&](const std::optional<std::size_t>& t, Index heads, Index dim) -> View<T> {
        if (!t) return {};
        return {tensors_[*t].data(), heads * plan_.past * dim, plan_.past * dim, dim};
    };
    past_keys_ = cached(plan_.past_keys, plan_.kv_heads, plan_.key_dim);
    past_values_ = cached(plan_.past_values, plan_.value_heads(), plan_.value_dim);
}

/// Keys and values from the latent, and those of the cache from its latents (DeepSeek-V2, equations 9 to 11).
template <class T>
void Projections<T>::project_latent() {
    const auto all_keys = counted(plan_.new_keys), cached = counted(plan_.past);
    const Index narrow = plan_.projection(WeightRole::latent).d_out;
    if (!needs_.has(Stage::latent)) return;
    at(Stage::latent) = project(WeightRole::latent, input(*plan_.key_input), all_keys, 1, narrow, {0});
    if (plan_.latent_norm)
        at(Stage::normed_latent) =
            sources_.normed(at(Stage::latent), one_head, plan_.new_keys, narrow, Stage::normed_latent);
    const Input latent{at(plan_.latent_norm ? Stage::normed_latent : Stage::latent).data, plan_.new_keys,
                       narrow};
    const auto project_one = [&](WeightRole role, Index dim, Stage stage, View<T>& past) {
        at(stage) = project(role, latent, all_keys, plan_.kv_heads, dim, needs_.kv_heads);
        if (plan_.past_latent)
            past = project(role, input(*plan_.past_latent), cached, plan_.kv_heads, dim, needs_.kv_heads);
    };
    if (needs_.has(Stage::keys)) project_one(WeightRole::key, plan_.key_dim, Stage::keys, past_keys_);
    if (needs_.has(Stage::values))
        project_one(WeightRole::value, plan_.value_dim, Stage::values, past_values_);
}

/// The shown rows of queries that are there whole.
template <class T>
View<T> Projections<T>::query_rows(const View<T>& x, Index dim, bool are_whole) {
    const auto& rows = plan_.queries_shown.indices;
    if (!are_whole || plan_.queries_shown.all) return x;
    const auto count = static_cast<Index>(rows.size());
    const Index heads = plan_.query_heads();
    T* data = arena_.template take<T>(plan_.batch * heads * count * dim);
    const View<T> out{data, heads * count * dim, count * dim, dim};
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : needs_.query_heads) {
            T* to = data + b * out.batch + h * out.head;
            for (const Index r : rows) to = std::copy_n(x.row(b, h, r), dim, to);
        }
    return out;
}

template <class T>
void Projections<T>::norm(Operands<T>& operands) {
    const auto queries = static_cast<Index>(plan_.queries_shown.indices.size());
    const auto make = [&](Stage stage, View<T>& x, const HeadsOf& heads, Index tokens, Index dim) {
        if (needs_.has(stage)) x = at(stage) = sources_.normed(x, heads, tokens, dim, stage);
    };
    make(Stage::normed_queries, operands.queries, query_heads(), queries, plan_.query_dim);
    make(Stage::normed_keys, operands.keys, key_heads(), plan_.new_keys, plan_.key_dim);
    make(Stage::normed_values, operands.values, value_heads(), plan_.new_keys, plan_.value_dim);
}

template <class T>
void Projections<T>::rotate(Operands<T>& operands) {
    const auto& rows = plan_.queries_shown.indices;
    const auto all_keys = counted(plan_.new_keys);
    if (needs_.has(Stage::rotated_queries))
        operands.queries = at(Stage::rotated_queries) =
            sources_.rotated(operands.queries, query_heads(), plan_.query_dim, plan_.rope->first_query, rows,
                             plan_.rope->query_positions);
    if (needs_.has(Stage::rope_keys)) {
        const Index turned = plan_.rope->dims;
        const View<T> raw = project(WeightRole::rope_key, input(*plan_.key_input), all_keys, 1, turned, {0});
        at(Stage::rope_keys) =
            sources_.rotated(raw, one_head, turned, 0, all_keys, plan_.rope->key_positions);
    }
    if (needs_.has(Stage::rotated_keys))
        operands.keys = at(Stage::rotated_keys) =
            map(WeightRole::rope_key)
                ? sources_.widened(operands.keys, kv_heads(), plan_.key_dim, at(Stage::rope_keys),
                                   plan_.rope->dims, plan_.new_keys)
                : sources_.rotated(operands.keys, key_heads(), plan_.key_dim, 0, all_keys,
                                   plan_.rope->key_positions);
}

/// What becomes of queries, keys and values before the scores.
template <class T>
void Projections<T>::prepare(Operands<T>& operands) {
    const auto& rows = plan_.queries_shown.indices;
    const auto count = static_cast<Index>(rows.size());
    operands.queries = at(Stage::queries);
    operands.queries_are_whole = !map(WeightRole::query) || plan_.conv;
    operands.keys = at(Stage::keys);
    operands.values = at(Stage::values);
    // The tokens before a row have a part in it: queries are there whole until they are convolved.
    if (needs_.has(Stage::convolved_queries)) {
        operands.queries = at(Stage::convolved_queries) =
            query_rows(sources_.convolved(operands.queries, query_heads(), plan_.queries, plan_.query_dim,
                                          plan_.conv->of(Stage::convolved_queries)),
                       plan_.query_dim, true);
        operands.queries_are_whole = false;
    }
    if (needs_.has(Stage::convolved_keys))
        operands.keys = at(Stage::convolved_keys) = sources_.convolved(
            operands.keys, key_heads(), plan_.new_keys, plan_.key_dim, plan_.conv->of(Stage::convolved_keys));
    if (needs_.has(Stage::convolved_values))
        operands.values = at(Stage::convolved_values) =
            sources_.convolved(operands.values, kv_heads(), plan_.new_keys, plan_.value_dim,
                               plan_.conv->of(Stage::convolved_values));
    if (needs_.has(Stage::normed_queries) || needs_.has(Stage::rotated_queries) ||
        needs_.has(Stage::tempered_queries) || needs_.has(Stage::mapped_queries) ||
        needs_.applies(WeightRole::score)) {
        operands.queries = query_rows(operands.queries, plan_.query_dim, operands.queries_are_whole);
        operands.queries_are_whole = false;
    }
    if (!plan_.norm_after_rope) norm(operands);
    rotate(operands);
    if (plan_.norm_after_rope) norm(operands);
    if (needs_.has(Stage::tempered_queries))
        operands.queries = at(Stage::tempered_queries) =
            sources_.tempered(operands.queries, query_heads(), rows);
    if (needs_.has(Stage::all_keys)) {
        if (plan_.past_rope_keys) {
            const Index turned = plan_.rope->dims;
            past_keys_ = sources_.widened(
                past_keys_, kv_heads(), plan_.key_dim,
                {tensors_[*plan_.past_rope_keys].data(), plan_.past * turned, 0, turned}, turned, plan_.past);
        }
        operands.keys = at(Stage::all_keys) =
            sources_.joined(past_keys_, operands.keys, plan_.bias_k, kv_heads(), plan_.dim);
    }
    if (needs_.has(Stage::all_values))
        operands.values = at(Stage::all_values) =
            sources_.joined(past_values_, operands.values, plan_.bias_v, value_heads(), plan_.value_dim);
    if (!needs_.applies(WeightRole::score)) return;
    // (q · W_score) · kᵀ: what reads the scores needs no way of its own.
    const Linear<T> linear(*map(WeightRole::score), 0, plan_.dim, plan_.batch * plan_.heads * count, panels(),
                           &pool_);
    T* data = arena_.template take<T>(plan_.batch * plan_.heads * count * plan_.dim);
    const View<T> out{data, plan_.heads * count * plan_.dim, count * plan_.dim, plan_.dim};
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : needs_.heads)
            linear.apply(operands.queries.row(b, h, 0), operands.queries.token, count,
                         data + b * out.batch + h * out.head, plan_.dim);
    operands.queries = out;
}

/// One number per token and head, or one per column, as given or from the embeddings of the keys.
template <class T>
void Projections<T>::per_token(Stage stage, WeightRole role, const std::optional<std::size_t>& given,
                               Index dim) {
    const Index heads = plan_.kv_heads, tokens = plan_.new_keys;
    T* data = arena_.template take<T>(plan_.batch * heads * tokens * dim);
    const View<T> out{data, heads * tokens * dim, tokens * dim, dim};
    View<T> from;
    if (!given) from = project(role, input(*plan_.key_input), counted(tokens), heads, dim, needs_.kv_heads);
    const auto per_head = [&](const std::optional<std::size_t>& t, Index h) {
        return t ? static_cast<double>(tensors_[*t][idx(h)]) : 0.0;
    };
    const double factor = role == WeightRole::beta ? plan_.state->beta_factor : 1;
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index h = 0; h < heads; ++h) {
            const double rate = std::exp(per_head(plan_.state->log_rate, h)),
                         bias = per_head(plan_.state->bias, h);
            const auto result = [&](Index t, Index k) {
                if (given)
                    return static_cast<double>(tensors_[*given][idx(plan_.rate_number(*given, b, h, t, k))]);
                const auto x = static_cast<double>(from.row(b, h, t)[k]);
                return role == WeightRole::beta ? ops::sigmoid(x) : ops::log_decay(rate, x + bias);
            };
            for (Index t = 0; t < tokens; ++t)
                for (Index k = 0; k < dim; ++k) *data++ = static_cast<T>(factor * result(t, k));
        }
    at(stage) = out;
}

/// Feature maps, decay and beta.
template <class T>
void Projections<T>::prepare_state(Operands<T>& operands) {
    const PlannedState& state = *plan_.state;
    const auto count = static_cast<Index>(plan_.queries_shown.indices.size());
    if (needs_.has(Stage::mapped_queries))
        operands.queries = at(Stage::mapped_queries) =
            sources_.mapped(operands.queries, query_heads(), count, plan_.dim, *state.feature_map);
    if (needs_.has(Stage::mapped_keys))
        operands.keys = at(Stage::mapped_keys) =
            sources_.mapped(operands.keys, key_heads(), plan_.new_keys, plan_.dim, *state.feature_map);
    if (needs_.has(Stage::mapped_values))
        operands.values = at(Stage::mapped_values) =
            sources_.mapped(operands.values, kv_heads(), plan_.new_keys, plan_.value_dim, *state.feature_map);
    if (needs_.has(Stage::decay))
        per_token(Stage::decay, WeightRole::decay, state.decay, state.decay_by_column ? plan_.dim : 1);
    if (needs_.has(Stage::beta))
        per_token(Stage::beta, WeightRole::beta, state.beta, state.beta_by_column ? plan_.value_dim : 1);
}

template class Projections<float>;
template class Projections<double>;

}  // namespace attn
