// An explanation as Markdown with GitHub's mathematics, and as LaTeX: the same lines of mathematics in both.
#include <algorithm>
#include <map>
#include <tuple>

#include "lib/render/escape.hpp"
#include "lib/render/explanations/explain.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using explain::Line;
using explain::Step;

constexpr std::size_t widest_row = 150;  ///< characters of TeX that make about a line of print

std::string text_in_math(const std::string& text, const ExplainForm& form) {
    return "\\text{" + text_of_mathematics(text, form.base.ascii) + "}";
}

/// Terms of a sum in rows that are not too long.
std::string broken(const std::string& tex) {
    std::string out, row;
    for (std::size_t from = 0; from <= tex.size();) {
        const std::size_t end = std::min(tex.find(breakable, from), tex.size());
        const std::string piece = tex.substr(from, end - from);
        if (!row.empty() && row.size() + piece.size() > widest_row) {
            out += row + " \\\\\n&\\quad ";
            row.clear();
        }
        row += (row.empty() ? "" : " ") + piece;
        from = end + 1;
    }
    return out + row;
}

/// One line as rows of an aligned block: label &= calculation \\ &= result.
std::string rows_of(const Step& step, const Line& line, const explain::Explanation& e,
                    const ExplainForm& form) {
    if (line.more > 0) return "&\\ldots\\ " + text_in_math(line.label, form);
    Notation tex = notation_of(e, form);
    tex.kind = Notation::Kind::tex;
    Notation plain = tex;
    plain.kind = Notation::Kind::text;
    const bool raised = !line.cell && line.label.starts_with("e^");
    std::string out =
        raised ? "e^{" + text_in_math(line.label.substr(2), form) + "}"
               : text_in_math(line.group.empty() ? line.label : line.group + " " + line.label, form);
    std::size_t length = 0;
    const bool taken_over = line.expression && line.expression->is_number();
    for (const explain::Expr& form_of : shown_forms(line, form.level)) {
        if (taken_over) break;
        const std::string shown = shown_expression(form_of, tex);
        if (length + shown.size() > widest_row && length > 0) {
            out += " \\\\\n";
            length = 0;
        }
        out += (length == 0 ? " &= " : " = ") + broken(shown);
        length += shown.size();
    }
    const std::string result = shown_result(line, step.id(), tex);
    if (length + result.size() > widest_row) {
        out += " \\\\\n &= " + result;
    } else {
        out += (length == 0 ? " &= " : " = ") + result;
    }
    const std::string note = note_of(line, step.id(), plain, form.level);
    if (!note.empty()) out += "\\quad " + text_in_math("(" + note + ")", form);
    return out;
}

bool is_shown(const Line& line, const ExplainForm& form) {
    return form.level != explain::Level::brief || line.cell || line.more > 0;
}

std::string block_of(const Step& step, const explain::Explanation& e, const ExplainForm& form) {
    std::string out;
    for (const Line& line : step.lines)
        if (is_shown(line, form)) out += (out.empty() ? "" : " \\\\\n") + rows_of(step, line, e, form);
    return out;
}

/// Text of ours and of the document in Markdown: nothing of it is markup.
std::string md_text(const std::string& text, const ExplainForm& form) {
    return markdown_text(said(harmless(text), form.base));
}

std::string title_of(const explain::Explanation& e, const ExplainForm& form) {
    std::string title;
    for (const std::string& p : title_parts(e, form)) title += (title.empty() ? "" : " · ") + p;
    return title;
}

/// The numbers of the blank stages as tables that can be filled in.
std::string sheet_of(const explain::Explanation& e, const ExplainForm& form) {
    Notation n = notation_of(e, form);
    n.blank.clear();
    std::string out;
    for (const Step& step : e.steps) {
        if (std::find(form.blank.begin(), form.blank.end(), step.id()) == form.blank.end()) continue;
        struct Row {
            std::string label;
            std::map<Index, std::pair<std::string, std::string>> cells;  ///< column: heading, number
        };
        std::map<std::tuple<std::string, Index>, Row> rows;  ///< table, row
        const PlannedStage& stage = explain::planned(*e.plan, step.id());
        for (const Line& line : step.lines) {
            if (!line.cell) continue;
            const explain::Cell& c = *line.cell;
            std::string name = step.name + "[" + (has_batch(stage.family) ? std::to_string(c.batch) : "");
            if (has_heads(stage.family))
                name += (has_batch(stage.family) ? "," : "") + std::to_string(c.head);
            if (stage.family == StageShape::states) name += "," + std::to_string(c.token);
            const std::string* row_token = e.plan->row_token(stage.family, c.row);
            const std::string* column_token = e.plan->column_token(stage.family, c.column);
            const auto label = [&](Index k, const std::string* token) {
                const std::string number = std::to_string(k);
                return number +
                       (token && *token != number ? " " + md_text(clip(visible(*token), 16), form) : "");
            };
            Row& row = rows[{name + "]", c.row}];
            row.label = label(c.row, row_token);
            row.cells[c.column] = {label(c.column, column_token),
                                   form.solution ? shown_result(line, step.id(), n) : ""};
        }
        std::string table;
        for (const auto& [key, row] : rows) {
            if (std::get<0>(key) != table) {
                table = std::get<0>(key);
                std::string rule = "| --- |";
                out += "\n| " + table + " |";
                for (const auto& [column, cell] : row.cells) {
                    out += " " + cell.first + " |";
                    rule += " --- |";
                }
                out += "\n" + rule + "\n";
            }
            out += "| " + row.label + " |";
            for (const auto& [column, cell] : row.cells) out += " " + cell.second + " |";
            out += "\n";
        }
    }
    return out.empty() ? "" : "\n### " + std::string(form.solution ? "Solution" : "To fill in") + "\n" + out;
}

}  // namespace

std::string explained_md(const explain::Explanation& e, const ExplainForm& form) {
    std::string out = "## " + md_text(title_of(e, form), form) + "\n";
    for (const Step& step : e.steps) {
        out += "\n### " + std::to_string(step.number) + ". " + md_text(step.name, form) + "\n\n";
        out += md_text(step.name + " = " + step.formula, form);
        if (!step.why.empty()) out += "  \n" + md_text(step.why, form);
        out += "\n";
        const std::string block = block_of(step, e, form);
        if (!block.empty()) out += "\n```math\n\\begin{aligned}\n" + block + "\n\\end{aligned}\n```\n";
        if (!step.rest.empty()) out += "\n(" + md_text(step.rest, form) + ")\n";
    }
    if (e.unexplained > 0)
        out += "\nand " + std::to_string(e.unexplained) + " more numbers that are not explained here\n";
    return out + sheet_of(e, form);
}

std::string explained_tex(const explain::Explanation& e, const ExplainForm& form) {
    std::string out = "\\section*{" + text_of_mathematics(title_of(e, form), form.base.ascii) + "}\n";
    for (const Step& step : e.steps) {
        out += "\n\\subsection*{" + std::to_string(step.number) + ". " +
               text_of_mathematics(step.name + " = " + step.formula, form.base.ascii) + "}\n";
        if (!step.why.empty()) out += text_of_mathematics(step.why, form.base.ascii) + "\n";
        const std::string block = block_of(step, e, form);
        if (!block.empty()) out += "\\begin{align*}\n" + block + "\n\\end{align*}\n";
        if (!step.rest.empty()) out += text_of_mathematics("(" + step.rest + ")", form.base.ascii) + "\n";
    }
    if (e.unexplained > 0)
        out += "\nand " + std::to_string(e.unexplained) + " more numbers that are not explained here\n";
    return out;
}

}  // namespace attn
