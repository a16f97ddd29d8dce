// An explanation as a page of HTML: steps that fold, formulas in MathML, and boxes that say whether what is
// typed is right.
#include <cmath>

#include "lib/render/escape.hpp"
#include "lib/render/explanations/explain.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/render/pictures/page_frame.hpp"
#include "lib/render/sha256.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using explain::Expr;
using ExprKind = explain::Expr::Kind;

std::string element(std::string_view tag, const std::string& inside) {
    return "<" + std::string(tag) + ">" + inside + "</" + std::string(tag) + ">";
}
std::string math_row(const std::string& inside) { return element("mrow", inside); }
std::string math_operator(std::string_view sign) { return element("mo", std::string(sign)); }
std::string fenced(const std::string& inside) {
    return math_row(math_operator("(") + inside + math_operator(")"));
}

/// How tightly the outermost operation of a written calculation binds.
enum class Tightness { sum, sign, product, power, atom };

struct MathText {
    std::string text;
    Tightness tightness = Tightness::atom;
};

/// -1.2e-05 as mathematics.
MathText number_math(const std::string& text) {
    if (text.find_first_of("0123456789") == std::string::npos) {
        const bool minus = text.starts_with('-');
        const std::string word = minus ? text.substr(1) : text;
        const std::string shown = element("mn", word == "inf" ? "∞" : word);
        return {minus ? math_row(math_operator("-") + shown) : shown,
                minus ? Tightness::sign : Tightness::atom};
    }
    const bool minus = text.starts_with('-');
    const std::string whole = minus ? text.substr(1) : text;
    const std::size_t e = whole.find('e');
    std::string out = element("mn", whole.substr(0, e));
    if (e != std::string::npos)
        out = math_row(out + math_operator("·") +
                       element("msup", element("mn", "10") +
                                           number_math(std::to_string(std::stoi(whole.substr(e + 1)))).text));
    if (minus) return {math_row(math_operator("-") + out), Tightness::sign};
    return {out, e == std::string::npos ? Tightness::atom : Tightness::product};
}

/// Writes calculations as MathML Core.
class MathPen {
  public:
    explicit MathPen(const Notation& notation) : n_(notation) {}

    MathText write(const Expr& e) const {
        switch (e.kind) {
            case ExprKind::number:
                return leaf(e);
            case ExprKind::sum:
                return {terms(e), Tightness::sum};
            case ExprKind::product: {
                std::string out;
                for (std::size_t k = 0; k < e.parts.size(); ++k)
                    out += (k > 0 ? math_operator("·") : "") +
                           bound(e.parts[k], k > 0 ? Tightness::product : Tightness::sign);
                const bool minus = write(e.parts[0]).tightness == Tightness::sign;
                return {math_row(out), minus ? Tightness::sign : Tightness::product};
            }
            case ExprKind::quotient:
                return {
                    element("mfrac", math_row(write(e.parts[0]).text) + math_row(write(e.parts[1]).text))};
            case ExprKind::power:
                return {
                    element("msup", bound(e.parts[0], Tightness::atom) + math_row(write(e.parts[1]).text)),
                    Tightness::power};
            case ExprKind::square:
                return {element("msup", bound(e.parts[0], Tightness::atom) + element("mn", "2")),
                        Tightness::power};
            case ExprKind::exp:
                return {element("msup", element("mi", "e") + math_row(write(e.parts[0]).text)),
                        Tightness::power};
            case ExprKind::root:
                return {element("msqrt", write(e.parts[0]).text)};
            case ExprKind::tanh:
                return called("tanh", e);
            case ExprKind::log:
                return called("ln", e);
            case ExprKind::cos:
                return called("cos", e);
            case ExprKind::sin:
                return called("sin", e);
            case ExprKind::maximum:
                return called("max", e);
        }
        return {};
    }

  private:
    MathText leaf(const Expr& e) const {
        const std::optional<explain::StageId> stage = e.belongs_to();
        const bool blank = stage && n_.is_blank(*stage) && !n_.solution;
        MathText shown = blank ? MathText{"<mtext class=\"blank\">____</mtext>"}
                               : number_math(shown_number(e.value, e.given, e.given && e.place.empty(), n_));
        if (e.more == 0) return shown;
        return {element("munder", math_row(math_operator("…") + shown.text + math_operator("…")) +
                                      element("mtext", std::to_string(e.more) + " more"))};
    }
    std::string terms(const Expr& e) const {
        std::string out;
        for (std::size_t k = 0; k < e.parts.size(); ++k) {
            const Expr& p = e.parts[k];
            if (k > 0 || p.minus) out += math_operator(p.minus ? "-" : "+");
            out += bound(p, k > 0 || p.minus ? Tightness::product : Tightness::sign);
        }
        return math_row(out);
    }
    std::string bound(const Expr& e, Tightness needed) const {
        const MathText w = write(e);
        return w.tightness >= needed ? w.text : fenced(w.text);
    }
    MathText called(const char* name, const Expr& e) const {
        std::string inner;
        for (const Expr& p : e.parts) inner += (inner.empty() ? "" : math_operator(",")) + write(p).text;
        return {math_row(element("mi", name) + fenced(inner))};
    }

    const Notation& n_;
};

/// A number with so many digits, as page/worksheet.js writes what is typed: what is compared.
std::string typed_form(double value, int precision) {
    if (!std::isfinite(value)) return std::isnan(value) ? "NaN" : value > 0 ? "inf" : "-inf";
    std::string text;
    append_fixed(text, value, precision, false);
    const bool nothing = text.find_first_of("123456789") == std::string::npos;
    if (value != 0 && (std::abs(value) >= 1e6 || nothing)) {
        text.clear();
        append_fixed(text, value, precision, true);
        // The exponent without zeros and plus.
        const std::size_t e = text.find('e');
        return text.substr(0, e + 1) + std::to_string(std::stoi(text.substr(e + 1)));
    }
    return nothing && text.starts_with('-') ? text.substr(1) : text;
}

