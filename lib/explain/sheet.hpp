#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lib/explain/expr.hpp"

namespace attn::explain {

/// A number that somebody wrote into a worksheet.
struct SheetCell {
    Cell cell;
    double value = 0;
    int digits = 0;        ///< written after the point; below 0 where an exponent leaves whole tens
    double tolerance = 0;  ///< half a unit of the last written digit
};

/// A worksheet that has been filled in, as far as it has.
struct Sheet {
    std::vector<SheetCell> cells;
    std::size_t left_blank = 0;  ///< boxes without a number
};

/// The text is a worksheet of `explain --blank`: JSON of the schema attn-calc/explain/1, or Markdown with its
/// tables.
bool is_sheet(std::string_view text);

/// Reads a worksheet: JSON with numbers in place of null (or numbers in quotes), or the tables of the
/// Markdown form. `name` is for messages. \throws Error (exit 3) for what is no number, no stage, no
/// worksheet.
Sheet read_sheet(const std::string& name, std::string_view text);

/// A number as people write it, with the digits that it was written with; empty where it is none.
std::optional<SheetCell> written_number(std::string_view text);

}  // namespace attn::explain
