#pragma once
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/shape.hpp"

namespace attn {

enum class Axis { batch, head, query, key, dim, d_in, d_out, tap, bucket };
inline constexpr std::array all_axes{Axis::batch, Axis::head,  Axis::query, Axis::key,   Axis::dim,
                                     Axis::d_in,  Axis::d_out, Axis::tap,   Axis::bucket};

/// The axes of a stage by its family.
enum class StageShape {
    embedded,         ///< batch, query, dim: before heads are split
    merged_queries,   ///< the same, of the shown queries alone
    query_dim,        ///< batch, head, query, dim
    key_dim,          ///< batch, head, key, dim: the new keys
    paired_queries,   ///< batch, head (two half heads each), query, dim
    grouped_queries,  ///< batch, head (several heads of values read each), query, dim
    grouped_keys,     ///< batch, head (the same), key, dim: the new keys
    all_key_dim,      ///< the same of all keys: cache, new, appended
    paired_keys,      ///< batch, head (two half heads of keys each), key, dim: the new keys
    paired_all_keys,  ///< the same of all keys
    shared_keys,      ///< batch, head (one for all), key, dim: the new keys
    merged_keys,      ///< batch, key, dim: the new keys, before heads are split
    per_key,          ///< batch, head, key: a number for each new key
    per_query,        ///< batch, head, query: a number for each query
    query_key,        ///< batch, head, query, key
    paired_cells,     ///< batch, head (two half heads each), query, key
    merged,           ///< batch, query, dim
    merged_cells,     ///< batch, query, key
    state,            ///< batch, head, dim of keys, dim of values
    states,           ///< batch, head, key, dim of keys, dim of values

