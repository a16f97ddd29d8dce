#pragma once
#include <string>
#include <vector>

#include "lib/explain/step.hpp"
#include "lib/render/explanations/expression.hpp"
#include "lib/render/render.hpp"

namespace attn {

struct ExplainForm {
    RenderOptions base;
    explain::Level level = explain::Level::normal;
    std::vector<explain::StageId> blank;  ///< stages that are left to be filled in
    bool solution = false;                ///< with the numbers that belong there
    bool standalone = false;              ///< TeX: a whole document
};

/// Writes explanations, one after another: what has been written is not kept.
class ExplanationWriter {
  public:
    ExplanationWriter(Format format, Output& output, const ExplainForm& form);
    void write(const explain::Explanation& e, const ExplainForm& form);
    /// After the last one.
    void end();

  private:
    Format format_;
    Output& output_;
    bool is_document_;
    bool first_ = true;
};

// The formats, one file each.
std::string explained_text(const explain::Explanation& e, const ExplainForm& form);
std::string explained_json(const explain::Explanation& e, const ExplainForm& form);
std::string explained_md(const explain::Explanation& e, const ExplainForm& form);
std::string explained_tex(const explain::Explanation& e, const ExplainForm& form);
/// One of several between its head and its foot: steps that fold, MathML, and boxes where stages are blank,
/// which say whether what is typed rounds to the right number (page/worksheet.js).
std::string explained_html(const explain::Explanation& e, const ExplainForm& form);
std::string explained_html_head(const ExplainForm& form);
std::string explained_html_foot();

/// What an explanation is of: `row 1 of 0 to 2: "shiny"`, head, batch item; or one number.
std::vector<std::string> title_parts(const explain::Explanation& e, const ExplainForm& form);
Notation notation_of(const explain::Explanation& e, const ExplainForm& form);
/// The note of a line, and what its shown digits give where that is something else.
std::string note_of(const explain::Line& line, const explain::StageId& stage, const Notation& notation,
                    explain::Level level);

}  // namespace attn
