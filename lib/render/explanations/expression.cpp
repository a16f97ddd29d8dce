#include "lib/render/explanations/expression.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "lib/render/escape.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using explain::Expr;
using Kind = Expr::Kind;

constexpr std::size_t longest_constant = 9;

/// How tightly the outermost operation of a written calculation binds.
enum class Binding { sum, product, sign, power, atom };

struct Written {
    std::string text;
    Binding binding = Binding::atom;
};

std::string shortest(double value, DType dtype) {
    std::string out;
    append_shortest(out, value, dtype, NonFinite::bare);
    return out == "-0.0" ? "0" : out;
}

/// Digits after the point, or none where there is an exponent.
std::optional<std::size_t> decimals_of(const std::string& text) {
    if (text.find('e') != std::string::npos) return std::nullopt;
    const std::size_t point = text.find('.');
    return point == std::string::npos ? 0 : text.size() - point - 1;
}

std::string rounded_text(double value, int precision) {
    std::string out;
    append_fixed(out, value, precision, has_exponent(value, precision));
    return out;
}

/// 1.2e-05 as TeX writes it.
Written tex_number(const std::string& text) {
    if (text == "inf") return {"\\infty", Binding::atom};
    if (text == "-inf") return {"-\\infty", Binding::sign};
    if (text == "nan") return {"\\text{nan}", Binding::atom};
    const std::size_t e = text.find('e');
    const Binding sign = text.starts_with('-') ? Binding::sign : Binding::atom;
    if (e == std::string::npos) return {text, sign};
    return {text.substr(0, e) + " \\cdot 10^{" + std::to_string(std::stoi(text.substr(e + 1))) + "}",
            text.starts_with('-') ? Binding::sign : Binding::product};
}

class Pen {
  public:
    explicit Pen(const Notation& n) : n_(n), tex_(n.kind == Notation::Kind::tex) {}

    Written write(const Expr& e) const {
        switch (e.kind) {
            case Kind::number:
                return leaf(e);
            case Kind::sum:
                return {terms(e), Binding::sum};
            case Kind::product: {
                const std::string out = factors(e, Binding::product);
                return {out, out.starts_with('-') ? Binding::sign : Binding::product};
            }
            case Kind::quotient: {
                if (tex_)
                    return {"\\frac{" + write(e.parts[0]).text + "}{" + write(e.parts[1]).text + "}",
                            Binding::atom};
                const std::string out =
                    bound(e.parts[0], Binding::product) + " / " + bound(e.parts[1], Binding::power);
                return {out, out.starts_with('-') ? Binding::sign : Binding::product};
            }
            case Kind::power:
                return {bound(e.parts[0], Binding::atom) + "^" + braced(e.parts[1]), Binding::power};
            case Kind::square:
                return {bound(e.parts[0], Binding::atom) + (tex_ ? "^2" : "²"), Binding::power};
            case Kind::exp:
                return {"e^" + braced(e.parts[0]), Binding::power};
            case Kind::root:
                if (tex_) return {"\\sqrt{" + write(e.parts[0]).text + "}", Binding::atom};
                return {"√" + (write(e.parts[0]).binding == Binding::atom ? write(e.parts[0]).text
                                                                          : braced(e.parts[0])),
                        Binding::power};
            case Kind::tanh:
                return called("tanh", e);
            case Kind::log:
                return called("ln", e);
            case Kind::cos:
                return called("cos", e);
            case Kind::sin:
                return called("sin", e);
            case Kind::maximum:
                return called("max", e);
        }
        return {};
    }

  private:
    Written leaf(const Expr& e) const {
        const std::optional<explain::StageId> stage = e.belongs_to();
        if (n_.places && !e.place.empty() && e.more == 0)
            return {tex_ ? "\\text{" + text_of_mathematics(e.place, false) + "}" : e.place, Binding::atom};
        const bool blank = stage && n_.is_blank(*stage) && !n_.solution;
        const std::string text = blank ? "" : shown_number(e.value, e.given, e.given && e.place.empty(), n_);
        Written out = blank  ? Written{tex_ ? "\\boxed{\\phantom{0.0000}}" : "[______]", Binding::atom}
                      : tex_ ? tex_number(text)
                             : Written{text, text.starts_with('-') ? Binding::sign : Binding::atom};
        if (e.more == 0) return out;
        const std::string count = std::to_string(e.more) + " more " + (e.more == 1 ? "term" : "terms");
        if (tex_) return {"\\underbrace{" + out.text + "}_{\\text{" + count + "}}", Binding::atom};
        return {"… " + count + ": " + out.text + " …", Binding::atom};
    }

    /// The first factor as tightly as `first` says: -0.5×0.3 alone, (-0.5)×0.3 behind a minus.
    std::string factors(const Expr& e, Binding first) const {
        const std::string times = tex_ ? " \\cdot " : n_.places ? std::string(1, breakable) + "× " : "×";
        std::string out = bound(e.parts[0], first);
        for (std::size_t k = 1; k < e.parts.size(); ++k) out += times + bound(e.parts[k], Binding::power);
        return out;
    }

