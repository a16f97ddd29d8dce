// A run as a workbook that calculates: the plan, the document's numbers, a sheet for each stage with its
// formulas and the run's own numbers as their results.
#include "lib/render/sheet/sheet.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "lib/option_words.hpp"
#include "lib/plan/half.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/render/sheet/book.hpp"
#include "lib/render/sheet/workbook.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace sheet {
namespace {

/// Programs need seconds to open as many, and minutes for more.
constexpr Index most_cells = 2'000'000;
/// Limits of the format: ECMA-376, and what programs keep to.
constexpr Index most_lines = 1'048'576, most_columns = 16'384;

constexpr const char* live = "formulas: a changed number changes all that follows";

class SheetSink : public Sink {
  public:
    SheetSink(Output& output, const RenderOptions& options)
        : output_(output), precision_(options.precision), source_(options.source_name) {}

    void begin(const Plan& plan) override {
        plan_ = &plan;
        book_.emplace(plan);
        workbook_.emplace(precision_);
        plan_sheet_ = workbook_->add_sheet("plan", 0);
        std::vector<int> inputs;
        for (const Input& i : book_->inputs())
            inputs.push_back(workbook_->add_sheet(i.grid.sheet, Grid::first_column));
        for (const StageSheet& s : book_->stages()) {
            numbers_[s.stage] = workbook_->add_sheet(s.grid.sheet, Grid::first_column);
            if (s.rule.read) kept_[*s.rule.read];
        }
        write_plan();
        PlanNumbers numbers(plan);
        for (std::size_t k = 0; k < inputs.size(); ++k) write_input(inputs[k], book_->inputs()[k], numbers);
    }

    void begin_stage(const Plan&, const PlannedStage& stage) override {
        for (const StageSheet& s : book_->stages())
            if (s.stage == &stage) now_ = &s;
        now_sheet_ = numbers_.at(&stage);
        const std::string& because = now_->rule.because;
        write_heading(now_sheet_, stage.name, std::string(stage.name) + " = " + stage.formula,
                      because.empty()    ? live
                      : now_->rule.given ? because
                                         : "values, no formulas: " + because,
                      !because.empty() && !now_->rule.given);
        const auto kept = kept_.find(stage.stage);
        now_kept_ = stage.of != StageOf::forward || kept == kept_.end() ? nullptr : &kept->second;
    }

    void rows(const Rows& rows) override {
        const Grid& grid = now_->grid;
        Index state = 0;
        if (grid.states > 1) {
            const auto& tokens = plan_->new_keys_shown.indices;
            state = std::lower_bound(tokens.begin(), tokens.end(), rows.token) - tokens.begin();
        }
        const Index block = grid.block(rows.batch, rows.head, state);
        for (Index i = 0; i < rows.row_count(); ++i) {
            const At at{rows.batch, rows.head, has_one_row(rows.stage->family) ? 0 : rows.row_begin + i, 0};
            const Index place = grid.place_of_row(at.row);
            if (place == 0) write_block_heading(block, rows);
            write_row(rows, i, at, block, place);
        }
    }

    void end(const std::vector<std::string>& warnings) override {
        if (cut_ > 0)
            workbook_->text(
                plan_sheet_, plan_line_++, 0,
                std::to_string(cut_) + " texts are longer than the 32767 characters of a cell, and cut",
                Look::marked);
        for (const std::string& w : warnings)
            text(plan_sheet_, plan_line_++, 0, "warning: " + visible(w), Look::marked);
        workbook_->finish(output_);
    }

  private:
    void text(int sheet, Index line, Index column, const std::string& what, Look look) {
        if (!workbook_->text(sheet, line, column, what, look)) ++cut_;
    }

    void write_heading(int sheet, std::string_view name, const std::string& words, const std::string& note,
                       bool marked) {
        text(sheet, 0, 0, std::string(name), Look::title);
        text(sheet, 1, 0, words, Look::words);
        text(sheet, 2, 0, note, marked ? Look::marked : Look::words);
    }

