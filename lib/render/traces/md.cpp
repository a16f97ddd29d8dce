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
        const auto line = [&](std::string& text, const std::string& first, std::string_view between,
                              auto&& cell) {
            const auto add = [&](std::string_view s) { text.append(" ").append(s).append(" |"); };
            text += "|";
            add(first);
            for (std::size_t k = 0; k < table.columns.size(); ++k) {
                if (table.column_gap == k) add(between);
                add(cell(k));
            }
            if (table.column_gap == table.columns.size()) add(between);
            text += "\n";
        };
        line(bytes_.text, "", mark, [&](std::size_t k) { return markdown_text(table.columns[k]); });
        line(bytes_.text, "---", "---", [](std::size_t) { return "---:"; });
        bytes_.rows(static_cast<Index>(table.rows.size()), static_cast<Index>(table.columns.size()),
                    [&](std::string& text, Index row) {
                        const auto i = idx(row);
                        if (table.row_gap == i)
                            line(text, mark, mark, [&](std::size_t) { return std::string_view(mark); });
                        const TableRow cells = table.row(i);
                        line(text, markdown_text(table.rows[i]), mark, [&](std::size_t k) {
                            const TableCell c = cells.cell(table.places[k]);
                            return c.hidden ? hidden_mark() : c.text;
                        });
                    });
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
