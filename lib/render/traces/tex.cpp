// The trace as a fragment of LaTeX that needs amsmath: a tabular for each head, or with --compact a bmatrix.
#include <algorithm>

#include "lib/render/escape.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/traces/stage_tables.hpp"
#include "lib/render/traces/trace_sinks.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

class LatexSink : public TableSink {
  public:
    LatexSink(Output& output, const RenderOptions& options) : TableSink(output, options, 3) {}

  protected:
    void write_begin(const Plan& plan) override {
        bytes_.text += "% a fragment for \\input; it needs \\usepackage{amsmath}\n";
        for (const std::string& line : plan_text(plan))
            bytes_.text += "\\noindent " + latex_words(line) + "\\par\n";
    }

    void write_heading(const PlannedStage& stage, const Shape& shape) override {
        bytes_.text += "\n\\subsection*{" + latex_words(stage.name) + "}\n\\noindent " +
                       latex_words(std::string(stage.name) + " = " + stage.formula) + " \\quad " +
                       latex_words(named_shape(stage, shape)) + "\\par\n";
    }

    void write_table(const PlannedStage& stage, const StageTable& table) override {
        if (options_.compact) {
            matrix(stage, table);
        } else {
            tabular(table);
        }
    }

    void write_notes(const std::vector<std::string>& notes) override {
        for (const std::string& note : notes) bytes_.text += "\n\\noindent " + latex_words(note) + "\\par\n";
    }

  private:
    static std::string part_of(const StageTable& table) {
        std::string where;
        for (const std::string& part : table.where) where += (where.empty() ? "" : ", ") + part;
        if (table.after)
            where += (where.empty() ? "" : ", ") + std::string("after ") + latex_text(*table.after);
        return where;
    }

    /// A number in mathematics: a minus that is one, 10 to a power, ∞, the mark of a small one.
    static std::string value(const TableCell& c) {
        if (c.hidden) return "\\cdot";
        std::string text(c.text);
        if (const std::size_t mark = text.find('~'); mark != std::string::npos)
            return text.substr(0, mark) + "{\\sim}" + text.substr(mark + 1);
        if (text.ends_with("inf")) return text.starts_with("-") ? "-\\infty" : "\\infty";
        if (text == "nan") return "\\mathrm{NaN}";
        const std::size_t e = text.find('e');
        if (e == std::string::npos) return text;
        return text.substr(0, e) + "\\times 10^{" + std::to_string(std::stoi(text.substr(e + 1))) + "}";
    }

    /// Rows of cells between & and \\, the gaps marked; `labels`: those of columns and rows too.
    template <class Write>
    void body(const StageTable& table, bool labels, Write&& write) {
        const auto line = [&](std::string& text, const std::string& first, const char* between, auto&& cell) {
            bool any = labels;
            if (labels) text += first;
            const auto add = [&](const std::string& s) {
                text.append(any ? " & " : "").append(s);
                any = true;
            };
            for (std::size_t k = 0; k < table.columns.size(); ++k) {
                if (table.column_gap == k) add(between);
                add(cell(k));
            }
            if (table.column_gap == table.columns.size()) add(between);
            text += " \\\\\n";
        };
        if (labels) {
            line(bytes_.text, "", "$\\cdots$", [&](std::size_t k) { return latex_text(table.columns[k]); });
            bytes_.text += "\\hline\n";
        }
        const std::string down = write("\\vdots"), across = write("\\cdots"), both = write("\\ddots");
        bytes_.rows(static_cast<Index>(table.rows.size()), static_cast<Index>(table.columns.size()),
                    [&](std::string& text, Index row) {
                        const auto i = idx(row);
                        if (table.row_gap == i)
                            line(text, down, both.c_str(),
                                 [&](std::size_t) -> const std::string& { return down; });
                        const TableRow cells = table.row(i);
                        line(text, latex_text(table.rows[i]), across.c_str(),
                             [&](std::size_t k) { return write(value(cells.cell(table.places[k]))); });
                    });
    }

    void tabular(const StageTable& table) {
        const std::string where = part_of(table);
        if (!where.empty()) bytes_.text += "\n\\medskip\\noindent " + where + "\\par\n";
        const std::size_t columns = table.columns.size() + (table.column_gap ? 1 : 0);
        bytes_.text += "\n\\smallskip\\noindent\n\\begin{tabular}{l*{" + std::to_string(columns) + "}{r}}\n";
        body(table, true, [](const std::string& s) { return "$" + s + "$"; });
        bytes_.text += "\\end{tabular}\\par\n";
    }

    void matrix(const PlannedStage& stage, const StageTable& table) {
        const std::string where = part_of(table);
        const std::size_t columns = table.columns.size() + (table.column_gap ? 1 : 0);
        // amsmath's own limit is 10 columns.
        bytes_.text += "\\setcounter{MaxMatrixCols}{" + std::to_string(std::max<std::size_t>(columns, 10)) +
                       "}\n\\[\n\\text{" + latex_words(stage.name) + "}" +
                       (where.empty() ? "" : "_{\\text{" + where + "}}") + " =\n\\begin{bmatrix}\n";
        body(table, false, [](const std::string& s) { return s; });
        bytes_.text += "\\end{bmatrix}\n\\]\n";
    }
};

}  // namespace

std::unique_ptr<Sink> make_latex(Output& output, const RenderOptions& options) {
    return std::make_unique<LatexSink>(output, options);
}

}  // namespace attn
