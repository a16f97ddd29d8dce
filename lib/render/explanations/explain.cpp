#include "lib/render/explanations/explain.hpp"

#include "lib/text.hpp"

namespace attn {

Notation notation_of(const explain::Explanation& e, const ExplainForm& form) {
    Notation n;
    n.dtype = e.plan->dtype;
    n.precision = form.base.precision;
    n.blank = form.blank;
    n.solution = form.solution;
    return n;
}

std::vector<std::string> title_parts(const explain::Explanation& e, const ExplainForm& form) {
    const Plan& plan = *e.plan;
    const auto of = [](const char* what, Index k, Index n) {
        if (n == 1) return "the only " + std::string(what);
        return std::string(what) + " " + std::to_string(k) + " of 0 to " + std::to_string(n - 1);
    };
    if (e.cell) {
        const std::vector<explain::Step>& steps = e.steps;
        std::string title = e.cell_place;
        if (!steps.empty())
            for (const explain::Line& line : steps.front().lines)
                if (line.cell == e.cell)
                    title += " = " + shown_result(line, steps.front().id(), notation_of(e, form));
        return {title, "down to the numbers of the document"};
    }
    std::vector<std::string> parts{of("row", e.row, plan.queries)};
    const std::string& token = plan.query_tokens[idx(e.row)];
    if (token != std::to_string(e.row)) parts[0] += ": \"" + visible(token) + "\"";
    if (plan.heads > 1) parts.push_back(of("head", e.head, plan.heads));
    if (plan.batch > 1) parts.push_back(of("batch item", e.batch, plan.batch));
    return parts;
}

std::string note_of(const explain::Line& line, const explain::StageId& stage, const Notation& n,
                    explain::Level level) {
    if (n.is_blank(stage) && !n.solution) return {};  // it would give the answer away
    std::string note = line.note;
    if (!line.expression || line.expression->is_number()) return note;
    bool blank = false;
    explain::each_number(*line.expression, [&](const explain::Expr& leaf) {
        if (n.solution) return;
        const std::optional<explain::StageId> of = leaf.belongs_to();
        if (of && n.is_blank(*of)) blank = true;
    });
    if (blank) return note;
    const std::string digits = other_digits(shown_forms(line, level).back(), line, n);
    if (digits.empty()) return note;
    return note + (note.empty() ? "" : "; ") + "the shown digits give " + digits;
}

ExplanationWriter::ExplanationWriter(Format format, Output& output, const ExplainForm& form)
    : format_(format), output_(output), is_document_(format == Format::tex && form.standalone) {
    if (is_document_)
        output_.write(
            "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{amsmath}\n"
            "\\allowdisplaybreaks\n\\setlength{\\parindent}{0pt}\n\\begin{document}\n");
    if (format == Format::html) output_.write(explained_html_head(form));
}

void ExplanationWriter::write(const explain::Explanation& e, const ExplainForm& form) {
    if (!first_ && format_ != Format::json) output_.write("\n");
    first_ = false;
    switch (format_) {
        case Format::json:
            return output_.write(explained_json(e, form));
        case Format::md:
            return output_.write(explained_md(e, form));
        case Format::tex:
            return output_.write(explained_tex(e, form));
        case Format::html:
            return output_.write(explained_html(e, form));
        default:
            return output_.write(explained_text(e, form));
    }
}

void ExplanationWriter::end() {
    if (is_document_) output_.write("\\end{document}\n");
    if (format_ == Format::html) output_.write(explained_html_foot());
    output_.flush();
}

}  // namespace attn
