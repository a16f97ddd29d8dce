#pragma once
#include <string>
#include <string_view>

namespace attn {

// Text as a format shows it: one place for what acts in a format, and for the marks of our own words and
// formulas (· √ ᵀ ...).

/// Our own words, in ASCII: known marks are spelled, other characters escaped (\u00fc).
std::string in_ascii(std::string_view text);

/// The same JSON in ASCII: \u escapes, two for a character above U+FFFF (RFC 8259 section 7).
std::string json_in_ascii(std::string_view json);

/// Text that Markdown (GitHub's) shows as it is: what could begin markup, a cell, HTML, an entity, a mention,
/// mathematics or an emoji's name is escaped. The text is harmless() already and has no line breaks.
std::string markdown_text(std::string_view text);

/// Text of a file, harmless() already, that LaTeX shows as it is.
std::string latex_text(std::string_view text);
/// Our own words and formulas in LaTeX.
std::string latex_words(std::string_view text);
/// Text, ours or of a file, inside \text{...} in mathematics, for LaTeX, MathJax and KaTeX: what TeX would
/// act on is written as mathematics, since not every renderer knows \_ inside \text; what a bare pdflatex has
/// no letter for (`ascii`: what is not ASCII) is U+....
std::string text_of_mathematics(std::string_view text, bool ascii);

/// Text, harmless() already, as XML and HTML have it, in elements and in attributes: what could begin markup
/// is written as a reference; the two characters that XML has no place for (U+FFFE, U+FFFF) are \u....
std::string xml_text(std::string_view text);
/// The same XML in ASCII: references for what is not ASCII (XML 1.0 section 4.1).
std::string xml_in_ascii(std::string_view xml);

/// A cell of CSV (RFC 4180): harmless(), in quotes where it needs them. A cell that a spreadsheet could take
/// for a formula (it begins with = + - @, a tab or a carriage return, full-width forms and leading spaces
/// included) gets a ' in front. `ascii`: other characters are escaped (\u00fc).
std::string csv_cell(std::string_view utf8, bool ascii = false);

}  // namespace attn