    std::string terms(const Expr& e) const {
        std::string out;
        for (std::size_t k = 0; k < e.parts.size(); ++k) {
            const Expr& p = e.parts[k];
            Written part = write(p);
            if (p.minus && part.binding == Binding::sign && p.kind == Kind::product)
                part.text = factors(p, Binding::power);
            else if (part.binding == Binding::sum || (p.minus && part.binding == Binding::sign))
                part.text = parenthesised(part.text);
            // + -0.5 is - 0.5.
            const bool pulled = k > 0 && !p.minus && part.binding == Binding::sign;
            if (pulled) part.text.erase(0, 1);
            const bool minus = p.minus || pulled;
            if (k == 0) {
                out += (minus ? "-" : "") + part.text;
            } else {
                out += breakable + std::string(minus ? "- " : "+ ") + part.text;
            }
        }
        return out;
    }

    std::string parenthesised(const std::string& text) const {
        return tex_ ? "\\left(" + text + "\\right)" : "(" + text + ")";
    }
    /// Written so that it may stand where `needed` is the weakest binding that reads right.
    std::string bound(const Expr& e, Binding needed) const {
        Written w = write(e);
        const bool fits = w.binding >= needed || (needed == Binding::product && w.binding == Binding::sign);
        return fits && !(needed == Binding::power && w.binding == Binding::sign) ? w.text
                                                                                 : parenthesised(w.text);
    }
    std::string braced(const Expr& e) const {
        return tex_ ? "{" + write(e).text + "}" : "(" + write(e).text + ")";
    }
    Written called(const char* name, const Expr& e) const {
        std::string inner;
        for (const Expr& p : e.parts) inner += (inner.empty() ? "" : ", ") + write(p).text;
        return {(tex_ ? "\\" : "") + std::string(name) + parenthesised(inner), Binding::atom};
    }

    const Notation& n_;
    bool tex_;
};

}  // namespace

bool Notation::is_blank(const explain::StageId& stage) const {
    return std::find(blank.begin(), blank.end(), stage) != blank.end();
}

std::string shown_number(double value, bool given, bool constant, const Notation& n) {
    if (!std::isfinite(value)) return rounded_text(value, n.precision);
    std::string whole = shortest(value, n.dtype);
    if (n.exact || (constant && whole.size() <= longest_constant)) return whole;
    const auto decimals = decimals_of(whole);
    if (given && decimals && *decimals <= static_cast<std::size_t>(n.precision) &&
        std::abs(value) < exponents_from)
        return whole;
    return rounded_text(value, n.precision);
}

std::string shown_expression(const Expr& e, const Notation& notation) { return Pen(notation).write(e).text; }

std::string shown_result(const explain::Line& line, const explain::StageId& stage, const Notation& n) {
    const bool blank = n.is_blank(stage);
    Expr e = explain::number(line.result);
    e.given = line.is_copy() && line.expression->given;
    e.hidden_with = stage;
    std::string text = Pen(n).write(e).text;
    if (!blank || !n.solution) return text;
    return n.kind == Notation::Kind::tex ? "\\boxed{" + text + "}" : "[" + text + "]";
}

std::string other_digits(const Expr& shown, const explain::Line& line, const Notation& n) {
    const auto as_read = [&](const Expr& leaf) {
        const std::string text = shown_number(leaf.value, leaf.given, leaf.given && leaf.place.empty(), n);
        double value = leaf.value;
        std::from_chars(text.data(), text.data() + text.size(), value);
        return value;
    };
    Expr read = shown;
    explain::change_numbers(read, [&](Expr& leaf) { leaf.value = as_read(leaf); });
    const double value = explain::evaluate(read);
    if (!std::isfinite(value) || !std::isfinite(line.result)) return {};
    std::string theirs = rounded_text(value, n.precision);
    if (theirs == rounded_text(line.result, n.precision)) return {};
    // 0.0000 and 1.2e-09 are one number in these digits, as are 0 and -0.
    std::string a, b;
    append_fixed(a, value, n.precision, false);
    append_fixed(b, line.result, n.precision, false);
    if (std::abs(value) < exponents_from && std::abs(line.result) < exponents_from &&
        (a == b || a == "-" + b || b == "-" + a))
        return {};
    return theirs;
}

std::vector<Expr> shown_forms(const explain::Line& line, explain::Level level) {
    std::vector<Expr> forms;
    if (!line.expression) return forms;
    forms.push_back(*line.expression);
    const bool chained = line.chained && line.expression->kind == Kind::sum;
    while (level == explain::Level::full || (chained && forms.size() == 1)) {
        Expr next = explain::reduced(forms.back());
        if (next.is_number()) break;
        forms.push_back(std::move(next));
    }
    return forms;
}

}  // namespace attn
