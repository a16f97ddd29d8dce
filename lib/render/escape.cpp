#include "lib/render/escape.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "lib/text.hpp"

namespace attn {
namespace {

/// A mark of our own words. `ascii` or `mathematics` empty: written as any other character.
struct Mark {
    std::string_view mark, ascii, latex, mathematics;
};
constexpr std::array marks{Mark{"·", ".", "$\\cdot$", "$\\cdot$"},
                           Mark{"√", "sqrt ", "$\\surd$", "$\\surd$"},
                           Mark{"ᵀ", "^T", "$^{\\top}$", "$^{T}$"},
                           Mark{"≤", "<=", "$\\le$", "$\\le$"},
                           Mark{"…", "...", "\\dots{}", "$\\ldots$"},
                           Mark{"Σ", "sum", "$\\Sigma$", "$\\Sigma$"},
                           Mark{"×", "x", "$\\times$", "$\\times$"},
                           Mark{"␣", "_", "\\textvisiblespace{}", "$\\_$"},
                           Mark{"∞", "inf", "$\\infty$", "$\\infty$"},
                           Mark{"²", "^2", "$^{2}$", "$^{2}$"},
                           Mark{"φ", "phi", "$\\varphi$", "$\\varphi$"},
                           Mark{"–", "-", "--", "--"},
                           Mark{"→", "->", "$\\to$", "$\\to$"},
                           Mark{"←", "<-", "$\\leftarrow$", "$\\leftarrow$"},
                           Mark{"■", "#", "$\\blacksquare$", "$\\blacksquare$"},
                           Mark{"é", {}, "\\'e", {}}};

/// Marks that the cutting and the labels of tokens put into text of a file.
constexpr std::array marks_in_tokens{std::string_view("␣"), std::string_view("…")};

/// Characters that act in LaTeX, also as ligatures, or after \\ (which takes [ and * for its own). Those that
/// LaTeX takes from fonts beyond the first ones (\$, \textasciigrave) are written by number or as an accent.
struct Acting {
    std::string_view text, latex, mathematics;  ///< mathematics empty: stays as it is
};
constexpr std::array acting{Acting{"\\", "\\textbackslash{}", "$\\backslash$"},
                            Acting{"{", "\\{", "$\\{$"},
                            Acting{"}", "\\}", "$\\}$"},
                            Acting{"$", "\\symbol{36}", "$\\$$"},
                            Acting{"&", "\\&", "$\\&$"},
                            Acting{"#", "\\#", "$\\#$"},
                            Acting{"%", "\\%", "$\\%$"},
                            Acting{"_", "\\_", "$\\_$"},
                            Acting{"^", "\\textasciicircum{}", "$\\wedge$"},
                            Acting{"~", "\\textasciitilde{}", "$\\sim$"},
                            Acting{"<", "\\textless{}", "$<$"},
                            Acting{">", "\\textgreater{}", "$>$"},
                            Acting{"|", "\\textbar{}", "$|$"},
                            Acting{"\"", "\\symbol{34}", "''"},
                            Acting{"`", "\\`{}", {}},
                            Acting{"--", "-{}-{}", {}},
                            Acting{"[", "{[}", {}},
                            Acting{"]", "{]}", {}},
                            Acting{"*", "{*}", {}}};

const Mark* mark_at(std::string_view text) {
    const auto* found =
        std::find_if(marks.begin(), marks.end(), [&](const Mark& m) { return text.starts_with(m.mark); });
    return found == marks.end() ? nullptr : found;
}

const Acting* acting_at(std::string_view text) {
    const auto* found =
        std::find_if(acting.begin(), acting.end(), [&](const Acting& a) { return text.starts_with(a.text); });
    return found == acting.end() ? nullptr : found;
}

bool is_of_tokens(std::string_view mark) {
    return std::find(marks_in_tokens.begin(), marks_in_tokens.end(), mark) != marks_in_tokens.end();
}

std::string latex(std::string_view text, bool our_own) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const Mark* mark = mark_at(text.substr(at));
        if (mark && (our_own || is_of_tokens(mark->mark))) {
            out += mark->latex;
            at += mark->mark.size();
        } else if (const Acting* a = acting_at(text.substr(at))) {
            out += a->latex;
            at += a->text.size();
        } else {
            out += text[at++];
        }
    }
    return out;
}

/// Letters of Latin-1 that fonts of a bare pdflatex have: no Ð, ð, Þ, þ, and no ÷.
bool has_letter(char32_t c) {
    return c >= 0xC0 && c <= 0xFF && c != 0xD0 && c != 0xF0 && c != 0xDE && c != 0xFE && c != 0xF7;
}

