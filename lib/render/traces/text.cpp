// The trace for people: a heading and a table for each stage, as wide as the terminal.
#include "lib/text.hpp"

#include <algorithm>
#include <cstring>

#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/render/traces/stage_tables.hpp"
#include "lib/render/traces/trace_sinks.hpp"

namespace attn {
namespace {

constexpr int text_gap = 2, widest_heading = 100;
/// Bytes of the mark of a gap or of a hidden cell, of a colour.
constexpr std::size_t most_of_mark = 8;

class TextSink : public TableSink {
  public:
    TextSink(Output& output, const RenderOptions& options) : TableSink(output, options, text_gap) {}

  protected:
    void write_begin(const Plan& plan) override {
        if (options_.heading && options_.document.value_or(0) > 0) bytes_.text += "\n";
        if (options_.heading) bytes_.text += document_heading(options_) + "\n";
        bytes_.text += plan_lines(plan, options_);
    }

    void write_heading(const PlannedStage& stage, const Shape& shape) override {
        const std::string name = said(std::string(stage.name), options_),
                          formula = said(" = " + stage.formula, options_);
        const std::string line =
            apart(name + formula, named_shape(stage, shape), std::min(options_.width, widest_heading));
        bytes_.text += "\n";
        bytes_.text += options_.colour ? std::string(ansi::bold) + name + std::string(ansi::reset) +
                                             line.substr(name.size())
                                       : line;
        bytes_.text += "\n";
        is_first_ = true;
    }

    void write_table(const PlannedStage&, const StageTable& table) override {
        std::vector<std::string> where = table.where;
        if (table.after) where.push_back("after " + *table.after);
        if (!where.empty())
            bytes_.text += (is_first_ ? "" : "\n") + joined_lines(where, options_.width, 0, options_);
        is_first_ = false;
        if (!table.top.empty()) return top_lines(table);
        const std::size_t colours = options_.colour ? most_of_mark + ansi::reset.size() : 0;
        row_room_ = static_cast<std::size_t>(table.label_width) + 2 * most_of_mark;
        for (std::size_t k = 0; k < table.columns.size(); ++k)
            row_room_ += static_cast<std::size_t>(text_gap + table.widths[k]) + table.columns[k].size() +
                         hidden_mark().size() + colours;
        line(bytes_.text, table, "", [&](char* to, std::size_t k) {
            return copied(pad_left(table.columns[k], text_gap + table.widths[k]), to);
        });
        bytes_.rows(static_cast<Index>(table.rows.size()), static_cast<Index>(table.columns.size()),
                    [&](std::string& text, Index row) {
                        const auto i = idx(row);
                        if (table.row_gap == i) text.append(gap_mark()) += '\n';
                        line(text, table, table.rows[i], [&, cells = table.row(i)](char* to, std::size_t k) {
                            return cell(to, cells.cell(table.places[k]), text_gap + table.widths[k]);
                        });
                    });
    }

    void write_notes(const std::vector<std::string>& notes) override {
        bytes_.text += joined_lines(notes, options_.width, 0, options_);
    }

  private:
    /// Appends a line; write_cell(to, k) writes a cell, the gap before the column first, and returns the end.
    template <class F>
    void line(std::string& text, const StageTable& table, const std::string& row_label,
              F&& write_cell) const {
        const std::string label = pad_right(row_label, table.label_width);
        const std::size_t start = text.size();
        text.resize(start + row_room_ + label.size() + TableRow::readable_behind);
        char* to = copied(label, text.data() + start);
        const auto gap = [&] { to = copied(gap_mark(), std::fill_n(to, text_gap, ' ')); };
        for (std::size_t k = 0; k < table.columns.size(); ++k) {
            if (table.column_gap == k) gap();
            to = write_cell(to, k);
        }
        if (table.column_gap == table.columns.size()) gap();
        text.resize(static_cast<std::size_t>(to - text.data()));
        text.resize(std::max(text.find_last_not_of(' ') + 1, start));
        text += '\n';
    }

    /// A number at the right of `width` characters; pieces of sixteen are copied whole, what is too much of
    /// one is written over by the next.
    char* cell(char* to, const TableCell& cell, int width) const {
        constexpr auto whole = static_cast<int>(TableRow::readable_behind);
        const std::string_view colour = colour_of(cell);
        const int before = width - cell.width();
        if (colour.empty() && !cell.hidden && !cell.small && before <= whole && cell.width() <= whole) {
            std::memset(to, ' ', whole);
            std::memcpy(to + before, cell.text.data(), whole);
            return to + width;
        }
        to = copied(colour, std::fill_n(to, before, ' '));
        to = copied(cell.hidden ? hidden_mark() : cell.text, to);
        return colour.empty() ? to : copied(ansi::reset, to);
    }

    /// Empty: none.
    std::string_view colour_of(const TableCell& cell) const {
        if (!options_.colour) return {};
        if (cell.largest) return ansi::bold;
        return cell.hidden || cell.text == "-inf" ? ansi::dim : std::string_view{};
    }

    void top_lines(const StageTable& table) {
        const int before = table.label_width + text_gap;
        for (std::size_t i = 0; i < table.rows.size(); ++i) {
            if (table.row_gap == i) bytes_.text.append(gap_mark()) += '\n';
            const std::string lines =
                joined_lines(table.top[i], std::max(10, options_.width - before), 0, options_);
            std::string label_text = pad_right(table.rows[i], before);
            for (std::size_t from = 0; from < lines.size();) {
                const std::size_t end = lines.find('\n', from);
                bytes_.text += label_text + lines.substr(from, end - from) + "\n";
                label_text.assign(static_cast<std::size_t>(before), ' ');
                from = end + 1;
            }
        }
    }

    bool is_first_ = true;      ///< table of its stage
    std::size_t row_room_ = 0;  ///< characters that a row of the table may take beside its label
};

}  // namespace

std::unique_ptr<Sink> make_text(Output& output, const RenderOptions& options) {
    return std::make_unique<TextSink>(output, options);
}

}  // namespace attn
