#pragma once
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// At most nine significant digits.
std::string short_number(double v);

/// Our own words, in_ascii() where that is asked for.
std::string said(const std::string& text, const RenderOptions& options);

/// A token as a label of at most `most` columns: made harmless, cut, in ASCII where that is asked for.
std::string label_of(const std::string& token, int most, const RenderOptions& options);

/// Parts joined by " · ", broken into lines of at most `width` columns; later lines are indented by `indent`.
std::string joined_lines(const std::vector<std::string>& parts, int width, int indent,
                         const RenderOptions& options);

/// The plan in one or two lines for the top of a text.
std::string plan_lines(const Plan& plan, const RenderOptions& options);

/// "=== x.json, document 1": stands before a document, where there are several.
std::string document_heading(const RenderOptions& options);

/// "[query 6, key 6]": axes of length 1 left out.
std::string named_shape(const PlannedStage& stage, const Shape& shape);

/// Two texts at the left and the right of a line, or on two lines where one is too narrow.
std::string apart(const std::string& left, const std::string& right, int width);

}  // namespace attn