    // Of gradients alone: of caches, and of parameters in the layout in which they are given.
    past_key_dim,      ///< batch, head, key, dim: the cached keys
    paired_past_keys,  ///< batch, head (two half heads of keys each), key, dim: the same
    merged_past_keys,  ///< batch, key, dim: the cached keys, before heads are split
    past_taps,         ///< batch, dim, tap: what came before the first token
    vector,            ///< dim
    per_head,          ///< head
    head_vectors,      ///< head, dim
    matrix_in_out,     ///< d_in, d_out
    matrix_out_in,     ///< d_out, d_in
    matrices_in_out,   ///< head, d_in, d_out
    matrices_out_in,   ///< head, d_out, d_in
    split_kernel,      ///< d_in, head, dim: heads between the axes, as Keras keeps them
    taps,              ///< dim, tap
    bias_cells,        ///< head, query, key: the given keys
    item_bias_cells,   ///< batch, head, query, key: the same
    bucket_heads       ///< bucket, head
};

/// Of a parameter: a gradient that is a sum over batch items, and is shown whole.
constexpr bool is_of_parameter(StageShape s) { return s >= StageShape::vector; }
constexpr bool has_batch(StageShape s) { return !is_of_parameter(s) || s == StageShape::item_bias_cells; }

/// What a row of a stage belongs to. Where a head has a number for each token there is one row, whole: a
/// column per token.
enum class RowKind { queries, new_keys, all_keys, past_keys, whole };
constexpr RowKind row_kind(StageShape s) {
    switch (s) {
        case StageShape::key_dim:
        case StageShape::grouped_keys:
        case StageShape::paired_keys:
        case StageShape::shared_keys:
        case StageShape::merged_keys:
            return RowKind::new_keys;
        case StageShape::all_key_dim:
        case StageShape::paired_all_keys:
            return RowKind::all_keys;
        case StageShape::past_key_dim:
        case StageShape::paired_past_keys:
        case StageShape::merged_past_keys:
            return RowKind::past_keys;
        case StageShape::per_key:
        case StageShape::per_query:
        case StageShape::state:
        case StageShape::states:
        case StageShape::past_taps:
        case StageShape::vector:
        case StageShape::per_head:
        case StageShape::head_vectors:
        case StageShape::matrix_in_out:
        case StageShape::matrix_out_in:
        case StageShape::matrices_in_out:
        case StageShape::matrices_out_in:
        case StageShape::split_kernel:
        case StageShape::taps:
        case StageShape::bias_cells:
        case StageShape::item_bias_cells:
        case StageShape::bucket_heads:
            return RowKind::whole;
        case StageShape::embedded:
        case StageShape::query_dim:
        case StageShape::grouped_queries:
        case StageShape::paired_queries:
        case StageShape::query_key:
        case StageShape::paired_cells:
        case StageShape::merged_queries:
        case StageShape::merged:
        case StageShape::merged_cells:
            break;
    }
    return RowKind::queries;
}
/// Rows of each head are told apart. (Heads that are rows or columns of a parameter are not; of a kernel
/// whose heads are rows, its inputs are what tells them apart.)
constexpr bool has_heads(StageShape s) {
    if (is_of_parameter(s))
        return s == StageShape::matrices_in_out || s == StageShape::matrices_out_in ||
               s == StageShape::split_kernel || s == StageShape::bias_cells ||
               s == StageShape::item_bias_cells;
    return s != StageShape::merged && s != StageShape::merged_cells && s != StageShape::merged_keys &&
           s != StageShape::merged_queries && s != StageShape::embedded &&
           s != StageShape::merged_past_keys && s != StageShape::past_taps;
}
/// The axis in front of the rows, where there is one.
constexpr Axis outer_axis(StageShape s) { return s == StageShape::split_kernel ? Axis::d_in : Axis::head; }
/// A number for each token, or a vector: there is no axis of rows.
constexpr bool has_one_row(StageShape s) {
    return s == StageShape::per_key || s == StageShape::per_query || s == StageShape::vector ||
           s == StageShape::per_head;
}
/// The head axis is that of queries and keys where there are more heads of values.
constexpr bool has_grouped_heads(StageShape s) {
    return s == StageShape::grouped_queries || s == StageShape::grouped_keys;
}
/// The head axis is that of contexts where scores have two half heads for each.
constexpr bool has_paired_heads(StageShape s) {
    return s == StageShape::paired_queries || s == StageShape::paired_cells;
}
/// The head axis is that of values where keys have two half heads for each.
constexpr bool has_paired_kv_heads(StageShape s) {
    return s == StageShape::paired_keys || s == StageShape::paired_all_keys ||
           s == StageShape::paired_past_keys;
}
/// The head axis is that of keys and values.
constexpr bool has_kv_heads(StageShape s) {
    return has_heads(s) && !is_of_parameter(s) && !has_grouped_heads(s) && !has_paired_kv_heads(s) &&
           row_kind(s) != RowKind::queries && s != StageShape::per_query;
}
/// Columns are all keys.
constexpr bool has_all_keys(StageShape s) {
    return s == StageShape::query_key || s == StageShape::paired_cells || s == StageShape::merged_cells;
}
/// Columns are keys: all of them, or the new ones.
constexpr bool has_key_columns(StageShape s) { return has_all_keys(s) || s == StageShape::per_key; }
/// Columns are tokens.
constexpr bool has_token_columns(StageShape s) { return has_key_columns(s) || s == StageShape::per_query; }

/// When a stage is made: the parts of a run (lib/run).
enum class Phase {
    source,   ///< before the scores, or the state: projections and what becomes of them
    cells,    ///< queries x keys, a block of rows with all its keys
    paired,   ///< from the cells of two half heads
    context,  ///< a row of a head for each query, on every path
    state,    ///< what a head carries from token to token
    gated,    ///< from the contexts, head by head
    merged    ///< from all heads
};

/// What the numbers are.
enum class Holds {
    vectors,  ///< rows of features
    rates,    ///< one for each token
    scores,   ///< of a key for a query: -inf where a mask hides it
    weights,  ///< of a key for a query: rows sum to 1 (but for what a sigmoid, a mask or dropout took)
    log_sums  ///< logarithms of sums of exponentials of scores
};

/// THE TABLE of stages, a row each, in the order of a trace: name, axes, when it is made, what its numbers
/// are, and whether it is shown or has to be asked for by name. What a stage reads is decided with its
/// formula (resolve_stages.cpp). A stage has one meaning in every variant.
// clang-format off
#define ATTN_STAGES(stage)                                       \
    stage(normed_embeddings, embedded, source, vectors, shown)   \
    stage(normed_key_embeddings, merged_keys, source, vectors, shown) \
    stage(queries, query_dim, source, vectors, shown)            \
    stage(keys, key_dim, source, vectors, shown)                 \
    stage(values, key_dim, source, vectors, shown)               \
    stage(query_latent, merged_queries, source, vectors, shown)  \
    stage(normed_query_latent, merged_queries, source, vectors, shown) \
    stage(latent, merged_keys, source, vectors, shown)           \
    stage(normed_latent, merged_keys, source, vectors, shown)    \
    stage(convolved_queries, query_dim, source, vectors, shown)  \
    stage(convolved_keys, key_dim, source, vectors, shown)       \
    stage(convolved_values, key_dim, source, vectors, shown)     \
    stage(normed_queries, query_dim, source, vectors, shown)     \
    stage(normed_keys, key_dim, source, vectors, shown)          \
    stage(normed_values, key_dim, source, vectors, shown)        \
    stage(rope_keys, shared_keys, source, vectors, shown)        \
    stage(rotated_queries, query_dim, source, vectors, shown)    \
    stage(rotated_keys, key_dim, source, vectors, shown)         \
    stage(tempered_queries, query_dim, source, vectors, shown)   \
    stage(mapped_queries, query_dim, source, vectors, shown)     \
    stage(mapped_keys, key_dim, source, vectors, shown)          \
    stage(mapped_values, key_dim, source, vectors, shown)        \
    stage(decay, per_key, source, rates, shown)                  \
    stage(beta, per_key, source, rates, shown)                   \
    stage(all_keys, all_key_dim, source, vectors, shown)         \
    stage(all_values, all_key_dim, source, vectors, shown)       \
    stage(scores, query_key, cells, scores, shown)               \
    stage(scaled_scores, query_key, cells, scores, shown)        \
    stage(capped_scores, query_key, cells, scores, shown)        \
    stage(biased_scores, query_key, cells, scores, shown)        \
    stage(masked_scores, query_key, cells, scores, shown)        \
    stage(weights, query_key, cells, weights, shown)             \
    stage(masked_weights, query_key, cells, weights, shown)      \
    stage(renormalized_weights, query_key, cells, weights, shown) \
    stage(dropped_weights, query_key, cells, weights, shown)     \
    stage(differential_weights, paired_cells, paired, weights, shown) \
    stage(context, query_dim, context, vectors, shown)           \
    stage(state, state, state, vectors, shown)                   \
    stage(states, states, state, vectors, by_name)               \
    stage(normed_context, query_dim, gated, vectors, shown)      \
    stage(gated_context, query_dim, gated, vectors, shown)       \
    stage(concat, merged, merged, vectors, shown)                \
    stage(normed_concat, merged, merged, vectors, shown)         \
    stage(head_outputs, query_dim, merged, vectors, by_name)     \
    stage(output, merged, merged, vectors, shown)                \
    stage(lse, per_query, context, log_sums, by_name)            \
    stage(mean_weights, merged_cells, merged, weights, by_name)
// clang-format on

enum class Stage {
#define ATTN_STAGE(name, shape, phase, holds, when) name,
    ATTN_STAGES(ATTN_STAGE)
#undef ATTN_STAGE
};

struct StageInfo {
    Stage stage;
    std::string_view name;
    StageShape shape;
    Phase phase;
    Holds holds;
    bool on_request;  ///< shown only where it is asked for by name
};

namespace detail {

enum class When { shown, by_name };
inline constexpr std::array stages{
#define ATTN_STAGE(name, shape, phase, holds, when) \
    StageInfo{Stage::name, #name, StageShape::shape, Phase::phase, Holds::holds, When::when == When::by_name},
    ATTN_STAGES(ATTN_STAGE)
#undef ATTN_STAGE
};

}  // namespace detail

constexpr std::size_t stage_count = detail::stages.size();
constexpr std::span<const StageInfo> all_stages() { return detail::stages; }
constexpr const StageInfo& info_of(Stage stage) { return detail::stages[idx(stage)]; }
std::optional<Stage> stage_named(std::string_view name);
/// A row of a stage of queries x keys, or its mean over heads, is how much each key weighs.
constexpr bool is_weights(Stage stage) { return info_of(stage).holds == Holds::weights; }
constexpr bool is_score(Stage stage) { return info_of(stage).holds == Holds::scores; }
/// Embeddings after their norm.
constexpr bool is_embeddings(Stage stage) {
    return stage == Stage::normed_embeddings || stage == Stage::normed_key_embeddings;
}
/// Values on their way to the contexts.
constexpr bool is_values(Stage stage) { return info_of(stage).name.ends_with("values"); }
/// Whether a stage stands before another in the table: where a plan need not have both.
constexpr bool stands_before(Stage a, Stage b) { return static_cast<int>(a) < static_cast<int>(b); }

std::span<const Axis> axes_of(StageShape shape);
std::string_view name_of(Axis axis);

}  // namespace attn
