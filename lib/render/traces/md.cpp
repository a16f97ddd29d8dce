// The trace as GitHub Flavored Markdown: a heading for each stage, a table for each head (GFM 0.29,
// section 4.10).
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/traces/stage_tables.hpp"
#include "lib/render/traces/trace_sinks.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Text that Markdown shows as it is: what could begin markup, a cell, HTML, an entity, a mention,
/// mathematics or an emoji's name is escaped. The text is harmless() already and has no line breaks.
std::string markdown(std::string_view text) {
    std::string out;
    for (std::size_t k = 0; k < text.size(); ++k) {
        const char c = text[k], next = k + 1 < text.size() ? text[k + 1] : ' ';
        if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else if (c == '>') {
            out += "&gt;";
        } else {
            const bool acts = std::string_view("\\`*_[]{}|~$#@!").find(c) != std::string_view::npos;
            if (acts || (c == ':' && next != ' ')) out += '\\';
            out += c;
        }
    }
    return out;
}

class MarkdownSink : public TableSink {
  public:
    using TableSink::TableSink;

  protected:
    void write_begin(const Plan& plan) override {
        if (options_.heading) {
            if (options_.document.value_or(0) > 0) bytes_.text += "\n";
            bytes_.text += "# " + markdown(said(visible(options_.source_name), options_)) +
                           (options_.document ? ", document " + std::to_string(*options_.document) : "") +
                           "\n\n";
        }
        for (const std::string& line : plan_text(plan)) bytes_.text += "- " + markdown(line) + "\n";
    }

    void write_heading(const PlannedStage& stage, const Shape& shape) override {
        // A code span shows everything as it is; our own formulas hold no backtick.
        bytes_.text += "\n## " + markdown(std::string(stage.name)) + "\n\n`" +
                       said(std::string(stage.name) + " = " + stage.formula, options_) + "` `" +
                       named_shape(stage, shape) + "`\n";
    }

    void write_table(const PlannedStage&, const StageTable& table) override {
        std::string where;
        for (const std::string& part : table.where)
            where += (where.empty() ? "" : said(" · ", options_)) + part;
        if (table.after)
            where +=
                (where.empty() ? "" : said(" · ", options_)) + std::string("after ") + markdown(*table.after);
        if (!where.empty()) bytes_.text += "\n### " + where + "\n";
        bytes_.text += "\n";
        const std::string mark = options_.ascii ? "..." : "…";
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
        line("", mark, [&](std::size_t k) { return markdown(table.columns[k]); });
        line("---", "---", [](std::size_t) { return std::string("---:"); });
        for (std::size_t i = 0; i < table.rows.size(); ++i) {
            if (table.row_gap == i) line(mark, mark, [&](std::size_t) -> const std::string& { return mark; });
            line(markdown(table.rows[i]), mark, [&](std::size_t k) {
                const TableCell& c = table.cells[i][k];
                return c.hidden ? std::string(options_.ascii ? "." : "·") : number(c.value);
            });
        }
    }

    void write_note(const std::string& note) override { bytes_.text += "\n" + markdown(note) + "\n"; }
};

}  // namespace

std::unique_ptr<Sink> make_markdown(Output& output, const RenderOptions& options) {
    return std::make_unique<MarkdownSink>(output, options);
}

}  // namespace attn