    void write_plan() {
        const int sheet = plan_sheet_;
        workbook_->set_width(sheet, 0, 0, 26);
        workbook_->set_width(sheet, 1, 1, 34);
        workbook_->set_width(sheet, 2, 2, 90);
        const auto line = [&](const std::string& a, const std::string& b, const std::string& c, Look look) {
            text(sheet, plan_line_, 0, a, look);
            text(sheet, plan_line_, 1, b, look);
            text(sheet, plan_line_++, 2, c, look);
        };
        line(std::string(plan_->variant->title), "", "", Look::title);
        line("attn-calc " ATTN_VERSION, source_.empty() ? "" : visible(source_), "", Look::words);
        ++plan_line_;
        line("variant", std::string(plan_->variant->name), "", Look::label);
        for (const auto& [key, value] : plan_members(*plan_)) {
            const bool quoted = value.size() > 1 && value.front() == '"';
            line(key, visible(quoted ? value.substr(1, value.size() - 2) : value), "", Look::label);
        }
        if (!book_->parameters().empty()) {
            ++plan_line_;
            line("numbers by their names", "", "formulas call them so: change them", Look::heading);
        }
        for (const Parameter& p : book_->parameters()) {
            workbook_->define(p.name, "plan", "$B$" + std::to_string(plan_line_ + 1));
            text(sheet, plan_line_, 0, p.name, Look::label);
            if (p.formula.empty()) {
                workbook_->number(sheet, plan_line_, 1, p.number, Look::input);
            } else {
                workbook_->formula(sheet, plan_line_, 1, p.formula, p.number);
            }
            text(sheet, plan_line_++, 2, p.words, Look::words);
        }
        ++plan_line_;
        line("sheets", "",
             "blue numbers are the document's; yellow ones are values where a formula cannot be",
             Look::heading);
        for (const Input& i : book_->inputs()) {
            line(i.grid.sheet, i.because.empty() ? i.formula ? "formulas" : "numbers" : "values", i.words,
                 Look::label);
        }
        for (const StageSheet& s : book_->stages())
            line(s.grid.sheet,
                 s.rule.because.empty() ? "formulas"
                 : s.rule.given         ? "numbers"
                                        : "values",
                 s.stage->formula + (s.rule.because.empty() ? "" : " (" + s.rule.because + ")"), Look::label);
        ++plan_line_;
    }

    void write_input(int sheet, const Input& input, PlanNumbers& numbers) {
        const Grid& grid = input.grid;
        const bool marked = !input.because.empty();
        write_heading(sheet, grid.sheet, input.words,
                      marked          ? "values, no formulas: " + input.because
                      : input.formula ? live
                                      : "change these numbers",
                      marked);
        for (const Index item : grid.items)
            for (const Index head : grid.heads) {
                const Index block = grid.block(item, head);
                write_block_name(sheet, grid, block, item, head);
                write_column_names(sheet, grid, block, {Grid::first_column}, [&](Index column) {
                    return input.column_tokens ? &(*input.column_tokens)[idx(column)] : nullptr;
                });
                for (const Index row : grid.rows) {
                    const Index line = grid.row_line(block, grid.place_of_row(row));
                    write_row_name(
                        sheet, line, row,
                        input.row_tokens ? &(*input.row_tokens)[idx(row + input.first_row_token)] : nullptr);
                    for (std::size_t j = 0; j < grid.columns.size(); ++j) {
                        const At at{item, head, row, grid.columns[j]};
                        const Index column = Grid::first_column + static_cast<Index>(j);
                        const double number = input.number(numbers, at);
                        const std::string formula = input.formula ? input.formula(at) : "";
                        if (formula.empty()) {
                            workbook_->number(sheet, line, column, number,
                                              marked ? Look::value : Look::input);
                        } else {
                            workbook_->formula(sheet, line, column, formula, number);
                        }
                    }
                }
            }
    }

