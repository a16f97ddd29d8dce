#include "lib/render/traces/stage_tables.hpp"

#include <algorithm>
#include <cmath>

#include "lib/render/numbers/number.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using namespace table_limits;

constexpr int table_gap = 3;

}  // namespace

void TableSink::begin(const Plan& plan) {
    plan_ = &plan;
    write_begin(plan);
}

void TableSink::begin_stage(const Plan& plan, const PlannedStage& stage) {
    parts_.clear();
    kept_.clear();
    numbers_.clear();
    largest_ = 0;
    shape_ = plan.shown_shape(stage);
    // No more columns than may fit are kept: the narrowest cell is a digit, a point, the decimals and the
    // table_gap.
    const Index fit = options_.width / (options_.precision + table_gap + 1) + 2;
    const Index columns = shape_.back();
    for (Index j = 0; j < columns; ++j)
        if (columns <= fit || j < fit / 2 || j >= columns - fit / 2) kept_.push_back(j);
}

void TableSink::rows(const Rows& rows) {
    if (parts_.empty() || parts_.back().batch != rows.batch || parts_.back().head != rows.head ||
        parts_.back().token != rows.token)
        parts_.push_back({rows.batch, rows.head, rows.token, rows.has_head, 0, {}});
    Part& part = parts_.back();
    const Index total = shape_[shape_.size() - 2];
    const bool asked_for = plan_->rows_of(rows.stage->family).asked;
    const Stage s = rows.stage->stage;
    const bool weights = s >= Stage::weights && s <= Stage::dropped_weights;
    if (numbers_.empty())
        for (const Index j : kept_) numbers_.push_back(rows.columns[static_cast<std::size_t>(j)]);
    for (Index i = 0; i < rows.row_count(); ++i) {
        const Index k = part.rows_seen++;
        with_row(rows, i, [&](auto values) {
            for (const auto v : values)
                if (std::isfinite(v)) largest_ = std::max(largest_, std::abs(static_cast<double>(v)));
        });
        if (!asked_for && total > most_rows && k >= first_rows && k < total - last_rows) continue;
        Line line{rows.row_begin + i, {}};
        for (const Index j : kept_) {
            const double v = rows.at(i, j);
            const bool hidden = weights && v == 0 && rows.hidden && rows.hidden[i * rows.column_count() + j];
            line.cells.push_back({v, hidden});
        }
        part.lines.push_back(std::move(line));
    }
}

void TableSink::end_stage(const PlannedStage& stage) {
    write_heading(stage, shape_);
    left_out_rows_ = left_out_columns_ = 0;
    for (const Part& part : parts_) {
        write_table(stage, table_of(stage, part));
        bytes_.pass();
    }
    const Index rows = shape_[shape_.size() - 2];
    const RowKind kind = row_kind(stage.family);
    if (left_out_rows_ > 0)
        write_note(std::to_string(left_out_rows_) + " of " + std::to_string(rows) + " rows left out" +
                   (kind == RowKind::whole     ? ""
                    : kind == RowKind::queries ? ": --rows shows them"
                                               : ": --cols shows them"));
    if (left_out_columns_ > 0)
        write_note(std::to_string(left_out_columns_) + " of " + std::to_string(shape_.back()) +
                   " columns left out: --width shows more");
    bytes_.pass();
}

void TableSink::end(const std::vector<std::string>&) { bytes_.flush(); }

std::string TableSink::number(double value) const {
    std::string text;
    append_fixed(text, value, options_.precision, largest_ >= exponents_from);
    return text;
}

std::vector<std::string> TableSink::plan_text(const Plan& plan) const {
    RenderOptions unbroken = options_;
    unbroken.width = 1 << 20;
    unbroken.colour = false;
    const std::string text = plan_lines(plan, unbroken);
    std::vector<std::string> lines;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t end = std::min(text.find('\n', from), text.size());
        lines.push_back(text.substr(from, end - from));
        from = end + 1;
    }
    return lines;
}

std::string TableSink::label(const std::string& token, int most) const {
    // Escapes first, then the cut: an escaped character is six columns or more.
    return said(clip(said(visible(token), options_), options_.ascii ? most - 2 : most), options_);
}

StageTable TableSink::table_of(const PlannedStage& stage, const Part& part) {
    StageTable out;
    if (plan_->batch > 1) out.where.push_back("batch " + std::to_string(part.batch));
    if (part.has_head && stage.shape[1] > 1) out.where.push_back("head " + std::to_string(part.head));
    if (stage.family == StageShape::states)
        out.after = label(*plan_->row_token(StageShape::key_dim, part.token), longest_row_label);
    for (const Index n : numbers_) {
        const std::string* token = plan_->column_token(stage.family, n);
        out.columns.push_back(token ? label(*token, longest_column_label) : std::to_string(n));
    }
    const auto shown = static_cast<Index>(part.lines.size());
    if (shown < part.rows_seen) out.row_gap = static_cast<std::size_t>(first_rows);
    left_out_rows_ = std::max(left_out_rows_, part.rows_seen - shown);
    for (const Line& line : part.lines) {
        const std::string* token = plan_->row_token(stage.family, line.row);
        out.rows.push_back(token                                 ? label(*token, longest_row_label)
                           : stage.family == StageShape::per_key ? ""
                                                                 : std::to_string(line.row));
        out.cells.push_back(line.cells);
    }
    const std::vector<std::size_t> fit = columns_that_fit(out);
    const auto left_out = shape_.back() - static_cast<Index>(fit.size());
    left_out_columns_ = std::max(left_out_columns_, left_out);
    if (left_out == 0) return out;
    out.column_gap = (fit.size() + 1) / 2;
    const auto pick = [&](auto& all) {
        auto some = all;
        some.clear();
        for (const std::size_t k : fit) some.push_back(std::move(all[k]));
        all = std::move(some);
    };
    pick(out.columns);
    for (std::vector<TableCell>& row : out.cells) pick(row);
    return out;
}

/// All kept columns, or as many from both ends as fit into the width beside a mark: the first half rounded
/// up.
std::vector<std::size_t> TableSink::columns_that_fit(const StageTable& table) const {
    int label_width = 0;
    for (const std::string& row : table.rows) label_width = std::max(label_width, display_width(row));
    std::vector<int> widths;
    for (const std::string& column : table.columns) widths.push_back(display_width(column));
    for (const std::vector<TableCell>& row : table.cells)
        for (std::size_t k = 0; k < row.size(); ++k)
            widths[k] = std::max(widths[k], static_cast<int>(number(row[k].value).size()));
    int all = label_width;
    for (const int w : widths) all += table_gap + w;
    const bool whole = static_cast<Index>(widths.size()) == shape_.back() && all <= options_.width;
    int used = label_width + table_gap + (options_.ascii ? 3 : 1);
    std::size_t n = 0;
    for (; n < widths.size(); ++n) {
        const std::size_t k = n % 2 == 0 ? n / 2 : widths.size() - 1 - n / 2;
        if (!whole && n > 0 && used + table_gap + widths[k] > options_.width) break;
        used += table_gap + widths[k];
    }
    std::vector<std::size_t> places;
    for (std::size_t k = 0; k < widths.size(); ++k)
        if (k < (n + 1) / 2 || k >= widths.size() - n / 2) places.push_back(k);
    return places;
}

}  // namespace attn
