#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/pictures/picture.hpp"
#include "lib/theirs/given_array.hpp"

namespace attn {

/// Somebody's array as a picture in waiting: which cells of which of its matrices, under which names.
struct GivenPicture {
    Picture picture;                     ///< without numbers
    const GivenArray* array = nullptr;   ///< lives in its dump
    const GivenArray* masked = nullptr;  ///< of the same size: -inf where the mask hides a cell
    std::vector<PicturePanel> panels;
    std::vector<Index> matrices;            ///< for each panel: which of the array's
    std::vector<Index> rows, columns;       ///< places of the cells shown
    Index row_count = 0, column_count = 0;  ///< of the array's matrices
};

/// What of a file is drawn, as `request` says it (stages: names of stages or of arrays; batch, heads, rows,
/// cols; tokens). Without names: of each layer the last weights, by name or since they look like weights (no
/// number below 0, no row with a larger sum than 1); where there are none, its last array. An array is
/// [batch, head, row, column], leading axes may be missing; a stage of ours has its own axes.
/// \throws Error: exit 2 for what is asked for and not there, exit 3 for a file without numbers
std::vector<GivenPicture> choose_given(const Dump& dump, const Request& request);

/// Hands them to a writer, one after another.
void draw_given(const std::vector<GivenPicture>& given, PictureWriter& writer, const RenderOptions& options);

}  // namespace attn
