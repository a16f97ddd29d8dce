#include "lib/render/traces/stage_tables.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "lib/option_words.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr int longest_row_label = 16, shortest_row_label = 6, longest_column_label = 12;
constexpr double exponents_below = 1e-3;  ///< unless the digits were asked for

/// The digits, or the mark of a number that they would make 0: only one below 1 in the last digit.
std::string_view marked(double value, std::string_view digits, double small_below) {
    if (!(std::abs(value) < small_below) || value == 0 ||
        digits.find_first_of("123456789") != std::string_view::npos)
        return digits;
    return value < 0 ? small_negative_number : small_number;
}

}  // namespace

std::string TableDigits::text_of(double value) const {
    std::string digits;
    append_fixed(digits, value, precision, exponents);
    return std::string(marked(value, digits, small_below()));
}

double TableDigits::small_below() const { return exponents ? 0 : std::pow(10.0, -precision); }

bool is_small_mark(std::string_view text) { return text.ends_with(small_number); }

TableRow::TableRow(const TableLine& line, const std::vector<Index>& kept, const TableDigits& digits)
    : line_(&line), kept_(&kept), small_below_(digits.small_below()) {
    std::visit([&](const auto& cells) { values_.assign(cells.begin(), cells.end()); }, line.cells);
    append_fixed(text_, values_, digits.precision, digits.exponents, ends_);
    text_.append(readable_behind, ' ');
}

void TableRow::settle(std::size_t k, TableCell& cell) const {
    cell.hidden = values_[k] == 0 && !line_->hidden.empty() && line_->hidden[k] != 0;
    cell.text = marked(values_[k], cell.text, small_below_);
    cell.small = is_small_mark(cell.text);
}

void TableSink::begin(const Plan& plan) {
    plan_ = &plan;
    bytes_.use_threads(plan.threads);
    write_begin(plan);
}

void TableSink::begin_stage(const Plan& plan, const PlannedStage& stage) {
    parts_.clear();
    kept_.clear();
    numbers_.clear();
    largest_ = 0;
    has_small_ = false;
    shape_ = plan.shown_shape(stage);
    const auto axes = axes_of(stage.family);
    cut_by_plan_ = false;
    for (std::size_t k = 0; k < axes.size(); ++k) {
        if (axes[k] != Axis::query) continue;
        shape_[k] += plan.queries_shown.left_out;
        cut_by_plan_ = plan.queries_shown.left_out > 0;
    }
    row_count_ = has_one_row(stage.family) ? 1 : shape_[shape_.size() - 2];
    // No more columns than may fit are kept: the narrowest number is a digit, a point and the decimals.
    const Index fit = options_.width / (options_.precision + gap_ + 1) + 2;
    const Index columns = shape_.back();
    for (Index j = 0; j < columns; ++j)
        if (columns <= fit || j < fit / 2 || j >= columns - fit / 2) kept_.push_back(j);
}

void TableSink::rows(const Rows& rows) {
    if (parts_.empty() || parts_.back().batch != rows.batch || parts_.back().head != rows.head ||
        parts_.back().token != rows.token)
        parts_.push_back({rows.batch, rows.head, rows.token, rows.has_head, false, 0, {}});
    Part& part = parts_.back();
    part.is_cut = row_count_ > table_rows.most && !plan_->rows_of(rows.stage->family).asked;
    if (numbers_.empty())
        for (const Index j : kept_) numbers_.push_back(rows.columns[idx(j)]);
    std::vector<Index> which;
    for (Index i = 0; i < rows.row_count(); ++i) {
        const Index k = part.rows_seen++;
        // Where the plan has cut the rows, only those that are shown arrive.
        if (part.is_cut && !cut_by_plan_ && k >= table_rows.first && k < row_count_ - table_rows.last)
            continue;
        which.push_back(i);
    }
    take(rows, which, part.lines);
}

