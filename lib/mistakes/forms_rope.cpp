// Rotary embeddings: left out, turned by other rates, along other axes, in other columns.
#include <algorithm>
#include <cmath>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/rotary.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Where rope begins: what stands before it stays.
constexpr Stage rope_begins = Stage::rope_keys;

Form quirk(std::string detail, std::function<void(Quirks&)> change) {
    return {std::move(detail), rope_begins, false,
            [change = std::move(change)](Deviation& d) { change(d.quirks); }};
}
/// A rotary embedding that follows another rule.
Form ruled(std::string detail, const RotaryRule& rule) {
    return {std::move(detail), rope_begins, false, [rule](Deviation& d) { follow(*d.plan.rope, rule); }};
}
/// The plan's rope with other numbers.
Form changed(std::string detail, std::function<void(PlannedRope&)> change) {
    return {std::move(detail), rope_begins, false,
            [change = std::move(change)](Deviation& d) { change(*d.plan.rope); }};
}

RotaryRule with_rates(const RotaryRule& rule, std::vector<double> rates) {
    RotaryRule out = rule;
    out.rates = std::move(rates);
    out.base.reset();
    return out;
}
RotaryRule with_base(const RotaryRule& rule, double base) {
    RotaryRule out = with_rates(rule, rates_of_base(base, rule.dims()));
    out.base = base;
    return out;
}
template <class F>
RotaryRule each_rate(const RotaryRule& rule, const F& of) {
    RotaryRule out = rule;
    for (std::size_t n = 0; n < out.rates.size(); ++n)
        out.rates[n] = of(static_cast<double>(n), rule.rates[n]);
    out.base.reset();
    return out;
}

/// A plain rope of that base, scaled as a configuration says.
RotaryRule scaled_by(const RotaryRule& rule, const RopeScaling& scaling) {
    PlannedRope rope;
    rope.dims = rule.dims();
    rope.base = *rule.base;
    double longest = 0;
    for (const Places* places : {&rule.queries, &rule.keys})
        for (const double p : places->numbers) longest = std::max(longest, p + 1);
    scale_rope(scaling, rope, longest);
    RotaryRule out = rule;
    out.base.reset();
    for (Index n = 0; n < rope.pairs(); ++n) out.rates[idx(n)] = rope.frequency(n);
    out.amplitude = rule.amplitude * rope.amplitude;
    return out;
}

/// The smallest step between positions; 1 where there is none.
double step_of(const RotaryRule& rule) {
    std::vector<double> places = rule.keys.numbers;
    places.insert(places.end(), rule.queries.numbers.begin(), rule.queries.numbers.end());
    std::sort(places.begin(), places.end());
    double least = 0;
    for (std::size_t k = 1; k < places.size(); ++k) {
        const double step = places[k] - places[k - 1];
        if (step > 1e-9 && (least == 0 || step < least)) least = step;
    }
    return least == 0 ? 1 : least;
}

bool is_scaled(const PlannedRope& rope) { return !rope.frequency_factors.empty(); }

/// Column c of keys whose rows were put into halves for so many heads is column out[c] of the plain ones.
std::vector<Index> into_halves(Index width, Index heads) {
    const Index dim = width / heads;
    std::vector<Index> out;
    for (Index h = 0; h < heads; ++h)
        for (Index part = 0; part < 2; ++part)
            for (Index n = 0; n < dim / 2; ++n) out.push_back(h * dim + 2 * n + part);
    return out;
}
std::vector<Index> inverse(const std::vector<Index>& order) {
    std::vector<Index> out(order.size());
    for (std::size_t c = 0; c < order.size(); ++c) out[idx(order[c])] = static_cast<Index>(c);
    return out;
}
std::vector<Index> after(const std::vector<Index>& later, const std::vector<Index>& earlier) {
    std::vector<Index> out;
    for (const Index c : later) out.push_back(earlier[idx(c)]);
    return out;
}

}  // namespace

