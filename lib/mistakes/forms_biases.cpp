// What is added to the scores: ALiBi, position biases, additive masks.
#include <algorithm>
#include <cmath>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/measures.hpp"
#include "lib/run/mask.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr Stage biases_begin = Stage::biased_scores;

struct Slopes {
    std::vector<double> numbers;
    std::string origin;
};

/// Slopes that are made by another rule than Press et al. 2022 have it; none of ours.
std::vector<Slopes> other_slopes(const Plan& p) {
    const auto heads = static_cast<double>(p.heads);
    std::vector<Slopes> out;
    const auto add = [&](std::vector<double> slopes, std::string words) {
        const auto same = [&](const std::vector<double>& other) {
            return std::equal(slopes.begin(), slopes.end(), other.begin(), measured_same);
        };
        if (same(p.alibi) ||
            std::any_of(out.begin(), out.end(), [&](const Slopes& s) { return same(s.numbers); }))
            return;
        out.push_back({std::move(slopes), std::move(words)});
    };
    const auto each = [&](const std::string& words, const auto& of) {
        std::vector<double> slopes;
        for (Index h = 0; h < p.heads; ++h) slopes.push_back(of(static_cast<double>(h)));
        add(std::move(slopes), words);
    };
    each("2^(-8h/heads), h from 0", [&](double h) { return std::exp2(-8 * h / heads); });
    each("2^(-8h/heads), h from 1", [&](double h) { return std::exp2(-8 * (h + 1) / heads); });
    each("2^(-8h/heads), h from 2", [&](double h) { return std::exp2(-8 * (h + 2) / heads); });
    add({p.alibi.rbegin(), p.alibi.rend()}, "those of the heads from the last to the first");
    each("2^-h, h from 1", [](double h) { return std::exp2(-(h + 1)); });
    each("2^(-4h/heads), h from 1", [&](double h) { return std::exp2(-4 * (h + 1) / heads); });
    return out;
}

Form with_slopes(const Plan& p, std::vector<double> slopes, std::string origin) {
    Form out{{}, biases_begin, false, [slopes](Deviation& d) { d.plan.alibi = slopes; }};
    out.measured = Measurement{"slopes", std::move(slopes), p.alibi, std::move(origin)};
    return out;
}

std::vector<double> times(const std::vector<double>& numbers, double by) {
    std::vector<double> out = numbers;
    for (double& x : out) x *= by;
    return out;
}

std::string factor_words(const Plan& p, double factor) {
    if (measured_same(factor, p.factor())) return "the scale";
    return measured_same(factor, 1 / p.factor()) ? "one over the scale" : "";
}

/// What is added, by kind.
enum class Added { alibi, bias, mask };
Form with_factor(const Plan& p, Added kind, double factor) {
    Form out;
    out.first = kind == Added::mask ? Stage::masked_scores : biases_begin;
    const char* what = kind == Added::alibi  ? "ALiBi"
                       : kind == Added::bias ? "the position bias"
                                             : "the mask";
    out.detail = what;
    out.make = [kind, factor](Deviation& d) {
        if (kind == Added::bias) d.quirks.bias_times *= factor;
        if (kind == Added::mask) d.quirks.added_times *= factor;
        if (kind == Added::alibi) d.plan.alibi = times(d.plan.alibi, factor);
    };
    out.measured = Measurement{"factor of " + std::string(what), {factor}, {1}, factor_words(p, factor)};
    return out;
}

bool adds(const Replay& r) {
    const Plan& p = r.plan();
    return p.mask_at == MaskAt::scaled_scores && Mask<double>(p, r.tensors()).adds();
}

/// Slopes over ours, where that is one number.
std::optional<double> slope_ratio(const Plan& p, const ScoreTerms& terms) {
    double product = 0, squares = 0;
    for (Index h = 0; h < p.heads; ++h) {
        product += terms.slopes[idx(h)] * p.alibi[idx(h)];
        squares += p.alibi[idx(h)] * p.alibi[idx(h)];
    }
    const double ratio = product / squares;
    if (!std::isfinite(ratio)) return std::nullopt;
    for (Index h = 0; h < p.heads; ++h) {
        const double wanted = ratio * p.alibi[idx(h)];
        if (!(std::abs(terms.slopes[idx(h)] - wanted) <= 1e-3 * std::abs(wanted) + 1e-5)) return std::nullopt;
    }
    return ratio;
}

/// A factor that has a row of its own, or is none.
bool is_named(double factor) {
    return std::abs(factor) < 1e-4 || measured_same(factor, 1) || measured_same(factor, -1);
}

}  // namespace