    void write_block_name(int sheet, const Grid& grid, Index block, Index item, Index head,
                          const PlannedStage* stage = nullptr) {
        std::string name;
        const bool parameter = stage && is_of_parameter(stage->family);
        if (grid.items.size() > 1 || (plan_->batch > 1 && !parameter)) name = "batch " + std::to_string(item);
        if (grid.heads.size() > 1 || plan_->heads > 1)
            name += (name.empty() ? "" : ", ") +
                    std::string(name_of(stage ? outer_axis(stage->family) : Axis::head)) + " " +
                    std::to_string(head);
        if (grid.items.size() * grid.heads.size() > 1)
            text(sheet, grid.block_line(block), 0, name, Look::heading);
    }

    /// Tokens and numbers of all columns, of the numbers and of parts beside them: a line after the other.
    void write_column_names(int sheet, const Grid& grid, Index block, const std::vector<Index>& firsts,
                            const std::function<const std::string*(Index)>& token_of) {
        const Index line = grid.block_line(block);
        for (const Index first : firsts)
            for (std::size_t j = 0; j < grid.columns.size(); ++j)
                if (const std::string* token = token_of(grid.columns[j]))
                    text(sheet, line + 1, first + static_cast<Index>(j), visible(*token), Look::label);
        for (const Index first : firsts)
            for (std::size_t j = 0; j < grid.columns.size(); ++j)
                workbook_->number(sheet, line + 2, first + static_cast<Index>(j),
                                  static_cast<double>(grid.columns[j]), Look::index);
    }

    void write_row_name(int sheet, Index line, Index row, const std::string* token) {
        if (token) text(sheet, line, 0, visible(*token), Look::label);
        workbook_->number(sheet, line, 1, static_cast<double>(row), Look::index);
    }

    const std::string* column_token(Index column) const {
        const StageShape family = now_->stage->family;
        const bool given = family == StageShape::per_query ? plan_->tokens_given : plan_->key_tokens_given;
        return given ? plan_->column_token(family, column) : nullptr;
    }

    void write_block_heading(Index block, const Rows& rows) {
        const Grid& grid = now_->grid;
        const auto columns = static_cast<Index>(grid.columns.size());
        write_block_name(now_sheet_, grid, block, rows.batch, rows.head, now_->stage);
        if (now_->stage->family == StageShape::states)
            text(now_sheet_, grid.block_line(block), 1, "after token " + std::to_string(rows.token),
                 Look::heading);
        std::vector<Index> firsts{Grid::first_column};
        Index right = Grid::first_column + columns;
        for (const Beside& part : now_->rule.beside) {
            ++right;
            text(now_sheet_, grid.block_line(block), right, part.title, Look::heading);
            if (part.each_key) firsts.push_back(right);
            right += part.each_key ? columns : 1;
        }
        write_column_names(now_sheet_, grid, block, firsts,
                           [&](Index column) { return column_token(column); });
    }

    /// The last of the rows that follow one another from `row` on.
    Index end_of_run(Index row) const {
        const std::vector<Index>& all = now_->grid.rows;
        auto k = idx(now_->grid.place_of_row(row));
        while (k + 1 < all.size() && all[k + 1] == all[k] + 1) ++k;
        return all[k];
    }
    bool begins_run(Index place) const {
        const std::vector<Index>& all = now_->grid.rows;
        return place == 0 || all[idx(place)] != all[idx(place) - 1] + 1;
    }

