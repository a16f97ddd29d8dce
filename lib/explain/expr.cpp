#include "lib/explain/expr.hpp"

#include <algorithm>
#include <cmath>

namespace attn::explain {

Expr number(double value) {
    Expr e;
    e.value = value;
    return e;
}

Expr constant(double value) {
    Expr e = number(value);
    e.given = true;
    return e;
}

Expr sum(std::vector<Expr> parts) {
    if (parts.size() == 1 && !parts[0].minus) return std::move(parts[0]);
    Expr e;
    e.kind = Expr::Kind::sum;
    e.parts = std::move(parts);
    return e;
}

Expr difference(Expr a, Expr b) {
    b.minus = true;
    return sum({std::move(a), std::move(b)});
}

Expr negative(Expr of) {
    of.minus = true;
    return sum({std::move(of)});
}

Expr product(std::vector<Expr> parts) {
    if (parts.size() == 1) return std::move(parts[0]);
    Expr e;
    e.kind = Expr::Kind::product;
    e.parts = std::move(parts);
    return e;
}

Expr quotient(Expr a, Expr b) {
    Expr e;
    e.kind = Expr::Kind::quotient;
    e.parts = {std::move(a), std::move(b)};
    return e;
}

Expr power(Expr base, Expr exponent) {
    Expr e;
    e.kind = Expr::Kind::power;
    e.parts = {std::move(base), std::move(exponent)};
    return e;
}

Expr function(Expr::Kind kind, Expr of) {
    Expr e;
    e.kind = kind;
    e.parts.push_back(std::move(of));
    return e;
}

double evaluate(const Expr& e) {
    const auto part = [&](std::size_t k) { return evaluate(e.parts[k]); };
    switch (e.kind) {
        case Expr::Kind::number:
            return e.value;
        case Expr::Kind::sum: {
            double total = 0;
            for (const Expr& p : e.parts) total += p.minus ? -evaluate(p) : evaluate(p);
            return total;
        }
        case Expr::Kind::product: {
            double all = 1;
            for (const Expr& p : e.parts) all *= evaluate(p);
            return all;
        }
        case Expr::Kind::quotient:
            return part(0) / part(1);
        case Expr::Kind::power:
            return std::pow(part(0), part(1));
        case Expr::Kind::square:
            return part(0) * part(0);
        case Expr::Kind::exp:
            return std::exp(part(0));
        case Expr::Kind::tanh:
            return std::tanh(part(0));
        case Expr::Kind::root:
            return std::sqrt(part(0));
        case Expr::Kind::log:
            return std::log(part(0));
        case Expr::Kind::cos:
            return std::cos(part(0));
        case Expr::Kind::sin:
            return std::sin(part(0));
        case Expr::Kind::maximum: {
            double largest = part(0);
            for (const Expr& p : e.parts) {
                const double v = evaluate(p);
                if (std::isnan(v)) return v;
                largest = std::max(largest, v);
            }
            return largest;
        }
    }
    return 0;
}

Expr reduced(const Expr& e) {
    if (e.is_number()) return e;
    if (std::all_of(e.parts.begin(), e.parts.end(), [](const Expr& p) { return p.is_number(); })) {
        Expr out = number(evaluate(e));
        out.minus = e.minus;
        // What is made of numbers that are left blank is left blank.
        for (const Expr& p : e.parts) {
            if (p.hidden_with) out.hidden_with = p.hidden_with;
            if (p.cell) out.hidden_with = p.cell->id();
        }
        return out;
    }
    Expr out = e;
    for (Expr& p : out.parts) p = reduced(p);
    return out;
}

}  // namespace attn::explain
