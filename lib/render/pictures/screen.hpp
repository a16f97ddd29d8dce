#pragma once
#include <memory>

#include "lib/render/pictures/picture.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// Draws pictures with characters: cells on grounds of their colours where the terminal has 256 or more,
/// else behind shades.
std::unique_ptr<PictureWriter> make_screen_writer(Output& output, const RenderOptions& options);

/// Columns of a row's sum and entropy at its side.
constexpr int screen_sums_width = 18;

/// A matrix among others is at least so wide: its title has to be read.
constexpr int screen_title_width = 8;

/// How the matrices of a picture stand on a screen.
struct ScreenLayout {
    enum class Form {
        numbers,  ///< a line for each row, in each cell its number
        squares,  ///< a line for each row, two characters for each cell
        dots      ///< a character for each cell, two rows a line where options.colours can say both
    } form = Form::dots;
    Index cell_columns = 1, cell_lines_each = 1;  ///< characters of a cell; rows of cells in a line
    Index panels_in_line = 1;
    int label_width = 0;  ///< of rows' labels, a space after them included; 0: none
    PictureSize most;     ///< cells of a matrix that have room; no cells are left out below it
};

/// Numbers where they have room, else squares, else dots, fewer of them where even those do not fit: beside
/// one another into options.width columns, below one another into options.lines (a little more where numbers
/// would be lost for it). Labels as the axes have them; of a number's width only a bound is known.
ScreenLayout screen_layout(const Picture& picture, Index panels, int number_width,
                           const RenderOptions& options);

/// Half a character can have a colour of its own.
inline bool has_halves(const RenderOptions& options) {
    return options.colours >= Colours::many && !options.ascii && !options.sums;
}

}  // namespace attn
