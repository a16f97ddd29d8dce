#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "lib/render/render.hpp"

namespace attn::sheet {

/// How a cell looks.
enum class Look {
    title,
    words,   ///< a sentence
    marked,  ///< a sentence that says what is no formula
    heading,
    label,   ///< a token: stays text when it is edited
    index,   ///< the number of a row or column
    input,   ///< a number to be changed
    result,  ///< of a formula
    value    ///< a number where a formula cannot be
};

/// Sheets in the making, through libxlsxwriter, which is loaded here. Cells of a sheet come with rising rows;
/// no sheet is held. Rows and columns count from 0.
class Workbook {
  public:
    /// `precision`: digits after the point that are shown.
    /// \throws Error (exit 4) without the library or a temporary file
    explicit Workbook(int precision);
    ~Workbook();
    Workbook(const Workbook&) = delete;
    Workbook& operator=(const Workbook&) = delete;

    int add_sheet(const std::string& name, Index frozen_columns);
    void set_width(int sheet, Index column, Index last, double characters);
    /// Formulas may call a cell by a name.
    void define(const std::string& name, const std::string& sheet, const std::string& cell);

    /// Text, ours or made visible(); longer than a cell holds it is cut with an ellipsis, and false returned.
    bool text(int sheet, Index row, Index column, std::string_view what, Look look);
    /// A number that is not finite is text: NaN, inf, -inf.
    void number(int sheet, Index row, Index column, double value, Look look);
    /// A formula with the result that programs show which do not calculate.
    void formula(int sheet, Index row, Index column, const std::string& words, double result);
    /// A formula of all cells down to `last_row` and `last_column`; the others follow by number(). A first
    /// result that is not finite stands alone, since the library has no such.
    void array(int sheet, Index row, Index column, Index last_row, Index last_column,
               const std::string& words, double result);

    /// Writes the file's bytes, each part checked: a full disk under temporary files is no success.
    /// \throws Error (exit 4); as output.write() does
    void finish(Output& output);

  private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace attn::sheet