namespace applies {

std::string alibi(const Replay& r) { return r.plan().alibi.empty() ? "there is no ALiBi" : ""; }
std::string position_bias(const Replay& r) {
    return r.plan().position_bias ? "" : "there is no position bias";
}
std::string square_bias(const Replay& r) {
    std::string why = position_bias(r);
    if (!why.empty()) return why;
    return r.plan().queries != r.plan().given_keys()
               ? "the bias is not square: queries and keys differ in number"
               : "";
}
std::string added_and_scaled(const Replay& r) {
    const Plan& p = r.plan();
    if (p.state) return "there are no scores";
    if (p.alibi.empty() && !p.position_bias && !adds(r)) return "nothing is added to the scores";
    return p.scaled ? "" : "scores are not scaled";
}

}  // namespace applies

namespace make {

Forms no_position_bias(const Replay& /*r*/) {
    return {{"", biases_begin, false, [](Deviation& d) { d.quirks.bias_times = 0; }}};
}
Forms no_alibi(const Replay& /*r*/) {
    return {{"", biases_begin, false, [](Deviation& d) { d.plan.alibi.clear(); }}};
}
Forms alibi_sign(const Replay& /*r*/) {
    return {{"", biases_begin, false, [](Deviation& d) { d.plan.alibi = times(d.plan.alibi, -1); }}};
}
Forms bias_transposed(const Replay& /*r*/) {
    return {{"", biases_begin, false, [](Deviation& d) { d.quirks.bias_transposed = true; }}};
}

Forms bias_scaled(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    for (const double factor : {p.factor(), 1 / p.factor()}) {
        if (p.position_bias) out.push_back(with_factor(p, Added::bias, factor));
        if (!p.alibi.empty()) out.push_back(with_factor(p, Added::alibi, factor));
        if (adds(r)) out.push_back(with_factor(p, Added::mask, factor));
    }
    return out;
}
std::optional<Forms> bias_scaled_measured(const Replay& r, const Measures& m) {
    if (!m.scores()) return std::nullopt;
    const Plan& p = r.plan();
    const ScoreTerms& terms = *m.scores();
    Forms out;
    const auto add = [&](Added kind, const std::optional<double>& factor) {
        if (!factor || is_named(*factor)) return;
        bool known = false;
        for (const double likely : {p.factor(), 1 / p.factor()})
            if (measured_same(likely, *factor)) {
                out.push_back(with_factor(p, kind, likely));
                known = true;
            }
        // Any other factor of the slopes is a matter of the slopes.
        if (kind != Added::alibi || known) out.push_back(with_factor(p, kind, *factor));
    };
    add(Added::bias, common(terms.bias));
    add(Added::mask, common(terms.added));
    if (!terms.slopes.empty()) add(Added::alibi, slope_ratio(p, terms));
    return out;
}
std::vector<Tunable> bias_tuned(const Replay& r) {
    const Plan& p = r.plan();
    std::vector<Tunable> out;
    const auto add = [&](Added kind) {
        out.push_back({1, kind == Added::mask ? Stage::masked_scores : biases_begin,
                       [&p, kind](Deviation& d, double x) { with_factor(p, kind, x).make(d); },
                       [&p, kind](double x) { return with_factor(p, kind, x).measured; }});
    };
    if (p.position_bias) add(Added::bias);
    if (adds(r)) add(Added::mask);
    return out;
}

Forms alibi_slopes(const Replay& r) {
    Forms out;
    for (Slopes& s : other_slopes(r.plan()))
        out.push_back(with_slopes(r.plan(), std::move(s.numbers), std::move(s.origin)));
    return out;
}
std::optional<Forms> alibi_slopes_measured(const Replay& r, const Measures& m) {
    if (!m.scores()) return std::nullopt;
    const Plan& p = r.plan();
    const std::vector<double>& slopes = m.scores()->slopes;
    Forms out;
    if (slopes.empty()) return out;
    if (const auto ratio = slope_ratio(p, *m.scores()))
        if (is_named(*ratio) || measured_same(*ratio, p.factor()) || measured_same(*ratio, 1 / p.factor()))
            return out;
    for (Slopes& s : other_slopes(p)) {
        bool same = true;
        for (std::size_t h = 0; h < slopes.size(); ++h)
            same = same && std::abs(s.numbers[h] - slopes[h]) <= 1e-3 * std::abs(slopes[h]) + 1e-5;
        if (same) out.push_back(with_slopes(p, std::move(s.numbers), std::move(s.origin)));
    }
    out.push_back(with_slopes(p, slopes, ""));
    return out;
}
std::vector<Tunable> alibi_slopes_tuned(const Replay& r) {
    const Plan& p = r.plan();
    return {{1, biases_begin, [](Deviation& d, double x) { d.plan.alibi = times(d.plan.alibi, x); },
             [&p](double x) {
                 return std::optional(
                     Measurement{"slopes", times(p.alibi, x), p.alibi, "ours times " + significant(x, 4)});
             }}};
}

}  // namespace make
}  // namespace attn
