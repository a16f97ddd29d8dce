// The trace as GitHub Flavored Markdown: a heading for each stage, a table for each head (GFM 0.29,
// section 4.10).
#include "lib/render/escape.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/traces/stage_tables.hpp"
#include "lib/render/traces/trace_sinks.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

class MarkdownSink : public TableSink {
  public:
    MarkdownSink(Output& output, const RenderOptions& options) : TableSink(output, options, 3) {}

  protected:
    void write_begin(const Plan& plan) override {
        if (options_.heading) {
            if (options_.document.value_or(0) > 0) bytes_.text += "\n";
            bytes_.text += "# " + markdown_text(said(visible(options_.source_name), options_)) +
                           (options_.document ? ", document " + std::to_string(*options_.document) : "") +
                           "\n\n";
        }
        for (const std::string& line : plan_text(plan)) bytes_.text += "- " + markdown_text(line) + "\n";
    }

    void write_heading(const PlannedStage& stage, const Shape& shape) override {
        // A code span shows everything as it is; our own formulas hold no backtick.
        bytes_.text += "\n## " + markdown_text(std::string(stage.name)) + "\n\n`" +
                       said(std::string(stage.name) + " = " + stage.formula, options_) + "` `" +
                       named_shape(stage, shape) + "`\n";
    }

    void write_table(const PlannedStage&, const StageTable& table) override {
        std::string where;
        for (const std::string& part : table.where)
            where += (where.empty() ? "" : said(" · ", options_)) + part;
        if (table.after)
            where += (where.empty() ? "" : said(" · ", options_)) + std::string("after ") +
                     markdown_text(*table.after);
        if (!where.empty()) bytes_.text += "\n### " + where + "\n";
        bytes_.text += "\n";
        const std::string mark(gap_mark());
        const auto line = [&](const std::string& first, const std::string& between, auto&& cell) {
            bytes_.text += "| " + first + " |";
            for (std::size_t k = 0; k < table.columns.size(); ++k) {
                if (table.column_gap == k) bytes_.text += " " + between + " |";
                bytes_.text += " " + cell(k) + " |";
            }
            if (table.column_gap == table.columns.size()) bytes_.text += " " + between + " |";
            bytes_.text += "\n";
            bytes_.pass();
        };
        line("", mark, [&](std::size_t k) { return markdown_text(table.columns[k]); });
        line("---", "---", [](std::size_t) { return std::string("---:"); });
        for (std::size_t i = 0; i < table.rows.size(); ++i) {
            if (table.row_gap == i) line(mark, mark, [&](std::size_t) -> const std::string& { return mark; });
            line(markdown_text(table.rows[i]), mark, [&](std::size_t k) {
                const TableCell c = table.cell(i, k);
                return std::string(c.hidden ? hidden_mark() : c.text);
            });
        }
    }

    void write_notes(const std::vector<std::string>& notes) override {
        for (const std::string& note : notes) bytes_.text += "\n" + markdown_text(note) + "\n";
    }
};

}  // namespace

std::unique_ptr<Sink> make_markdown(Output& output, const RenderOptions& options) {
    return std::make_unique<MarkdownSink>(output, options);
}

}  // namespace attn
