// The trace for people: a heading and a table for each stage, as wide as the terminal.
#include "lib/text.hpp"

#include <algorithm>
#include <cmath>

#include "lib/render/bytes.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/render/traces/stage_tables.hpp"
#include "lib/render/traces/trace_sinks.hpp"

namespace attn {
namespace {

using namespace table_limits;

constexpr int gap = 2;

bool is_weights(Stage s) { return s >= Stage::weights && s <= Stage::dropped_weights; }

/// A row as far as it may be shown: cells at both ends, or its largest ones.
struct Line {
    Index row = 0;
    std::vector<double> cells;         ///< of the kept columns
    std::vector<std::uint8_t> hidden;  ///< the same, or empty
    Index largest = -1;                ///< column (place among the shown) of the row's largest number
    std::vector<std::pair<double, Index>> top;
};

struct Table {
    Index batch = 0, head = 0, token = 0;
    bool has_head = true;
    Index rows_seen = 0;
    std::vector<Line> lines;
    std::size_t gap_after = SIZE_MAX;  ///< lines before the rows that are left out
};

class TextSink : public Sink {
  public:
    TextSink(Output& output, const RenderOptions& options) : bytes_(output), options_(options) {}

    void begin(const Plan& plan) override {
        plan_ = &plan;
        if (options_.heading && options_.document.value_or(0) > 0) bytes_.text += "\n";
        if (options_.heading)
            bytes_.text +=
                said("=== " + visible(options_.source_name) +
                         (options_.document ? ", document " + std::to_string(*options_.document) : ""),
                     options_) +
                "\n";
        bytes_.text += plan_lines(plan, options_);
    }

    void begin_stage(const Plan& plan, const PlannedStage& stage) override {
        tables_.clear();
        shape_ = plan.shown_shape(stage);
        largest_ = 0;
        // No more columns than fit are kept: the narrowest cell is one digit, a point, the decimals and the
        // gap.
        const Index fit = options_.width / (options_.precision + gap + 1) + 2;
        const Index columns = shape_.back();
        kept_.clear();
        numbers_.clear();
        for (Index j = 0; j < columns; ++j)
            if (columns <= fit || j < fit / 2 || j >= columns - fit / 2) kept_.push_back(j);
    }

    void rows(const Rows& rows) override {
        if (tables_.empty() || tables_.back().batch != rows.batch || tables_.back().head != rows.head ||
            tables_.back().token != rows.token)
            tables_.push_back({rows.batch, rows.head, rows.token, rows.has_head, 0, {}, SIZE_MAX});
        Table& table = tables_.back();
        const Index total = shape_[shape_.size() - 2];
        const bool asked_for = plan_->rows_of(rows.stage->family).asked;
        if (numbers_.empty())
            for (const Index j : kept_) numbers_.push_back(rows.columns[static_cast<std::size_t>(j)]);
        for (Index i = 0; i < rows.row_count(); ++i) {
            const Index k = table.rows_seen++;
            with_row(rows, i, [&](auto values) {
                for (const auto v : values)
                    if (std::isfinite(v)) largest_ = std::max(largest_, std::abs(static_cast<double>(v)));
            });
            if (!asked_for && total > most_rows && k >= first_rows && k < total - last_rows) {
                table.gap_after = static_cast<std::size_t>(first_rows);
                continue;
            }
            table.lines.push_back(line_of(rows, i));
        }
    }

    void end_stage(const PlannedStage& stage) override {
        heading(stage);
        exponent_ = largest_ >= exponents_from;
        left_out_rows_ = left_out_columns_ = 0;
        for (const Table& t : tables_) table(stage, t);
        std::vector<std::string> notes;
        const Index rows = shape_[shape_.size() - 2];
        const RowKind kind = row_kind(stage.family);
        if (left_out_rows_ > 0)
            notes.push_back(std::to_string(left_out_rows_) + " of " + std::to_string(rows) +
                            " rows left out" +
                            (kind == RowKind::whole     ? ""
                             : kind == RowKind::queries ? ": --rows shows them"
                                                        : ": --cols shows them"));
        if (left_out_columns_ > 0)
            notes.push_back(
                std::to_string(left_out_columns_) + " of " + std::to_string(shape_.back()) +
                " columns left out: " +
                (has_key_columns(stage.family) ? "--cols or --width shows them" : "--width shows more"));
        if (!notes.empty()) bytes_.text += joined_lines(notes, options_.width, 0, options_);
        bytes_.pass();
    }

    void end(const std::vector<std::string>&) override { bytes_.flush(); }

