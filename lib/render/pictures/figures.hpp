#pragma once
#include <string>
#include <string_view>

#include "lib/render/pictures/picture.hpp"
#include "lib/render/render.hpp"

namespace attn {

// Words and digits that every way of drawing has in common.

/// Digits after the point inside a cell where none are asked for.
constexpr int cell_precision = 3;

/// A number as it stands inside a cell: "0.552", "1.20e+09", "NaN", "-inf".
std::string cell_number(double number, const RenderOptions& options);
/// A number in full: the shortest that reads back in the picture's type; "NaN", "Infinity".
std::string whole_number(const Picture& picture, std::size_t place);
/// "numbers 0.008 to 0.422": what of its scale a picture has; empty: nothing.
std::string range_note(const Picture& picture);
/// An end of a scale: "0", "1", "-2.13".
std::string scale_number(double number);

/// "query journey, key Your", "queries 0 to 3, keys Your to with" where a cell stands for several; tokens are
/// visible() and clipped.
std::string cell_name(const Picture& picture, Index row, Index column);

/// Text of a file, visible(), in at most `columns` columns; in ASCII where that is asked for.
std::string fitted(std::string_view utf8, int columns, bool ascii = false);

/// The same of the label of a cell that is drawn.
std::string cell_label(const PictureAxis& axis, Index drawn, int columns, bool ascii = false);

/// Every how many cells an axis has a label where labels need the room of `cells` cells: 1, 2, 5, 10, 20 ...
Index label_step(Index cells);

/// "weights = softmax(masked_scores)"
std::string heading_of(const Picture& picture);

}  // namespace attn
