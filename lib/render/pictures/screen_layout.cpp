#include <algorithm>

#include "lib/render/pictures/figures.hpp"
#include "lib/render/pictures/screen.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr int longest_screen_label = 16, shortest_screen_label = 6, screen_panel_gap = 2;
/// Lines beside the matrices: plan, heading, legend, notes.
constexpr int other_lines = 6;
/// A terminal of fewer lines is scrolled.
constexpr int least_lines = 40;
constexpr Index most_column_label = 10;

Index rounded_up(Index n, Index by) { return (n + by - 1) / by; }

}  // namespace

ScreenLayout screen_layout(const Picture& picture, Index panels, int number_width,
                           const RenderOptions& options) {
    const Index rows = std::max<Index>(picture.rows.count(), 1),
                columns = std::max<Index>(picture.columns.count(), 1);
    const Index lines = std::max(options.lines, least_lines) - other_lines, width = options.width;
    panels = std::max<Index>(panels, 1);
    const Index titles = panels > 1 ? 1 : 0, ticks = 1;
    ScreenLayout out;
    if (!picture.rows.name.empty()) {
        const int longest = std::clamp(options.width / 4, shortest_screen_label, longest_screen_label);
        for (Index i = 0; i < rows; ++i)
            out.label_width = std::max(
                out.label_width, display_width(cell_label(picture.rows, i, longest, options.ascii)) + 1);
    }
    const Index sums = options.sums ? screen_sums_width : 0;
    const Index least_width = panels > 1 ? screen_title_width : 1;
    const auto beside = [&](Index panel) {
        panel = std::max(panel, least_width);
        return panel > width ? 0 : std::min(panels, (width + screen_panel_gap) / (panel + screen_panel_gap));
    };
    const auto fits = [&](Index in_line, Index panel_lines) {
        return in_line > 0 && rounded_up(panels, in_line) * (panel_lines + 1) <= lines + 1;
    };
    const auto take = [&](ScreenLayout::Form form, Index cell_columns, Index in_line) {
        out.form = form;
        out.cell_columns = cell_columns;
        out.panels_in_line = in_line;
        out.most = {rows, columns};
        return out;
    };

    Index widest = 0;
    for (Index j = 0; j < columns && columns <= width; ++j)
        widest = std::max<Index>(
            widest, display_width(cell_label(picture.columns, j, most_column_label, options.ascii)));
    // A space after each cell; before its number a shade, where it has no ground of its colour.
    const bool has_shades =
        options.colours == Colours::sixteen || (options.colours == Colours::none && !options.ascii);
    const Index number = number_width;
    for (const Index cell : {std::max(number + 1, widest) + 1, number + 2, number + (has_shades ? 2 : 1)}) {
        const Index in_line = beside(out.label_width + columns * cell + sums);
        if (fits(in_line, titles + ticks + rows)) return take(ScreenLayout::Form::numbers, cell, in_line);
    }
    const Index in_line = beside(out.label_width + 2 * columns + sums);
    if (fits(in_line, titles + ticks + rows)) return take(ScreenLayout::Form::squares, 2, in_line);

    // Dots: as many matrices beside one another as lose the fewest cells.
    out.cell_lines_each = has_halves(options) ? 2 : 1;
    if (panels > 1) out.label_width = 0;
    Index least = std::numeric_limits<Index>::max();
    for (Index n = 1; n <= panels; ++n) {
        const Index panel = (width + screen_panel_gap) / n - screen_panel_gap,
                    room = std::max<Index>(panel - out.label_width - sums, 1),
                    high = ((lines + 1) / rounded_up(panels, n) - 1 - titles - (panels > 1 ? 0 : ticks)) *
                           out.cell_lines_each;
        if (n > 1 && panel < std::max(least_width, out.label_width + sums + 1)) break;
        // Where nothing has room below one another, a few lines a matrix are drawn all the same.
        const PictureSize most{std::max<Index>(high, 4), room};
        const Index lost = rounded_up(rows, most.rows) * rounded_up(columns, most.columns);
        if (lost >= least) continue;
        least = lost;
        out.panels_in_line = n;
        out.most = most;
    }
    return out;
}

}  // namespace attn
