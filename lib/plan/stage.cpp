#include "lib/plan/stage.hpp"

namespace attn {
namespace {

constexpr std::array query_dim_axes{Axis::batch, Axis::head, Axis::query, Axis::dim};
constexpr std::array key_dim_axes{Axis::batch, Axis::head, Axis::key, Axis::dim};
constexpr std::array query_key_axes{Axis::batch, Axis::head, Axis::query, Axis::key};
constexpr std::array merged_axes{Axis::batch, Axis::query, Axis::dim};
constexpr std::array merged_keys_axes{Axis::batch, Axis::key, Axis::dim};
constexpr std::array merged_cells_axes{Axis::batch, Axis::query, Axis::key};
constexpr std::array per_key_axes{Axis::batch, Axis::head, Axis::key};
constexpr std::array per_query_axes{Axis::batch, Axis::head, Axis::query};
constexpr std::array state_axes{Axis::batch, Axis::head, Axis::dim, Axis::dim};
constexpr std::array past_taps_axes{Axis::batch, Axis::dim, Axis::tap};
constexpr std::array vector_axes{Axis::dim};
constexpr std::array per_head_axes{Axis::head};
constexpr std::array head_vectors_axes{Axis::head, Axis::dim};
constexpr std::array in_out_axes{Axis::d_in, Axis::d_out};
constexpr std::array out_in_axes{Axis::d_out, Axis::d_in};
constexpr std::array heads_in_out_axes{Axis::head, Axis::d_in, Axis::d_out};
constexpr std::array heads_out_in_axes{Axis::head, Axis::d_out, Axis::d_in};
constexpr std::array split_kernel_axes{Axis::d_in, Axis::head, Axis::dim};
constexpr std::array taps_axes{Axis::dim, Axis::tap};
constexpr std::array bias_cells_axes{Axis::head, Axis::query, Axis::key};
constexpr std::array bucket_heads_axes{Axis::bucket, Axis::head};
constexpr std::array states_axes{Axis::batch, Axis::head, Axis::key, Axis::dim, Axis::dim};

}  // namespace

std::optional<Stage> stage_named(std::string_view name) {
    for (const StageInfo& row : all_stages())
        if (row.name == name) return row.stage;
    return std::nullopt;
}

std::span<const Axis> axes_of(StageShape shape) {
    switch (shape) {
        case StageShape::query_dim:
        case StageShape::grouped_queries:
        case StageShape::paired_queries:
            return query_dim_axes;
        case StageShape::key_dim:
        case StageShape::grouped_keys:
        case StageShape::all_key_dim:
        case StageShape::paired_keys:
        case StageShape::paired_all_keys:
        case StageShape::shared_keys:
        case StageShape::past_key_dim:
        case StageShape::paired_past_keys:
            return key_dim_axes;
        case StageShape::merged_keys:
        case StageShape::merged_past_keys:
            return merged_keys_axes;
        case StageShape::per_key:
            return per_key_axes;
        case StageShape::per_query:
            return per_query_axes;
        case StageShape::query_key:
        case StageShape::paired_cells:
        case StageShape::item_bias_cells:
            return query_key_axes;
        case StageShape::embedded:
        case StageShape::merged_queries:
        case StageShape::merged:
            return merged_axes;
        case StageShape::merged_cells:
            return merged_cells_axes;
        case StageShape::state:
            return state_axes;
        case StageShape::states:
            return states_axes;
        case StageShape::past_taps:
            return past_taps_axes;
        case StageShape::vector:
            return vector_axes;
        case StageShape::per_head:
            return per_head_axes;
        case StageShape::head_vectors:
            return head_vectors_axes;
        case StageShape::matrix_in_out:
            return in_out_axes;
        case StageShape::matrix_out_in:
            return out_in_axes;
        case StageShape::matrices_in_out:
            return heads_in_out_axes;
        case StageShape::matrices_out_in:
            return heads_out_in_axes;
        case StageShape::split_kernel:
            return split_kernel_axes;
        case StageShape::taps:
            return taps_axes;
        case StageShape::bias_cells:
            return bias_cells_axes;
        case StageShape::bucket_heads:
            return bucket_heads_axes;
    }
    return {};
}

std::string_view name_of(Axis axis) {
    static constexpr std::array<std::string_view, all_axes.size()> names{
        "batch", "head", "query", "key", "dim", "d_in", "d_out", "tap", "bucket"};
    return names[idx(axis)];
}

}  // namespace attn
