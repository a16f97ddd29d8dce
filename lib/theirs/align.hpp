#pragma once
#include <array>
#include <optional>
#include <string>

#include "lib/theirs/names.hpp"
#include "lib/theirs/stages.hpp"

namespace attn {

/// Their numbers in our order, and what was understood on the way.
struct Aligned {
    WholeStage stage;
    std::string said;   ///< "read as [batch, query, head, dim]"; empty: as ours
    std::string other;  ///< another order that the same sizes fit, not taken
};

/// Brings an array into the order and the shape of our stage. Tried in this order, and the first that fits is
/// taken: as ours; heads after tokens (first where `layout` says so); heads merged into columns; batch and
/// head merged; tokens before the batch; rows and columns exchanged. Axes of length 1 may be missing or more.
/// `heads`: of queries, for stages whose columns hold them side by side. Nothing: no order fits.
/// Their numbers are moved where no axis has to be.
std::optional<Aligned> align(GivenArray theirs, const WholeStage& ours, Index heads, Layout layout);

/// Whether some order fits: align() without the numbers.
bool fits(const GivenArray& theirs, const WholeStage& ours, Index heads, Layout layout);

/// A stage from a trace that is our own: whole, [batch, head, row, column] or without the head.
std::optional<WholeStage> own_stage(GivenArray array, Stage stage);

/// The shape of a WholeStage from that of its own axes.
std::array<Index, 4> four_by_axes(StageShape family, const Shape& shape);

/// The names of shape_by_axes(): "batch", "head", "query", "key", "dim"; rows of states are "key*dim".
std::vector<std::string> names_by_axes(StageShape family);

/// The shape as the stage's own axes have it: no head axis where there is none.
Shape shape_by_axes(const WholeStage& stage);

}  // namespace attn