namespace applies {

std::string rope(const Replay& r) { return r.plan().rope ? "" : "there is no rotary embedding"; }
std::string rope_with_rule(const Replay& r) {
    std::string why = rope(r);
    return why.empty() && !rule_of(r) ? "cosines and sines are given as tables that follow no rule" : why;
}
std::string rope_with_base(const Replay& r) {
    std::string why = rope_with_rule(r);
    if (!why.empty()) return why;
    if (r.plan().rope->pairs() < 2) return "a single pair turns";
    return rule_of(r)->base ? "" : "the frequencies are not those of a base";
}
std::string rope_with_factor(const Replay& r) {
    std::string why = rope_with_rule(r);
    return why.empty() && rule_of(r)->amplitude == 1 ? "cosines and sines have no factor" : why;
}
std::string rope_of_heads(const Replay& r) {
    std::string why = rope(r);
    if (!why.empty()) return why;
    const Plan& p = r.plan();
    if (p.variant->is_latent()) return "one key part turns, for all heads";
    if (p.heads == 1 && p.batch == 1) return "there is one head";
    return p.rope->cos && p.new_keys < p.heads ? "tables of cosines and sines are shorter than heads are many"
                                               : "";
}
std::string rope_unsplit(const Replay& r) {
    std::string why = projected_heads(r);
    if (!why.empty()) return why;
    why = rope(r);
    if (!why.empty()) return why;
    const Plan& p = r.plan();
    if (p.variant->is_latent()) return "one key part turns, for all heads";
    if (p.rope->cos) return "cosines and sines are given as tables";
    if (p.rope->dims != p.dim) return "not all columns turn";
    for (const double f : p.rope->frequency_factors)
        if (f != p.rope->frequency_factors.front()) return "the frequencies are scaled pair by pair";
    return "";
}
std::string rope_of_columns(const Replay& r) {
    std::string why = rope_with_base(r);
    if (!why.empty()) return why;
    const Plan& p = r.plan();
    if (p.variant->is_latent()) return "one key part turns, for all heads";
    return p.rope->dims == p.dim && p.dim % 4 != 0 ? "the width of a head has no even half" : "";
}
std::string rope_tables(const Replay& r) {
    std::string why = rope_of_pairs(r);
    return why.empty() && r.plan().rope->by_column ? "each column turns by its own angle" : why;
}
std::string rope_and_keys(const Replay& r) {
    std::string why = rope_of_pairs(r);
    if (!why.empty()) return why;
    return r.plan().variant->is_latent() ? "keys come from a latent" : "";
}
std::string rope_and_cache(const Replay& r) {
    std::string why = rope_of_positions(r);
    if (!why.empty()) return why;
    if (r.plan().past == 0) return "there is no cache";
    return r.plan().variant->is_latent() ? "the cache holds latents" : "";
}

}  // namespace applies

