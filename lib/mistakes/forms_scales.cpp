// Scales that are something else, measured.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/measures.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

struct Origin {
    double scale;
    std::string words;
};

/// Scales that rows of their own name.
std::vector<double> named_scales(const Replay& r) {
    const Plan& p = r.plan();
    if (!p.scaled) return {std::numbers::ln2};
    std::vector<double> out{1, 1 / static_cast<double>(p.dim), p.scale * p.scale, 1 / p.scale,
                            1 / std::sqrt(static_cast<double>(p.heads * p.dim))};
    if (!p.projected_given)
        out.push_back(1 / std::sqrt(static_cast<double>(p.tensors[*p.query_input].shape.back())));
    if (p.rope && applies::rope_with_factor(r).empty()) {
        const double amplitude = rule_of(r)->amplitude;
        for (const double by : {1 / amplitude, amplitude, 1 / (amplitude * amplitude)})
            out.push_back(p.scale * by * by);
    }
    // exp2 is a scale of ln 2 too.
    const std::size_t count = out.size();
    for (std::size_t k = 0; k < count; ++k) out.push_back(out[k] * std::numbers::ln2);
    out.push_back(p.scale * std::numbers::ln2);
    return out;
}

bool has(const std::vector<double>& scales, double scale) {
    return std::any_of(scales.begin(), scales.end(), [&](double s) { return measured_same(s, scale); });
}

/// Where a scale may come from, the likeliest first; none of ours, none that another row names.
std::vector<Origin> origins(const Replay& r) {
    const Plan& p = r.plan();
    std::vector<Origin> out;
    const std::vector<double> named = named_scales(r);
    const auto add = [&](double scale, std::string words) {
        if (!(scale > 0) || !std::isfinite(scale) || measured_same(scale, p.factor()) || has(named, scale))
            return;
        for (const Origin& o : out)
            if (measured_same(scale, o.scale)) return;
        out.push_back({scale, std::move(words)});
    };
    const auto root = [&](Index width, const std::string& what) {
        if (width > 0)
            add(1 / std::sqrt(static_cast<double>(width)), "1/√" + std::to_string(width) + ", " + what);
    };
    root(p.dim, "the width of a head");
    if (!p.projected_given) {
        const Index width = p.tensors[*p.query_input].shape.back();
        if (width % p.heads == 0) root(width / p.heads, "the embeddings' width / heads");
        root(width, "the embeddings' width");
    }
    root(p.heads * p.dim, "the width of all heads");
    root(p.value_dim, "the width of a head's values");
    for (const WeightRole latent : {WeightRole::latent, WeightRole::query_latent})
        if (p.projects(latent)) root(p.projection(latent).d_out, "the width of the latent");
    if (p.rope && p.rope->dims < p.dim) {
        root(p.dim - p.rope->dims, "the columns of a head that do not turn");
        root(p.rope->dims, "the columns of a head that turn");
    }
    add(1 / std::sqrt(std::sqrt(static_cast<double>(p.dim))), "the fourth root of a head's width, once");
    add(1 / static_cast<double>(p.dim),
        "1/" + std::to_string(p.dim) + ", the width of a head without a root");
    root(2 * p.dim, "the width of two heads");
    root(p.keys, "the number of keys");
    root(p.queries, "the number of queries");
    root(p.heads, "the number of heads");
    return out;
}

/// In words where a measured scale comes from; empty: not known.
std::string origin_of(const Replay& r, double scale) {
    for (const Origin& o : origins(r))
        if (measured_same(o.scale, scale)) return o.words;
    const double width = 1 / (scale * scale);
    if (width > 1.5 && width < 1e5 && measured_same(width, std::round(width)))
        return "1/√" + std::to_string(static_cast<Index>(std::round(width)));
    return {};
}

Measurement measured(const Replay& r, double scale) {
    return {"scale", {scale}, {r.plan().factor()}, origin_of(r, scale)};
}

Form of_scale(const Replay& r, double scale) {
    Form out = make::other_scale(scale);
    out.measured = measured(r, scale);
    return out;
}

}  // namespace

namespace applies {

std::string score_scale(const Replay& r) {
    const Plan& p = r.plan();
    return p.state && !p.scaled ? "scores are not scaled" : "";
}

}  // namespace applies

namespace make {

/// One that no other row comes near: what is sought, or measured, may be any.
Forms scale_other(const Replay& r) {
    std::vector<double> named = named_scales(r);
    named.push_back(r.plan().factor());
    const auto is_apart = [&](double scale) {
        return std::none_of(named.begin(), named.end(),
                            [&](double other) { return std::abs(std::log(scale / other)) < 0.1; });
    };
    for (const Origin& o : origins(r))
        if (is_apart(o.scale)) return {of_scale(r, o.scale)};
    double scale = r.plan().factor() * 0.8;
    while (!is_apart(scale)) scale *= 0.8;
    return {of_scale(r, scale)};
}

std::optional<Forms> scale_measured(const Replay& r, const Measures& m) {
    if (!m.scores()) return std::nullopt;
    Forms out;
    const std::optional<double> scale = common(m.scores()->scale);
    if (!scale || measured_same(*scale, r.plan().factor()) || !(*scale > 0) || has(named_scales(r), *scale))
        return out;
    // The number that it is likely to be, and what was measured.
    for (const Origin& o : origins(r))
        if (measured_same(o.scale, *scale)) out.push_back(of_scale(r, o.scale));
    out.push_back(of_scale(r, *scale));
    return out;
}

std::vector<Tunable> scale_tuned(const Replay& r) {
    return {{r.plan().factor(), Stage::scaled_scores,
             [](Deviation& d, double scale) { other_scale(scale).make(d); },
             [&r](double scale) -> std::optional<Measurement> {
                 if (has(named_scales(r), scale)) return std::nullopt;
                 return measured(r, scale);
             }}};
}

}  // namespace make
}  // namespace attn
