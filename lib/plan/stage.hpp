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
    normed_queries,
    normed_keys,
    rotated_queries,
    rotated_keys,
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
    normed_context,
    gated_context,
    concat,
    head_outputs,
    output
};
constexpr std::size_t stage_count = 24;

enum class Axis { batch, head, query, key, dim };

/// The axes of a stage by its family.
enum class StageShape {
    query_dim,    ///< batch, head, query, dim
    key_dim,      ///< batch, head, key, dim: the new keys
    all_key_dim,  ///< the same of all keys: cache, new, appended
    query_key,    ///< batch, head, query, key
    merged        ///< batch, query, dim
};

constexpr bool has_key_rows(StageShape s) { return s == StageShape::key_dim || s == StageShape::all_key_dim; }

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