void TableSink::take(const Rows& rows, const std::vector<Index>& which, std::vector<TableLine>& lines) {
    const std::size_t before = lines.size();
    lines.resize(before + which.size());
    std::vector<double> largest(which.size());
    bytes_.share(static_cast<Index>(which.size()), rows.column_count(), [&](Index first, Index end) {
        for (std::size_t n = idx(first); n < idx(end); ++n) {
            with_row(rows, which[n], [&](auto values) {
                typename decltype(values)::value_type most = 0;
                for (const auto v : values)
                    if (std::isfinite(v)) most = std::max(most, std::abs(v));
                largest[n] = static_cast<double>(most);
            });
            lines[before + n] = line_of(rows, which[n]);
        }
    });
    for (const double v : largest) largest_ = std::max(largest_, v);
}

TableLine TableSink::line_of(const Rows& rows, Index i) const {
    TableLine line;
    line.row = rows.row_begin + i;
    const bool weights = rows.stage->holds_weights();
    if (weights && options_.top) {
        std::vector<std::pair<double, Index>> all;
        for (Index j = 0; j < rows.column_count(); ++j) all.emplace_back(rows.at(i, j), rows.columns[idx(j)]);
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
    with_row(rows, i, [&](auto values) {
        auto& cells = line.cells.emplace<std::vector<typename decltype(values)::value_type>>(kept_.size());
        for (std::size_t k = 0; k < kept_.size(); ++k) cells[k] = values[idx(kept_[k])];
    });
    if (!weights || !rows.hidden) return line;
    line.hidden.resize(kept_.size());
    for (std::size_t k = 0; k < kept_.size(); ++k)
        line.hidden[k] = rows.hidden[i * rows.column_count() + kept_[k]];
    return line;
}

void TableSink::end_stage(const PlannedStage& stage) {
    write_heading(stage, shape_);
    digits_ = {options_.precision,
               has_exponent(largest_, options_.precision) ||
                   (!options_.precision_asked && largest_ > 0 && largest_ < exponents_below)};
    left_out_rows_ = left_out_columns_ = 0;
    for (const Part& part : parts_) {
        write_part(stage, part);
        bytes_.pass();
    }
    if (const auto said_below = notes(stage); !said_below.empty()) write_notes(said_below);
    bytes_.flush();  // the next stage may take its time
}

void TableSink::end(const std::vector<std::string>&) { bytes_.flush(); }

std::vector<std::string> TableSink::notes(const PlannedStage& stage) const {
    std::vector<std::string> out;
    if (has_small_) out.emplace_back(small_number_note());
    const RowKind kind = row_kind(stage.family);
    if (left_out_rows_ > 0)
        out.push_back(
            std::to_string(left_out_rows_) + " of " + std::to_string(row_count_) + " rows left out" +
            (cut_by_plan_ ? ", not computed" : "") +
            (kind == RowKind::whole
                 ? ""
                 : ": " + ((kind == RowKind::queries ? option::rows : option::cols) + " shows them")));
    if (left_out_columns_ > 0)
        out.push_back(std::to_string(left_out_columns_) + " of " + std::to_string(shape_.back()) +
                      " columns left out: " +
                      (has_key_columns(stage.family) ? option::cols + " or " + option::width + " shows them"
                                                     : option::width + " shows more"));
    return out;
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

void TableSink::top_of(const Part& part, StageTable& out) {
    for (const TableLine& line : part.lines) {
        std::vector<std::string>& parts = out.top.emplace_back();
        for (const auto& [weight, column] : line.top) {
            const std::string number = digits_.text_of(weight);
            parts.push_back(label_of(plan_->key_tokens[idx(column)], longest_column_label, options_) + " " +
                            number);
            has_small_ = has_small_ || is_small_mark(number);
        }
    }
}

/// Labels, widths and places of the columns that fit, of those that are kept.
void TableSink::columns_of(const PlannedStage& stage, const Part& part, StageTable& out) {
    std::vector<std::string> labels;
    std::vector<int> widths;
    for (const Index n : numbers_) {
        const std::string* token = plan_->column_token(stage.family, n);
        labels.push_back(token ? label_of(*token, longest_column_label, options_) : std::to_string(n));
        widths.push_back(display_width(labels.back()));
    }
    struct Found {
        std::vector<int> widths;
        std::vector<std::uint8_t> small;
    };
    const Index rows = static_cast<Index>(part.lines.size());
    std::mutex mutex;
    std::vector<std::uint8_t> has_small(kept_.size());
    bytes_.share(rows, static_cast<Index>(kept_.size()), [&](Index first, Index end) {
        Found found{std::vector<int>(kept_.size()), std::vector<std::uint8_t>(kept_.size())};
        for (Index i = first; i < end; ++i) {
            const TableRow row(part.lines[idx(i)], kept_, digits_);
            for (std::size_t k = 0; k < kept_.size(); ++k) {
                const TableCell cell = row.cell(k);
                found.widths[k] = std::max(found.widths[k], cell.width());
                if (cell.small) found.small[k] = 1;
            }
        }
        const std::lock_guard lock(mutex);
        for (std::size_t k = 0; k < kept_.size(); ++k) {
            widths[k] = std::max(widths[k], found.widths[k]);
            has_small[k] |= found.small[k];
        }
    });
    out.places = columns_that_fit(widths, out.label_width);
    for (const std::size_t k : out.places) {
        out.columns.push_back(labels[k]);
        out.widths.push_back(widths[k]);
        has_small_ = has_small_ || has_small[k] != 0;
    }
    const auto left_out = shape_.back() - static_cast<Index>(out.places.size());
    left_out_columns_ = std::max(left_out_columns_, left_out);
    if (left_out > 0) out.column_gap = (out.places.size() + 1) / 2;
}

void TableSink::write_part(const PlannedStage& stage, const Part& part) {
    StageTable out;
    if (plan_->batch > 1 && has_batch(stage.family))
        out.where.push_back("batch " + std::to_string(part.batch));
    if (part.has_head && stage.shape[has_batch(stage.family) ? 1 : 0] > 1)
        out.where.push_back(std::string(name_of(outer_axis(stage.family))) + " " + std::to_string(part.head));
    if (stage.family == StageShape::states)
        out.after = label_of(*plan_->row_token(StageShape::key_dim, part.token), longest_row_label, options_);
    const int longest = std::clamp(options_.width / 4, shortest_row_label, longest_row_label);
    for (const TableLine& line : part.lines) {
        const std::string* token = plan_->row_token(stage.family, line.row);
        out.rows.push_back(token                       ? label_of(*token, longest, options_)
                           : has_one_row(stage.family) ? ""
                                                       : std::to_string(line.row));
        out.label_width = std::max(out.label_width, display_width(out.rows.back()));
    }
    if (part.is_cut) {
        out.row_gap = static_cast<std::size_t>(table_rows.first);
        left_out_rows_ = std::max(left_out_rows_, row_count_ - static_cast<Index>(part.lines.size()));
    }
    if (stage.holds_weights() && options_.top) {
        top_of(part, out);
        return write_table(stage, out);
    }
    columns_of(stage, part, out);
    out.row = [&](std::size_t i) { return TableRow(part.lines[i], kept_, digits_); };
    write_table(stage, out);
}

/// All kept columns, or as many from both ends as fit into the width beside a mark, one at least: the first
/// half rounded up.
std::vector<std::size_t> TableSink::columns_that_fit(const std::vector<int>& widths, int label_width) const {
    int all = label_width;
    for (const int w : widths) all += gap_ + w;
    const bool whole = static_cast<Index>(widths.size()) == shape_.back() && all <= options_.width;
    int used = label_width + gap_ + display_width(gap_mark());
    std::size_t n = 0;
    // From both ends in turn, as they will stand.
    for (; n < widths.size(); ++n) {
        const std::size_t k = n % 2 == 0 ? n / 2 : widths.size() - 1 - n / 2;
        if (!whole && n > 0 && used + gap_ + widths[k] > options_.width) break;
        used += gap_ + widths[k];
    }
    std::vector<std::size_t> places;
    for (std::size_t k = 0; k < widths.size(); ++k)
        if (k < (n + 1) / 2 || k >= widths.size() - n / 2) places.push_back(k);
    return places;
}

}  // namespace attn
