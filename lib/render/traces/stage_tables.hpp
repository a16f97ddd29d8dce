#pragma once
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "lib/render/bytes.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// A cell of a table as it is shown, and the columns of characters that it takes.
struct TableCell {
    std::string_view text;  ///< the number
    bool hidden = false;    ///< a weight of 0 because the mask hides the pair: a mark stands there
    bool largest = false;   ///< the largest weight of its row, where that is asked for (colour)
    bool small = false;     ///< not 0, and all its digits would be: a mark stands there

    int width() const { return hidden ? 1 : static_cast<int>(text.size()); }
};

/// A row as far as it may be shown.
struct TableLine {
    Index row = 0;
    std::variant<std::vector<float>, std::vector<double>> cells;  ///< of the kept columns
    std::vector<std::uint8_t> hidden;                             ///< the same, or empty
    Index largest = -1;                         ///< place among the shown columns of the row's largest number
    std::vector<std::pair<double, Index>> top;  ///< in place of cells: the largest weights and their columns
};

/// How the numbers of a table are shown.
struct TableDigits {
    int precision = 0;
    bool exponents = false;

    /// "1.0000", or the mark of a number that is not 0 and would have only zeros.
    std::string text_of(double value) const;
    /// What is smaller may have only zeros; 0: nothing may.
    double small_below() const;
};
bool is_small_mark(std::string_view text);

/// The cells of one line: made anew for each who asks, since all texts of a table take more memory than time.
class TableRow {
  public:
    /// `kept`: places of the line's cells among the shown columns. The line and `kept` outlive the row.
    TableRow(const TableLine& line, const std::vector<Index>& kept, const TableDigits& digits);
    /// Of the kept columns.
    TableCell cell(std::size_t k) const {
        TableCell cell{std::string_view(text_.data() + ends_[k], ends_[k + 1] - ends_[k]), false,
                       (*kept_)[k] == line_->largest};
        if (std::abs(values_[k]) <= small_below_) settle(k, cell);
        return cell;
    }
    /// Characters behind the text of each cell that may be read.
    static constexpr std::size_t readable_behind = 16;

  private:
    /// 0, or nearly: what stands there may be a mark.
    void settle(std::size_t k, TableCell& cell) const;

    const TableLine* line_;
    const std::vector<Index>* kept_;
    double small_below_;
    std::vector<double> values_;
    std::string text_;
    std::vector<std::size_t> ends_{0};  ///< where each number of text_ begins, and the last one ends
};

/// One table of a stage: a matrix of one head of one batch item, rows and columns with their labels. What
/// does not fit is left out of the middle.
struct StageTable {
    std::vector<std::string> where;                  ///< "batch 0", "head 1": where a stage has several
    std::optional<std::string> after;                ///< states: the token after which the state stands
    std::vector<std::string> columns, rows;          ///< labels: tokens, made harmless and cut, or numbers
    std::vector<int> widths;                         ///< of the columns, labels included
    int label_width = 0;                             ///< of the labels of rows
    std::optional<std::size_t> column_gap, row_gap;  ///< columns, rows before those that are left out
    /// In place of columns and cells where the largest weights are asked for: "token weight" of each row.
    std::vector<std::vector<std::string>> top;

    std::vector<std::size_t> places;           ///< of the columns among the kept ones
    std::function<TableRow(std::size_t)> row;  ///< its cells, by several threads at once; none beside `top`
};

/// A sink that holds what is shown of one stage at a time and hands it out as tables of at most options.width
/// columns of characters, with the first and last rows of `table_rows` (all rows that are asked for): text,
/// Markdown and LaTeX.
///
/// All numbers of a stage are written alike: with exponents where the largest finite magnitude in its shown
/// rows (columns that do not fit included) is 1e6 or more, or below 1e-3 (where digits were
/// asked for: below half a unit of the last one). A number that is not 0 and would
/// have only zeros shows as `~0`, and a note says so.
class TableSink : public Sink {
  public:
    /// `gap`: characters between two columns.
    TableSink(Output& output, const RenderOptions& options, int gap)
        : bytes_(output), options_(options), gap_(gap) {}

    void begin(const Plan& plan) override;
    void begin_stage(const Plan& plan, const PlannedStage& stage) override;
    void rows(const Rows& rows) override;
    void end_stage(const PlannedStage& stage) override;
    void end(const std::vector<std::string>& warnings) override;

  protected:
    virtual void write_begin(const Plan& plan) = 0;
    /// Before the tables of a stage; `shape` counts all rows, also those that are left out.
    virtual void write_heading(const PlannedStage& stage, const Shape& shape) = 0;
    virtual void write_table(const PlannedStage& stage, const StageTable& table) = 0;
    /// After the tables of a stage: sentences on what was left out, and on marks.
    virtual void write_notes(const std::vector<std::string>& notes) = 0;

    /// The lines that describe the plan, unbroken.
    std::vector<std::string> plan_text(const Plan& plan) const;
    /// "…": what stands where columns are left out.
    std::string_view gap_mark() const { return options_.ascii ? "..." : "…"; }
    /// "·": what stands in a hidden cell.
    std::string_view hidden_mark() const { return options_.ascii ? "." : "·"; }

    Bytes bytes_;
    RenderOptions options_;

  private:
    struct Part {
        Index batch = 0, head = 0, token = 0;
        bool has_head = true, is_cut = false;
        Index rows_seen = 0;
        std::vector<TableLine> lines;
    };
    TableLine line_of(const Rows& rows, Index i) const;
    /// The rows `which` of `rows`, and the largest finite magnitude among their numbers.
    void take(const Rows& rows, const std::vector<Index>& which, std::vector<TableLine>& lines);
    void top_of(const Part& part, StageTable& out);
    void columns_of(const PlannedStage& stage, const Part& part, StageTable& out);
    void write_part(const PlannedStage& stage, const Part& part);
    std::vector<std::size_t> columns_that_fit(const std::vector<int>& widths, int label_width) const;
    std::vector<std::string> notes(const PlannedStage& stage) const;

    int gap_;
    const Plan* plan_ = nullptr;
    Shape shape_;
    Index row_count_ = 0;         ///< rows of a table, also those that are left out
    bool cut_by_plan_ = false;    ///< those are not even computed
    std::vector<Index> kept_;     ///< places among the shown columns
    std::vector<Index> numbers_;  ///< their original numbers
    std::vector<Part> parts_;
    double largest_ = 0;
    TableDigits digits_;
    bool has_small_ = false;
    Index left_out_rows_ = 0, left_out_columns_ = 0;
};

}  // namespace attn