namespace make {

Forms no_rope(const Replay& /*r*/) {
    return {quirk("", [](Quirks& q) { q.rope_on_queries = q.rope_on_keys = false; })};
}
Forms rope_queries_only(const Replay& /*r*/) {
    return {quirk("the keys are not turned", [](Quirks& q) { q.rope_on_keys = false; }),
            quirk("the queries are not turned", [](Quirks& q) { q.rope_on_queries = false; })};
}
Forms rope_base(const Replay& r) {
    const RotaryRule rule = *rule_of(r);
    Forms out;
    for (const double base : known_bases()) {
        if (std::abs(base - *rule.base) < 1e-6 * base) continue;
        Form form = ruled("", with_base(rule, base));
        form.measured = {"base", {base}, {*rule.base}};
        out.push_back(std::move(form));
    }
    return out;
}

/// Any other base, as a power of 10000.
std::vector<Tunable> rope_base_tuned(const Replay& r) {
    const RotaryRule rule = *rule_of(r);
    constexpr double unit = 1e4;
    const auto power = [](double x) {
        // Bases are numbers of few digits.
        const double base = std::pow(unit, x), digit = std::pow(10, std::floor(std::log10(base)) - 2);
        const double round = digit * std::round(base / digit);
        return std::abs(round - base) < 1e-4 * base ? round : base;
    };
    return {{std::log(*rule.base) / std::log(unit), rope_begins,
             [rule](Deviation& d, double x) {
                 if (d.plan.rope) follow(*d.plan.rope, with_base(rule, std::pow(unit, x)));
             },
             [rule, power](double x) {
                 return std::optional(Measurement{"base", {power(x)}, {*rule.base}});
             }}};
}

Forms rope_scaling(const Replay& r) {
    const Plan& p = r.plan();
    const RotaryRule rule = *rule_of(r);
    const double step = step_of(rule);
    Forms out;
    const auto linear = [&](const std::string& words, double by) {
        out.push_back(ruled(words, each_rate(rule, [by](double, double rate) { return by * rate; })));
    };
    if (step < 1) {
        linear("left out: positions are whole numbers", 1 / step);
        linear("applied twice", step);
        linear("inverted", 1 / (step * step));
        return out;
    }
    if (is_scaled(*p.rope)) {
        const auto& factors = p.rope->frequency_factors;
        const bool stands = std::find(factors.begin(), factors.end(), 0.0) != factors.end();
        RotaryRule plain = with_base(rule, p.rope->base);
        out.push_back(ruled("left out, the factor of cosines and sines stays", plain));
        plain.amplitude = 1;
        if (rule.amplitude != 1) out.insert(out.begin(), ruled("left out", plain));
        if (rule.amplitude == 1) out.back().detail = "left out";
        if (stands) return out;
        const auto powers = [&](const std::string& words, double power) {
            out.push_back(ruled(words, each_rate(rule, [&](double n, double rate) {
                                    return rate * std::pow(factors[static_cast<std::size_t>(n)], power);
                                })));
        };
        powers("applied twice", 1);
        powers("inverted", -2);
        return out;
    }
    if (!rule.base) {
        // A scaled table: the fast pairs are those that no scaling changes.
        std::vector<double> bases(known_bases().begin(), known_bases().end());
        const auto dims = static_cast<double>(rule.dims());
        for (std::size_t n = 1; n < std::min<std::size_t>(rule.rates.size(), 3); ++n)
            bases.push_back(std::pow(rule.rates[n], -dims / (2 * static_cast<double>(n))));
        // The slowest pair is divided by the factor.
        const auto last = static_cast<double>(rule.rates.size()) - 1;
        for (const double by : {8.0, 32.0, 4.0, 2.0, 16.0, 40.0})
            if (last > 0) bases.push_back(std::pow(rule.rates.back() * by, -dims / (2 * last)));
        for (const double base : bases) {
            RotaryRule plain = with_base(rule, base);
            plain.amplitude = 1;
            out.push_back(ruled("left out, base " + significant(base, 5), plain));
        }
        return out;
    }
    for (const double by : {8.0, 4.0, 2.0, 16.0, 32.0})
        linear("applied where there is none: positions divided by " + significant(by, 3), 1 / by);
    for (const double by : {8.0, 32.0}) {
        RopeScaling s;
        s.type = RopeScalingType::llama3;
        s.factor = by, s.low_freq_factor = 1, s.high_freq_factor = 4,
        s.original_max_position_embeddings = 8192;
        out.push_back(
            ruled("applied where there is none: llama3 by " + significant(by, 3), scaled_by(rule, s)));
    }
    if (!(*rule.base > 1)) return out;
    for (const auto& [by, old] : {std::pair{4.0, 32768.0}, {32.0, 4096.0}, {40.0, 4096.0}}) {
        RopeScaling s;
        s.type = RopeScalingType::yarn;
        s.factor = by, s.original_max_position_embeddings = old;
        out.push_back(
            ruled("applied where there is none: yarn by " + significant(by, 3), scaled_by(rule, s)));
    }
    return out;
}

/// A factor of all positions.
std::vector<Tunable> rope_scaling_tuned(const Replay& r) {
    const RotaryRule rule = *rule_of(r);
    return {{1, rope_begins,
             [rule](Deviation& d, double by) {
                 if (d.plan.rope)
                     follow(*d.plan.rope, each_rate(rule, [by](double, double rate) { return by * rate; }));
             },
             [](double by) {
                 return std::optional(Measurement{"frequencies over ours", {by}, {1}});
             }}};
}

Forms rope_factor(const Replay& r) {
    const RotaryRule rule = *rule_of(r);
    Forms out;
    const auto form = [&](const std::string& words, double amplitude) {
        RotaryRule other = rule;
        other.amplitude = amplitude;
        Form f = ruled(words, other);
        f.measured = {"factor of cosines and sines", {amplitude}, {rule.amplitude}};
        out.push_back(std::move(f));
    };
    form("left out", 1);
    form("applied twice", rule.amplitude * rule.amplitude);
    form("inverted", 1 / rule.amplitude);
    return out;
}

Forms rope_exponent(const Replay& r) {
    const RotaryRule rule = *rule_of(r);
    const double base = *rule.base;
    const auto d = static_cast<double>(rule.dims());
    Forms out;
    const auto form = [&](const std::string& words, double slope, double from) {
        out.push_back(ruled("base^(-" + words + "/dims)", each_rate(rule, [&](double n, double) {
                                return std::pow(base, -(slope * n + from) / d);
                            })));
    };
    form("(2n + 1)", 2, 1);
    form("(2n - 1)", 2, -1);
    form("(2n + 2)", 2, 2);
    form("n", 1, 0);
    form("4n", 4, 0);
    return out;
}

Forms rope_inverted(const Replay& r) {
    const RotaryRule rule = *rule_of(r);
    std::vector<double> reversed(rule.rates.rbegin(), rule.rates.rend());
    return {ruled("positions divided by base^(-2n/dims)",
                  each_rate(rule, [](double, double rate) { return 1 / rate; })),
            ruled("the last pair has the first frequency", with_rates(rule, std::move(reversed)))};
}

Forms rope_sign(const Replay& r) {
    Forms out{changed("", [](PlannedRope& rope) { rope.reverse = !rope.reverse; })};
    if (!r.plan().rope->cos)
        out.push_back(changed("of the keys alone", [](PlannedRope& rope) {
            for (double& p : rope.key_positions.numbers) p = -p;
        }));
    return out;
}

Forms rope_axis(const Replay& r) {
    Forms out;
    const Plan& p = r.plan();
    if (p.heads > 1)
        out.push_back(
            quirk("positions run over the heads", [](Quirks& q) { q.rope_along = RopeAlong::heads; }));
    if (p.batch > 1 && !p.rope->cos)
        out.push_back(
            quirk("positions run over the batch", [](Quirks& q) { q.rope_along = RopeAlong::items; }));
    return out;
}

Forms rope_partial(const Replay& r) {
    const Plan& p = r.plan();
    const RotaryRule rule = *rule_of(r);
    const double base = *rule.base;
    Forms out;
    const auto form = [&](const std::string& words, std::vector<double> rates, bool plain) {
        RotaryRule other = with_rates(rule, std::move(rates));
        if (plain) other.base = base;
        out.push_back(ruled(words, other));
    };
    const auto some = [](std::vector<double> rates, Index pairs) {
        rates.resize(static_cast<std::size_t>(pairs));
        return rates;
    };
    const Index dims = rule.dims(), dim = p.dim;
    if (dims < dim) {
        const std::vector<double> of_head = rates_of_base(base, dim);
        if (dim % 2 == 0) {
            form("all columns turn", of_head, true);
            form("frequencies of the whole head", some(of_head, dims / 2), false);
        }
        if (!p.rope->interleaved && dim % 2 == 0) {
            form("partners and frequencies of the whole head", some(some(of_head, dims / 2), dim / 2), false);
            form("partners of the whole head", some(rule.rates, dim / 2), false);
        }
        out.push_back(quirk("the last columns turn, not the first",
                            [by = dim - dims](Quirks& q) { q.rope_first = by; }));
        return out;
    }
    for (const Index part : {dim / 2, dim / 4}) {
        if (part < 2 || part % 2 != 0) continue;
        const std::string words =
            "only " + std::to_string(part) + " of " + std::to_string(dim) + " columns turn";
        form(words, rates_of_base(base, part), true);
        form(words + ", by frequencies of the whole head", some(rule.rates, part / 2), false);
    }
    return out;
}

Forms rope_before_split(const Replay& /*r*/) {
    return {quirk("", [](Quirks& q) { q.rope_unsplit = true; })};
}
Forms rope_table_layout(const Replay& /*r*/) {
    return {quirk("", [](Quirks& q) { q.rope_other_layout = true; })};
}

Forms k_permuted(const Replay& r) {
    const Plan& p = r.plan();
    const Index kv_heads = p.key_heads(), width = kv_heads * p.key_dim;
    Forms out;
    const auto form = [&](const std::string& words, std::vector<Index> columns) {
        for (std::size_t c = 0; c < columns.size(); ++c)
            if (columns[c] != static_cast<Index>(c)) {
                out.push_back(
                    {words, Stage::keys, false, [columns](Deviation& d) { d.quirks.key_columns = columns; }});
                return;
            }
    };
    if (p.key_dim % 2 != 0) return out;
    const std::vector<Index> own = into_halves(width, kv_heads);
    for (const Index heads : {p.heads, Index{1}}) {
        if (heads == kv_heads || width % heads != 0 || width / heads % 2 != 0) continue;
        const std::vector<Index> other = into_halves(width, heads);
        form("for " + std::to_string(heads) + " heads", after(other, inverse(own)));
        form("for " + std::to_string(heads) + " heads, the way back", after(inverse(other), own));
    }
    form("not put into halves, unlike the queries", inverse(own));
    form("put into halves once more", own);
    return out;
}

Forms cache_rotated_again(const Replay& /*r*/) {
    return {quirk("", [](Quirks& q) { q.cache_turned_again = true; })};
}

}  // namespace make
}  // namespace attn
