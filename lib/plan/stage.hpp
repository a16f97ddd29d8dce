#pragma once
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace attn {

/// Every stage there is, in the order of a trace. A stage has one meaning in every variant.
enum class Stage {
    queries,
    keys,
    values,
    latent,
    normed_queries,
    normed_keys,
    rope_keys,
    rotated_queries,
    rotated_keys,
    mapped_queries,
    mapped_keys,
    decay,
    beta,
    all_keys,
    all_values,
    scores,
    scaled_scores,
    capped_scores,
    biased_scores,
    masked_scores,
    weights,
    masked_weights,
    renormalized_weights,
    dropped_weights,
    context,
    state,
    states,
    normed_context,
    gated_context,
    concat,
    head_outputs,
    output
};
constexpr std::size_t stage_count = 32;

enum class Axis { batch, head, query, key, dim };

/// The axes of a stage by its family.
enum class StageShape {
    query_dim,    ///< batch, head, query, dim
    key_dim,      ///< batch, head, key, dim: the new keys
    all_key_dim,  ///< the same of all keys: cache, new, appended
    shared_keys,  ///< batch, head (one for all), key, dim: the new keys
    merged_keys,  ///< batch, key, dim: the new keys, before heads are split
    per_key,      ///< batch, head, key: a number for each new key
    query_key,    ///< batch, head, query, key
    merged,       ///< batch, query, dim
    state,        ///< batch, head, dim of keys, dim of values
    states        ///< batch, head, key, dim of keys, dim of values
};

/// What a row of a stage belongs to. Rows of per_key stages are whole: one for each head, a column per key.
enum class RowKind { queries, new_keys, all_keys, whole };
constexpr RowKind row_kind(StageShape s) {
    switch (s) {
        case StageShape::key_dim:
        case StageShape::shared_keys:
        case StageShape::merged_keys:
            return RowKind::new_keys;
        case StageShape::all_key_dim:
            return RowKind::all_keys;
        case StageShape::per_key:
        case StageShape::state:
        case StageShape::states:
            return RowKind::whole;
        case StageShape::query_dim:
        case StageShape::query_key:
        case StageShape::merged:
            break;
    }
    return RowKind::queries;
}
constexpr bool has_heads(StageShape s) { return s != StageShape::merged && s != StageShape::merged_keys; }
/// The head axis is that of keys and values.
constexpr bool has_kv_heads(StageShape s) { return has_heads(s) && row_kind(s) != RowKind::queries; }
/// Columns are keys: all of them, or the new ones.
constexpr bool has_key_columns(StageShape s) {
    return s == StageShape::query_key || s == StageShape::per_key;
}

struct StageInfo {
    Stage stage;
    std::string_view name;
    StageShape shape;
    bool on_request;  ///< shown only where it is asked for by name
};

const StageInfo& info_of(Stage stage);
std::optional<Stage> stage_named(std::string_view name);
std::span<const StageInfo> all_stages();
std::span<const Axis> axes_of(StageShape shape);
std::string_view name_of(Axis axis);

}  // namespace attn
