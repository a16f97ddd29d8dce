#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/render/bytes.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// What a table shows of a stage: the layout of text, Markdown and LaTeX alike.
namespace table_limits {
constexpr Index most_rows = 24, first_rows = 8, last_rows = 4;
constexpr int longest_row_label = 16, longest_column_label = 12;
constexpr double exponents_from = 1e6;
}  // namespace table_limits

/// A number of a table, before it is written.
struct TableCell {
    double value = 0;
    bool hidden = false;  ///< a weight of 0 because the mask hides the pair
};

/// One table of a stage: a matrix of one head of one batch item, rows and columns with their labels. What
/// does not fit is left out of the middle.
struct StageTable {
    std::vector<std::string> where;                  ///< "batch 0", "head 1": where a stage has several
    std::optional<std::string> after;                ///< states: the token after which the state stands
    std::vector<std::string> columns, rows;          ///< labels: tokens, made harmless and cut, or numbers
    std::vector<std::vector<TableCell>> cells;       ///< [rows][columns]
    std::optional<std::size_t> column_gap, row_gap;  ///< columns, rows before those that are left out
};

/// A sink that holds one stage at a time and hands it out as tables of at most options.width columns of
/// characters and 24 rows (all rows that are asked for), cut as the text is: Markdown and LaTeX.
class TableSink : public Sink {
  public:
    TableSink(Output& output, const RenderOptions& options) : bytes_(output), options_(options) {}

    void begin(const Plan& plan) override;
    void begin_stage(const Plan& plan, const PlannedStage& stage) override;
    void rows(const Rows& rows) override;
    void end_stage(const PlannedStage& stage) override;
    void end(const std::vector<std::string>& warnings) override;

  protected:
    virtual void write_begin(const Plan& plan) = 0;
    /// Before the tables of a stage; `shape` counts what is shown of it.
    virtual void write_heading(const PlannedStage& stage, const Shape& shape) = 0;
    virtual void write_table(const PlannedStage& stage, const StageTable& table) = 0;
    /// A sentence on what was left out.
    virtual void write_note(const std::string& note) = 0;

    /// `value` with the digits that are asked for; the whole stage with exponents where it has large numbers.
    std::string number(double value) const;
    /// The lines that describe the plan, unbroken.
    std::vector<std::string> plan_text(const Plan& plan) const;

    Bytes bytes_;
    RenderOptions options_;

  private:
    struct Line {
        Index row = 0;
        std::vector<TableCell> cells;  ///< of the kept columns
    };
    struct Part {
        Index batch = 0, head = 0, token = 0;
        bool has_head = true;
        Index rows_seen = 0;
        std::vector<Line> lines;
    };

    std::string label(const std::string& token, int most) const;
    StageTable table_of(const PlannedStage& stage, const Part& part);
    std::vector<std::size_t> columns_that_fit(const StageTable& table) const;

    const Plan* plan_ = nullptr;
    Shape shape_;
    std::vector<Index> kept_;     ///< places among the shown columns
    std::vector<Index> numbers_;  ///< their original numbers
    std::vector<Part> parts_;
    double largest_ = 0;
    Index left_out_rows_ = 0, left_out_columns_ = 0;
};

}  // namespace attn
