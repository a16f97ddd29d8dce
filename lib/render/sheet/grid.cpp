#include "lib/render/sheet/grid.hpp"

#include <algorithm>

namespace attn::sheet {

Index Grid::place(const std::vector<Index>& list, Index index) {
    if (list.size() == 1) return 0;
    return std::lower_bound(list.begin(), list.end(), index) - list.begin();
}

Index Grid::block(Index item, Index head, Index state) const {
    return (place(items, item) * size(heads) + place(heads, head)) * states + state;
}

Index Grid::blocks() const { return size(items) * size(heads) * states; }

std::string Grid::here(const At& at) const {
    return reference(line(at), first_column + place(columns, at.column));
}

std::string Grid::range(const RowsAt& rows_at) const {
    return range(rows_at, columns.front(), columns.back());
}

std::string Grid::range(const RowsAt& rows_at, Index column_from, Index column_to) const {
    return cell({rows_at.item, rows_at.head, rows_at.from, column_from}) + ":" +
           here({rows_at.item, rows_at.head, rows_at.to, column_to});
}

std::string Grid::row_number(const At& at) const { return reference(line(at), 1); }

std::string Grid::column_number(const At& at) const {
    return reference(block_line(block(at.item, at.head)) + 2, first_column + place(columns, at.column));
}

std::string Grid::right(const At& at, Index column) const {
    return reference(line(at), first_column + size(columns) + column);
}

std::string Grid::right(const At& at, Index from, Index to) const {
    return right(at, from) + ":" + right(at, to);
}

std::string column_letters(Index column) {
    std::string out;
    for (Index k = column + 1; k > 0; k = (k - 1) / 26)
        out.insert(out.begin(), static_cast<char>('A' + (k - 1) % 26));
    return out;
}

std::string reference(Index line, Index column) { return column_letters(column) + std::to_string(line + 1); }

}  // namespace attn::sheet
