#pragma once
#include <string>
#include <vector>

#include "lib/explain/step.hpp"
#include "lib/render/expression.hpp"
#include "lib/render/render.hpp"

namespace attn {

enum class ExplainFormat { text, json, md, tex };

struct ExplainForm {
    RenderOptions base;
    explain::Level level = explain::Level::normal;
    std::vector<Stage> blank;  ///< stages that are left to be filled in
    bool solution = false;     ///< with the numbers that belong there
    bool standalone = false;   ///< TeX: a whole document
};

/// Writes explanations, one after another.
void write_explanations(ExplainFormat format, const std::vector<explain::Explanation>& all, Output& output,
                        const ExplainForm& form);

// The formats, one file each.
std::string explained_text(const explain::Explanation& e, const ExplainForm& form);
std::string explained_json(const explain::Explanation& e, const ExplainForm& form);
std::string explained_md(const explain::Explanation& e, const ExplainForm& form);
std::string explained_tex(const explain::Explanation& e, const ExplainForm& form);

/// What an explanation is of: `row 1 of 0 to 2: "shiny"`, head, batch item; or one number.
std::vector<std::string> title_parts(const explain::Explanation& e, const ExplainForm& form);
Notation notation_of(const explain::Explanation& e, const ExplainForm& form);
/// The note of a line, and what its shown digits give where that is something else.
std::string note_of(const explain::Line& line, Stage stage, const Notation& notation, explain::Level level);

}  // namespace attn
