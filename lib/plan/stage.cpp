#include "lib/plan/stage.hpp"

namespace attn {
namespace {

constexpr auto query_dim = StageShape::query_dim, key_dim = StageShape::key_dim,
               all_key_dim = StageShape::all_key_dim, merged_keys = StageShape::merged_keys,
               per_key = StageShape::per_key, query_key = StageShape::query_key, merged = StageShape::merged;

/// THE TABLE of stages, in the order of the enumeration.
constexpr std::array<StageInfo, stage_count> stages{{
    {Stage::queries, "queries", query_dim, false},
    {Stage::keys, "keys", key_dim, false},
    {Stage::values, "values", key_dim, false},
    {Stage::latent, "latent", merged_keys, false},
    {Stage::normed_queries, "normed_queries", query_dim, false},
    {Stage::normed_keys, "normed_keys", key_dim, false},
    {Stage::rope_keys, "rope_keys", StageShape::shared_keys, false},
    {Stage::rotated_queries, "rotated_queries", query_dim, false},
    {Stage::rotated_keys, "rotated_keys", key_dim, false},
    {Stage::mapped_queries, "mapped_queries", query_dim, false},
    {Stage::mapped_keys, "mapped_keys", key_dim, false},
    {Stage::decay, "decay", per_key, false},
    {Stage::beta, "beta", per_key, false},
    {Stage::all_keys, "all_keys", all_key_dim, false},
    {Stage::all_values, "all_values", all_key_dim, false},
    {Stage::scores, "scores", query_key, false},
    {Stage::scaled_scores, "scaled_scores", query_key, false},
    {Stage::capped_scores, "capped_scores", query_key, false},
    {Stage::biased_scores, "biased_scores", query_key, false},
    {Stage::masked_scores, "masked_scores", query_key, false},
    {Stage::weights, "weights", query_key, false},
    {Stage::masked_weights, "masked_weights", query_key, false},
    {Stage::renormalized_weights, "renormalized_weights", query_key, false},
    {Stage::dropped_weights, "dropped_weights", query_key, false},
    {Stage::context, "context", query_dim, false},
    {Stage::state, "state", StageShape::state, false},
    {Stage::states, "states", StageShape::states, true},
    {Stage::normed_context, "normed_context", query_dim, false},
    {Stage::gated_context, "gated_context", query_dim, false},
    {Stage::concat, "concat", merged, false},
    {Stage::head_outputs, "head_outputs", query_dim, true},
    {Stage::output, "output", merged, false},
}};

constexpr bool table_is_in_order() {
    for (std::size_t k = 0; k < stages.size(); ++k)
        if (static_cast<std::size_t>(stages[k].stage) != k) return false;
    return true;
}
static_assert(table_is_in_order());

constexpr std::array query_dim_axes{Axis::batch, Axis::head, Axis::query, Axis::dim};
constexpr std::array key_dim_axes{Axis::batch, Axis::head, Axis::key, Axis::dim};
constexpr std::array query_key_axes{Axis::batch, Axis::head, Axis::query, Axis::key};
constexpr std::array merged_axes{Axis::batch, Axis::query, Axis::dim};
constexpr std::array merged_keys_axes{Axis::batch, Axis::key, Axis::dim};
constexpr std::array per_key_axes{Axis::batch, Axis::head, Axis::key};
constexpr std::array state_axes{Axis::batch, Axis::head, Axis::dim, Axis::dim};
constexpr std::array states_axes{Axis::batch, Axis::head, Axis::key, Axis::dim, Axis::dim};

}  // namespace

const StageInfo& info_of(Stage stage) { return stages[static_cast<std::size_t>(stage)]; }

std::optional<Stage> stage_named(std::string_view name) {
    for (const StageInfo& row : stages)
        if (row.name == name) return row.stage;
    return std::nullopt;
}

std::span<const StageInfo> all_stages() { return stages; }

std::span<const Axis> axes_of(StageShape shape) {
    switch (shape) {
        case StageShape::query_dim:
            return query_dim_axes;
        case StageShape::key_dim:
        case StageShape::all_key_dim:
        case StageShape::shared_keys:
            return key_dim_axes;
        case StageShape::merged_keys:
            return merged_keys_axes;
        case StageShape::per_key:
            return per_key_axes;
        case StageShape::query_key:
            return query_key_axes;
        case StageShape::merged:
            return merged_axes;
        case StageShape::state:
            return state_axes;
        case StageShape::states:
            return states_axes;
    }
    return {};
}

std::string_view name_of(Axis axis) {
    switch (axis) {
        case Axis::batch:
            return "batch";
        case Axis::head:
            return "head";
        case Axis::query:
            return "query";
        case Axis::key:
            return "key";
        case Axis::dim:
            return "dim";
    }
    return {};
}

}  // namespace attn