std::string code_of(const char* format, char32_t value) {
    std::array<char, 16> escape{};
    std::snprintf(escape.data(), escape.size(), format, static_cast<unsigned>(value));
    return escape.data();
}

/// A character that is not ASCII: \u00fc, \U0001f600.
std::string escape_of(char32_t c) { return code_of(c < 0x10000 ? "\\u%04x" : "\\U%08x", c); }

std::string escaped(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint c = decode_utf8(text, at);
        out += c.value < 0x80 ? std::string(1, static_cast<char>(c.value)) : escape_of(c.value);
        at += c.size;
    }
    return out;
}

bool begins_formula(std::string_view utf8) {
    for (std::size_t at = 0; at < utf8.size();) {
        const CodePoint point = decode_utf8(utf8, at);
        if (std::u32string_view(U"=+-@\t\r＝＋－＠").find(point.value) != std::u32string_view::npos)
            return true;
        if (std::u32string_view(U" \n\u00A0\u3000").find(point.value) == std::u32string_view::npos)
            return false;
        at += point.size;
    }
    return false;
}

}  // namespace

std::string in_ascii(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        if (const Mark* mark = mark_at(text.substr(at)); mark && !mark->ascii.empty()) {
            out += mark->ascii;
            at += mark->mark.size();
            continue;
        }
        const CodePoint c = decode_utf8(text, at);
        out += c.value < 0x80 ? std::string(1, static_cast<char>(c.value)) : escape_of(c.value);
        at += c.size;
    }
    return out;
}

std::string json_in_ascii(std::string_view json) {
    std::string out;
    for (std::size_t at = 0; at < json.size();) {
        const CodePoint c = decode_utf8(json, at);
        at += c.size;
        if (c.value < 0x80) {
            out += static_cast<char>(c.value);
        } else if (c.value < 0x10000) {
            out += code_of("\\u%04x", c.value);
        } else {
            out += code_of("\\u%04x", 0xD800 + ((c.value - 0x10000) >> 10U));
            out += code_of("\\u%04x", 0xDC00 + ((c.value - 0x10000) & 0x3FFU));
        }
    }
    return out;
}

std::string markdown_text(std::string_view text) {
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

std::string latex_text(std::string_view text) { return latex(text, false); }
std::string latex_words(std::string_view text) { return latex(text, true); }

std::string text_of_mathematics(std::string_view text, bool ascii) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint c = decode_utf8(text, at);
        if (const Mark* mark = mark_at(text.substr(at)); mark && !mark->mathematics.empty()) {
            out += mark->mathematics;
        } else if (const Acting* a = acting_at(text.substr(at)); a && !a->mathematics.empty()) {
            out += a->mathematics;
        } else if ((c.value >= ' ' && c.value < 0x7F) || (!ascii && c.valid && has_letter(c.value))) {
            out += text.substr(at, c.size);
        } else {
            out += code_of("U+%04X", c.value);
        }
        at += c.size;
    }
    return out;
}

std::string xml_text(std::string_view text) {
    constexpr std::string_view acting_in_xml = "&<>\"'";
    constexpr std::array<std::string_view, 5> references{"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint c = decode_utf8(text, at);
        const std::size_t found =
            c.value < 0x80 ? acting_in_xml.find(static_cast<char>(c.value)) : std::string_view::npos;
        if (found != std::string_view::npos)
            out += references[found];
        else if (c.value == 0xFFFE || c.value == 0xFFFF)
            out += escape_of(c.value);
        else
            out += text.substr(at, c.size);
        at += c.size;
    }
    return out;
}

std::string xml_in_ascii(std::string_view xml) {
    std::string out;
    for (std::size_t at = 0; at < xml.size();) {
        const CodePoint c = decode_utf8(xml, at);
        out += c.value < 0x80 ? std::string(1, static_cast<char>(c.value)) : code_of("&#x%X;", c.value);
        at += c.size;
    }
    return out;
}

std::string csv_cell(std::string_view utf8, bool ascii) {
    std::string cell = ascii ? escaped(harmless(utf8)) : harmless(utf8);
    if (begins_formula(utf8)) cell.insert(cell.begin(), '\'');
    const bool spaced = !cell.empty() && (cell.front() == ' ' || cell.back() == ' ');
    if (!spaced && cell.find_first_of(",;\"") == std::string::npos) return cell;
    std::string quoted = "\"";
    for (const char c : cell) quoted.append(c == '"' ? 2 : 1, c);
    return quoted += '"';
}

}  // namespace attn
