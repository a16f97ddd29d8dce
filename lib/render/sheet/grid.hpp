#pragma once
#include <string>
#include <vector>

#include "lib/shape.hpp"

namespace attn::sheet {

/// A number's place in a stage or an input, counted along its axes before any selection.
struct At {
    Index item = 0, head = 0, row = 0, column = 0;
};

/// Some consecutive rows of one batch item and head.
struct RowsAt {
    Index item = 0, head = 0, from = 0, to = 0;  ///< rows from ... to
};

/// Where the numbers of a stage or an input stand on their sheet, and how formulas refer to them. Below four
/// lines of heading there is a block for each batch item and head: a line that names it, one of tokens, one
/// of column numbers, its rows, an empty line. Column A has the tokens of rows, column B their numbers.
/// An axis with one entry serves every index: what has no heads, or is broadcast, is referred to alike.
class Grid {
  public:
    static constexpr Index heading_rows = 4, first_column = 2;

    std::string sheet;                                           ///< its name: letters, digits, _
    std::vector<Index> items{0}, heads{0}, rows{0}, columns{0};  ///< the indices that are there
    Index states = 1;                                            ///< blocks of one head: tokens of `states`
    Index beside = 0;  ///< columns at the right of the numbers, a blank one before each part

    /// Which block, from 0.
    Index block(Index item, Index head, Index state = 0) const;
    Index blocks() const;
    /// Lines of the sheet from 0: a block's first, one of its rows (by its place among `rows`), the end.
    Index block_line(Index number) const { return heading_rows + number * block_lines(); }
    Index row_line(Index number, Index place) const { return block_line(number) + 3 + place; }
    Index lines() const { return block_line(blocks()); }
    Index width() const { return first_column + size(columns) + beside; }
    Index cells() const { return blocks() * size(rows) * (size(columns) + beside); }
    Index place_of_row(Index row) const { return place(rows, row); }
    Index place_of_column(Index column) const { return place(columns, column); }

    /// "scores!C8"; `here`: "C8", for formulas on the same sheet.
    std::string cell(const At& at) const { return sheet + "!" + here(at); }
    std::string here(const At& at) const;
    /// "scores!C8:F9": rows, with all columns or some.
    std::string range(const RowsAt& rows_at) const;
    std::string range(const RowsAt& rows_at, Index column_from, Index column_to) const;
    /// All rows of a block.
    RowsAt all_rows(Index item, Index head) const { return {item, head, rows.front(), rows.back()}; }
    std::string row(const At& at) const { return range({at.item, at.head, at.row, at.row}); }
    /// Of the same sheet: the number that stands before a row, that above a column, a cell at the right of
    /// the numbers, some of them.
    std::string row_number(const At& at) const;
    std::string column_number(const At& at) const;
    std::string right(const At& at, Index column) const;
    std::string right(const At& at, Index from, Index to) const;

  private:
    static Index size(const std::vector<Index>& list) { return static_cast<Index>(list.size()); }
    static Index place(const std::vector<Index>& list, Index index);
    Index block_lines() const { return size(rows) + 4; }
    Index line(const At& at) const { return row_line(block(at.item, at.head), place(rows, at.row)); }
};

/// "A", ..., "Z", "AA", ...: a column from 0.
std::string column_letters(Index column);
/// "C8"
std::string reference(Index line, Index column);

}  // namespace attn::sheet