    void write_row(const Rows& rows, Index i, At at, Index block, Index place) {
        const Grid& grid = now_->grid;
        const Rule& rule = now_->rule;
        const Index line = grid.row_line(block, place), columns = rows.column_count();
        const StageShape family = now_->stage->family;
        const bool given =
            row_kind(family) == RowKind::queries ? plan_->tokens_given : plan_->key_tokens_given;
        const std::string* token =
            given && row_kind(family) != RowKind::whole ? plan_->row_token(family, at.row) : nullptr;
        write_row_name(now_sheet_, line, at.row, token);
        for (Index j = 0; j < columns; ++j) {
            const Index column = Grid::first_column + j;
            const double number = as_typed(rows.at(i, j), rows.dtype);
            at.column = grid.columns[idx(j)];
            if (now_kept_) now_kept_->push_back(number);
            if (!rule.because.empty()) {
                workbook_->number(now_sheet_, line, column, number, rule.given ? Look::input : Look::value);
            } else if (rule.block) {
                if (j == 0 && begins_run(place)) {
                    const Index last = end_of_run(at.row);
                    workbook_->array(now_sheet_, line, column, grid.row_line(block, grid.place_of_row(last)),
                                     column + columns - 1, rule.block({at.item, at.head, at.row, last}),
                                     number);
                    continue;
                }
                workbook_->number(now_sheet_, line, column, number, Look::result);
            } else {
                const std::string formula = rule.cell(at);
                if (formula.front() == '{') {
                    workbook_->array(now_sheet_, line, column, line, column, formula, number);
                } else {
                    workbook_->formula(now_sheet_, line, column, formula, number);
                }
            }
        }
        if (!rule.beside.empty()) write_beside(at, block, place);
    }

    /// The parts at the right of a row, with their numbers from the row that is read.
    void write_beside(At at, Index block, Index place) {
        const Grid& grid = now_->grid;
        const Rule& rule = now_->rule;
        const auto columns = static_cast<Index>(grid.columns.size());
        const Index first = (block * static_cast<Index>(grid.rows.size()) + place) * columns;
        const std::vector<double>& read = kept_.at(*rule.read);
        const std::vector<double> numbers =
            rule.numbers_beside(std::span(read).subspan(idx(first), idx(columns)), at.head);
        std::size_t next = 0;
        Index right = Grid::first_column + columns;
        for (const Beside& part : rule.beside) {
            ++right;
            for (Index j = 0; j < (part.each_key ? columns : 1); ++j) {
                at.column = grid.columns[idx(j)];
                workbook_->formula(now_sheet_, grid.row_line(block, place), right++, part.formula(at),
                                   numbers[next++]);
            }
        }
    }

    Output& output_;
    int precision_;
    std::string source_;
    const Plan* plan_ = nullptr;
    std::optional<Book> book_;
    std::optional<Workbook> workbook_;
    std::map<const PlannedStage*, int> numbers_;  ///< of sheets
    std::map<Stage, std::vector<double>> kept_;   ///< stages whose rows others need
    int plan_sheet_ = 0, now_sheet_ = 0;
    Index plan_line_ = 0, cut_ = 0;
    const StageSheet* now_ = nullptr;
    std::vector<double>* now_kept_ = nullptr;
};

std::string what_is_smaller() {
    return option::rows + ", " + option::heads + ", " + option::batch + " and " + option::stages +
           " write less; " + option::output + " FILE.npz and " + option::output + " FILE.csv hold any size";
}

void refuse_grid(const Grid& grid) {
    const bool long_sheet = grid.lines() > most_lines;
    if (!long_sheet && grid.width() <= most_columns) return;
    fail("",
         "is too large for a sheet: " + grid.sheet + " would have " +
             (long_sheet ? std::to_string(grid.lines()) + " rows, of " + std::to_string(most_lines)
                         : std::to_string(grid.width()) + " columns, of " + std::to_string(most_columns)) +
             " at most",
         what_is_smaller());
}

}  // namespace
}  // namespace sheet

std::unique_ptr<Sink> make_sheet(Output& output, const RenderOptions& options) {
    return std::make_unique<sheet::SheetSink>(output, options);
}

void refuse_sheet(const Plan& plan) {
    refuse_half(plan, "a workbook");
    const sheet::Book book(plan);
    for (const sheet::Input& i : book.inputs()) sheet::refuse_grid(i.grid);
    for (const sheet::StageSheet& s : book.stages()) sheet::refuse_grid(s.grid);
    if (const Index cells = book.cells(); cells > sheet::most_cells)
        fail("",
             "is too large for a sheet: " + std::to_string(cells) + " cells with a number or a formula, of " +
                 std::to_string(sheet::most_cells) + " that programs open without a long wait",
             sheet::what_is_smaller());
}

}  // namespace attn
