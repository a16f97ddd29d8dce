#pragma once
#include <string>
#include <vector>

#include "lib/render/comparisons/diff.hpp"
#include "lib/render/pictures/picture.hpp"

namespace attn {

/// Theirs, ours, theirs - ours of a stage: the first two of one scale, each named "theirs weights", ...;
/// empty where one side lacks it or no order of axes fits.
std::vector<Picture> diff_pictures(const DiffPart& part, const StageComparison& stage);

/// The part that pictures show: the first that differs, else the first; null where there is none.
const DiffPart* shown_part(const std::vector<DiffReport>& reports);

/// The stage of a part that is shown first: the first that differs, else the last that is compared; null
/// where none is.
const StageComparison* shown_stage(const DiffPart& part);

/// The three pictures of that stage side by side, and what is said about them.
void write_diff_svg(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                    Output& output, const RenderOptions& options);
/// A page of all stages: theirs, ours, the difference, the tolerance as a slider (page/comparison.js).
/// \throws Error (exit 3) above 64 MB
void write_diff_html(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                     Output& output, const RenderOptions& options);

}  // namespace attn