std::string hex_of(const std::string& bytes) {
    constexpr std::string_view figures = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) {
        const auto b = static_cast<unsigned char>(c);
        out += figures[b >> 4U];
        out += figures[b & 15U];
    }
    return out;
}

class HtmlWriter {
  public:
    HtmlWriter(const explain::Explanation& e, const ExplainForm& form)
        : e_(e), form_(form), n_(notation_of(e, form)) {}

    std::string write() {
        std::string title;
        for (const std::string& p : title_parts(e_, form_)) title += (title.empty() ? "" : " · ") + p;
        out_ = "<section class=\"explanation\">\n<h2>" + shown_text(title) + "</h2>\n";
        for (const explain::Step& s : e_.steps) step(s);
        if (e_.unexplained > 0)
            out_ += "<p>and " + std::to_string(e_.unexplained) +
                    " more numbers that are not explained here</p>\n";
        for (const std::string& w : e_.warnings) out_ += "<p class=\"note\">" + shown_text(w) + "</p>\n";
        return std::move(out_) + "</section>\n";
    }

  private:
    static std::string shown_text(const std::string& text) { return xml_text(harmless(text)); }

    void step(const explain::Step& s) {
        out_ += "<details open>\n<summary>" + std::to_string(s.number) + " " +
                shown_text(s.name + " = " + s.formula) + "</summary>\n";
        if (!s.why.empty()) out_ += "<p class=\"why\">" + shown_text(s.why) + "</p>\n";
        // On a narrow screen they are scrolled, by keyboard too.
        out_ +=
            "<div class=\"lines\" role=\"group\" tabindex=\"0\" aria-label=\"" + shown_text(s.name) + "\">\n";
        for (const explain::Line& l : s.lines)
            if (form_.level != explain::Level::brief || l.cell || l.more > 0) line(s, l);
        out_ += "</div>\n";
        if (!s.rest.empty()) out_ += "<p class=\"why\">(" + shown_text(s.rest) + ")</p>\n";
        out_ += "</details>\n";
    }

    void line(const explain::Step& s, const explain::Line& l) {
        if (l.more > 0) {
            out_ += "<div class=\"line\">… " + shown_text(l.label) + "</div>\n";
            return;
        }
        const bool blank = n_.is_blank(s.id());
        const std::string label = l.group.empty() ? l.label : l.group + " " + l.label;
        const bool raised = !l.cell && l.label.starts_with("e^");
        std::string math =
            raised ? element("msup", element("mi", "e") + element("mtext", shown_text(l.label.substr(2))))
                   : element("mtext", shown_text(label));
        math += math_operator("=");
        const MathPen pen(n_);
        if (!l.is_copy() || !l.note.empty())
            for (const Expr& form : shown_forms(l, form_.level))
                if (!form.is_number()) math += pen.write(form).text + math_operator("=");
        out_ += std::string("<div class=\"") + (l.cell ? "line last" : "line") + "\"><math>" + math;
        if (!blank || n_.solution) {
            Expr result = explain::number(l.result);
            result.given = l.is_copy() && l.expression->given;
            const std::string text = pen.write(result).text;
            out_ += (blank ? "<mrow class=\"solution\">" + text + "</mrow>" : text) + "</math>";
        } else {
            out_ += "</math>" + box(label, l);
        }
        std::string note = note_of(l, s.id(), n_, form_.level);
        if (l.is_copy() && !l.expression->place.empty() && !blank) note = "from " + l.expression->place;
        if (!note.empty()) out_ += "<span class=\"note\">" + shown_text(note) + "</span>";
        out_ += "</div>\n";
    }

    /// Nothing of the solution stands in the page but a hash of it, salted with its place.
    std::string box(const std::string& label, const explain::Line& l) const {
        const std::string place = e_.cell ? l.place : std::to_string(e_.row) + " " + l.place;
        constexpr std::size_t kept = 16;
        const std::string hash =
            hex_of(sha256_bytes("attn-calc " + place + " " + typed_form(l.result, n_.precision)))
                .substr(0, kept);
        return " <input type=\"text\" inputmode=\"decimal\" autocomplete=\"off\" size=\"10\" aria-label=\"" +
               shown_text(label) + "\" data-place=\"" + shown_text(place) + "\" data-hash=\"" + hash +
               "\"> <output></output>";
    }

    const explain::Explanation& e_;
    const ExplainForm& form_;
    Notation n_;
    std::string out_;
};

}  // namespace

std::string explained_html(const explain::Explanation& e, const ExplainForm& form) {
    return HtmlWriter(e, form).write();
}

std::string explained_html_head(const ExplainForm& form) {
    return page_head("attn-calc explain", page::style, page::worksheet_script) +
           "<main class=\"worksheet\" data-digits=\"" + std::to_string(form.base.precision) +
           "\">\n<h1>How the numbers come about</h1>\n<p class=\"controls\" hidden><button type=\"button\" "
           "id=\"fold\">fold all "
           "steps</button> <button type=\"button\" id=\"unfold\">unfold all steps</button> <span "
           "id=\"score\" "
           "role=\"status\"></span></p>\n<noscript><p>Without script the steps fold one by one, and boxes "
           "are not "
           "checked.</p></noscript>\n";
}

std::string explained_html_foot() { return "</main>\n" + page_foot(page::worksheet_script); }

}  // namespace attn