  private:
    Line line_of(const Rows& rows, Index i) const {
        Line line;
        line.row = rows.row_begin + i;
        const bool weights = is_weights(rows.stage->stage);
        if (weights && options_.top) {
            std::vector<std::pair<double, Index>> all;
            for (Index j = 0; j < rows.column_count(); ++j)
                all.emplace_back(rows.at(i, j), rows.columns[static_cast<std::size_t>(j)]);
            const auto n = std::min<std::size_t>(all.size(), static_cast<std::size_t>(*options_.top));
            // NaN goes last: an order that it is part of has to be one.
            const auto rank = [](double v) { return std::isnan(v) ? -HUGE_VAL : v; };
            std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n), all.end(),
                              [&](const auto& a, const auto& b) {
                                  const double x = rank(a.first), y = rank(b.first);
                                  return x > y || (x == y && a.second < b.second);
                              });
            all.resize(n);
            line.top = std::move(all);
            return line;
        }
        if (weights && options_.colour) {
            for (Index j = 0; j < rows.column_count(); ++j)
                if (rows.at(i, j) > (line.largest < 0 ? 0.0 : rows.at(i, line.largest))) line.largest = j;
        }
        for (const Index j : kept_) {
            line.cells.push_back(rows.at(i, j));
            if (rows.hidden) line.hidden.push_back(rows.hidden[i * rows.column_count() + j]);
        }
        return line;
    }

    void heading(const PlannedStage& stage) {
        bytes_.text += "\n";
        const std::string name = said(std::string(stage.name), options_),
                          formula = said(" = " + stage.formula, options_);
        const std::string line =
            apart(name + formula, named_shape(stage, shape_), std::min(options_.width, 100));
        bytes_.text += options_.colour ? std::string(ansi::bold) + name + std::string(ansi::reset) +
                                             line.substr(name.size())
                                       : line;
        bytes_.text += "\n";
    }

    std::string label(const std::string& name, int most) const {
        // Escapes first, then the cut: an escaped character is six columns or more.
        const std::string token = said(visible(name), options_);
        return said(clip(token, options_.ascii ? most - 2 : most), options_);
    }

    /// A cell as it is shown, and the columns of a terminal that it takes.
    struct Cell {
        std::string_view text;
        int width;
    };

    /// The cells of a table, one text for all of them.
    class Cells {
      public:
        Cells(const TextSink& sink, const PlannedStage& stage, const std::vector<Line>& lines)
            : lines_(lines), dots_(is_weights(stage.stage)), dot_(sink.options_.ascii ? "." : "·") {
            for (const Line& l : lines)
                append_fixed(text_, l.cells, sink.options_.precision, sink.exponent_, ends_);
        }
        Cell at(std::size_t line, std::size_t k) const {
            const Line& l = lines_[line];
            if (dots_ && !l.hidden.empty() && l.hidden[k] && l.cells[k] == 0) return {dot_, 1};
            const std::size_t place = line * l.cells.size() + k, from = place == 0 ? 0 : ends_[place - 1];
            const std::string_view text = std::string_view(text_).substr(from, ends_[place] - from);
            return {text, static_cast<int>(text.size())};
        }

      private:
        const std::vector<Line>& lines_;
        bool dots_;
        std::string_view dot_;
        std::string text_;
        std::vector<std::size_t> ends_;  ///< where each number ends in text_
    };

    /// How many columns fit, of those with these widths: all, or as many from both ends as leave room for a
    /// mark.
    std::size_t columns_that_fit(const std::vector<int>& widths, int label_width, bool all_kept) const {
        int all = label_width;
        for (const int w : widths) all += gap + w;
        if (all_kept && all <= options_.width) return widths.size();
        const int mark = gap + (options_.ascii ? 3 : 1);
        int used = label_width + mark;
        std::size_t n = 0;
        // From both ends in turn, as they will stand.
        for (; n < widths.size(); ++n) {
            const std::size_t k = n % 2 == 0 ? n / 2 : widths.size() - 1 - n / 2;
            if (used + gap + widths[k] > options_.width) break;
            used += gap + widths[k];
        }
        return std::max<std::size_t>(n, 1);
    }

