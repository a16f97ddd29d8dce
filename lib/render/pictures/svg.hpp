#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "lib/render/pictures/picture.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// A piece of an SVG with its size in user units; its own corner is 0, 0.
struct SvgPart {
    std::string text;
    int width = 0, height = 0;
};

/// A picture: heading, a grid of its matrices with labels and named axes, the legend. Cells are `rect`s of
/// class `cell`, `hidden` or `other` (not finite), each with its exact number as `title`; above svg_cells of
/// a matrix, or where there are many, an image with a pixel for each cell. What it refers to:
/// svg_definitions().
SvgPart svg_part(const Picture& picture, const RenderOptions& options);

/// Styles, patterns and gradients.
std::string_view svg_styles();
std::string svg_definitions();

/// As the format `svg` and `view` draw.
std::unique_ptr<PictureWriter> make_svg_writer(Output& output, const RenderOptions& options);
std::unique_ptr<Sink> make_svg(Output& output, const RenderOptions& options);

}  // namespace attn
