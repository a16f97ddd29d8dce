#pragma once
#include <string>
#include <string_view>

namespace attn {

/// The parts of the pages, made from the files in page/ by page/embed.cmake.
namespace page {
extern const std::string_view style, markup, script, worksheet_script, comparison_markup, comparison_script;
}  // namespace page

/// JSON that may stand in a script element: nothing in it ends the element or begins another (HTML,
/// "restrictions for contents of script elements").
std::string json_for_html(std::string json);

/// A page up to its body: nothing is loaded, and no script or style acts but these two
/// (Content-Security-Policy). `styles` is written as it is; `title` is escaped.
std::string page_head(std::string_view title, std::string_view styles, std::string_view script);
/// What closes it: the script, last, so that it finds everything.
std::string page_foot(std::string_view script);

}  // namespace attn