    void table(const PlannedStage& stage, const Table& t) {
        std::vector<std::string> where;
        if (plan_->batch > 1) where.push_back("batch " + std::to_string(t.batch));
        if (t.has_head && stage.shape[1] > 1) where.push_back("head " + std::to_string(t.head));
        if (stage.family == StageShape::states)
            where.push_back("after " +
                            label(*plan_->row_token(StageShape::key_dim, t.token), longest_row_label));
        if (!where.empty())
            bytes_.text +=
                (&t == &tables_.front() ? "" : "\n") + joined_lines(where, options_.width, 0, options_);
        std::vector<std::string> row_labels;
        int label_width = 0;
        for (const Line& l : t.lines) {
            const std::string* token = plan_->row_token(stage.family, l.row);
            row_labels.push_back(token ? label(*token, std::clamp(options_.width / 4, 6, longest_row_label))
                                 : stage.family == StageShape::per_key ? ""
                                                                       : std::to_string(l.row));
            label_width = std::max(label_width, display_width(row_labels.back()));
        }
        left_out_rows_ = std::max(left_out_rows_, t.rows_seen - static_cast<Index>(t.lines.size()));
        if (is_weights(stage.stage) && options_.top) return top_lines(t, row_labels, label_width);

        const Cells cells(*this, stage, t.lines);
        std::vector<std::string> column_labels;
        std::vector<int> widths;
        for (const Index number_of : numbers_) {
            const std::string* token = plan_->column_token(stage.family, number_of);
            column_labels.push_back(token ? label(*token, longest_column_label) : std::to_string(number_of));
            widths.push_back(display_width(column_labels.back()));
        }
        for (std::size_t i = 0; i < t.lines.size(); ++i)
            for (std::size_t k = 0; k < kept_.size(); ++k)
                widths[k] = std::max(widths[k], cells.at(i, k).width);
        const bool all_kept = static_cast<Index>(kept_.size()) == shape_.back();
        const std::size_t fit = columns_that_fit(widths, label_width, all_kept);
        const std::size_t from_left = (fit + 1) / 2, right_begin = kept_.size() - fit / 2;
        const bool cut = fit < kept_.size() || !all_kept;
        left_out_columns_ = std::max(left_out_columns_, shape_.back() - static_cast<Index>(fit));

        const auto line = [&](const std::string& row_label, auto&& append_cell) {
            std::string text = pad_right(row_label, label_width);
            for (std::size_t k = 0; k < kept_.size(); ++k) {
                if (cut && k == from_left) text.append(gap, ' ').append(options_.ascii ? "..." : "…");
                if (k >= from_left && k < right_begin) continue;
                text.append(gap, ' ');
                append_cell(text, k);
            }
            if (cut && from_left == kept_.size()) text.append(gap, ' ').append(options_.ascii ? "..." : "…");
            text.resize(text.find_last_not_of(' ') + 1);
            bytes_.text.append(text) += '\n';
        };
        line("", [&](std::string& text, std::size_t k) { text += pad_left(column_labels[k], widths[k]); });
        for (std::size_t i = 0; i < t.lines.size(); ++i) {
            if (i == t.gap_after) bytes_.text += options_.ascii ? "...\n" : "…\n";
            line(row_labels[i], [&](std::string& text, std::size_t k) {
                const Cell cell = cells.at(i, k);
                const std::string_view colour = colour_of(t.lines[i], k, cell.text);
                text.append(colour).append(static_cast<std::size_t>(widths[k] - cell.width), ' ');
                text.append(cell.text).append(colour.empty() ? "" : ansi::reset);
            });
            bytes_.pass();
        }
    }

    /// Empty: none.
    std::string_view colour_of(const Line& line, std::size_t k, std::string_view cell) const {
        if (!options_.colour) return {};
        if (kept_[k] == line.largest) return ansi::bold;
        return cell == "·" || cell == "." || cell == "-inf" ? ansi::dim : std::string_view{};
    }

    void top_lines(const Table& t, const std::vector<std::string>& row_labels, int label_width) {
        for (std::size_t i = 0; i < t.lines.size(); ++i) {
            if (i == t.gap_after) bytes_.text += options_.ascii ? "...\n" : "…\n";
            std::vector<std::string> parts;
            for (const auto& [weight, column] : t.lines[i].top) {
                std::string text =
                    label(plan_->key_tokens[static_cast<std::size_t>(column)], longest_column_label) + " ";
                append_fixed(text, weight, options_.precision, exponent_);
                parts.push_back(std::move(text));
            }
            const std::string lines =
                joined_lines(parts, std::max(10, options_.width - label_width - gap), 0, options_);
            std::string label_text = pad_right(row_labels[i], label_width + gap);
            for (std::size_t from = 0; from < lines.size();) {
                const std::size_t end = lines.find('\n', from);
                bytes_.text += label_text + lines.substr(from, end - from) + "\n";
                label_text.assign(static_cast<std::size_t>(label_width + gap), ' ');
                from = end + 1;
            }
        }
    }

    Bytes bytes_;
    RenderOptions options_;
    const Plan* plan_ = nullptr;
    Shape shape_;
    std::vector<Index> kept_;     ///< places among the shown columns
    std::vector<Index> numbers_;  ///< their original numbers
    std::vector<Table> tables_;
    double largest_ = 0;
    bool exponent_ = false;
    Index left_out_rows_ = 0, left_out_columns_ = 0;
};

}  // namespace

std::unique_ptr<Sink> make_text(Output& output, const RenderOptions& options) {
    return std::make_unique<TextSink>(output, options);
}

}  // namespace attn
