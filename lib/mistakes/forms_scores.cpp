// Scale, softmax, soft cap, rounding.
#include <algorithm>
#include <array>
#include <cmath>

#include "lib/mistakes/forms.hpp"

namespace attn {
namespace {

/// Widths whose root may stand where that of a head belongs.
std::vector<Index> other_widths(const Plan& p) {
    std::vector<Index> out;
    const auto add = [&](Index w) {
        if (w != p.dim && (out.empty() || out.front() != w)) out.push_back(w);
    };
    add(p.heads * p.dim);
    if (!p.projected_given) add(p.tensors[*p.query_input].shape.back());
    return out;
}

Forms softmax_along(const Replay& r, Along axis) {
    Forms out;
    make::empty_rows_too(r, {"", Stage::weights, false, [axis](Deviation& d) { d.quirks.along = axis; }}, out,
                         r.plan().masked);
    return out;
}

}  // namespace

namespace applies {

std::string unrounded_scores(const Replay& r) {
    return r.plan().rounding.changes() ? "the arithmetic is rounded to 16 bits" : scores(r);
}
std::string half_scores(const Replay& r) {
    return r.plan().rounding.changes() ? scores(r) : "the arithmetic is not of half precision";
}

std::string scaled(const Replay& r) { return r.plan().scaled ? "" : "scores are not scaled"; }
std::string other_width(const Replay& r) {
    std::string why = scaled(r);
    return why.empty() && other_widths(r.plan()).empty() ? "the model is as wide as one head" : why;
}
std::string scaled_softmax(const Replay& r) { return r.plan().state ? "there is no softmax" : scaled(r); }
std::string softmax(const Replay& r) {
    if (r.plan().state) return "there is no softmax";
    return r.plan().normalize == Normalize::softmax ? "" : "weights are made without a softmax";
}
std::string softmax_of_heads(const Replay& r) {
    return r.plan().heads == 1 ? "there is one head" : softmax(r);
}
std::string scores(const Replay& r) { return r.plan().state ? "there are no scores" : ""; }
std::string softcap(const Replay& r) { return r.plan().softcap ? "" : "there is no soft cap"; }
std::string softcap_and_mask(const Replay& r) {
    const Plan& p = r.plan();
    std::string why = softcap(r);
    return why.empty() && (!p.masked || p.mask_at != MaskAt::scaled_scores) ? "no scores are masked" : why;
}
std::string never_from_a_plan(const Replay& r) {
    return r.plan().state ? "there are no weights" : "is read from the weights themselves";
}

}  // namespace applies

namespace make {

Form other_scale(double scale) {
    return {"", Stage::scaled_scores, false, [scale](Deviation& d) {
                d.plan.scaled = true;
                d.plan.scale = scale;
            }};
}

Forms no_scale(const Replay& /*r*/) {
    return {{"", Stage::scaled_scores, false, [](Deviation& d) {
                 d.plan.scaled = false;
                 d.plan.scale = 1;
             }}};
}
Forms scale_d_model(const Replay& r) {
    Forms out;
    for (const Index w : other_widths(r.plan()))
        out.push_back(other_scale(1 / std::sqrt(static_cast<double>(w))));
    return out;
}
Forms scale_without_root(const Replay& r) { return {other_scale(1 / static_cast<double>(r.plan().dim))}; }
Forms scale_twice(const Replay& r) { return {other_scale(r.plan().scale * r.plan().scale)}; }
Forms scale_inverted(const Replay& r) { return {other_scale(1 / r.plan().scale)}; }
Forms scale_after_softmax(const Replay& /*r*/) {
    return {{"", Stage::scaled_scores, false, [](Deviation& d) {
                 d.quirks.weights_times = d.plan.scale;
                 d.plan.scaled = false;
             }}};
}

Forms softmax_over_queries(const Replay& r) { return softmax_along(r, Along::queries); }
Forms softmax_over_heads(const Replay& r) { return softmax_along(r, Along::heads); }
Forms no_softmax(const Replay& r) {
    Forms out;
    if (r.plan().masked)
        out.push_back({"masked scores set to 0", Stage::masked_scores, false, [](Deviation& d) {
                           d.quirks.normal = Normal::none;
                           d.quirks.fill = 0;
                       }});
    out.push_back({"", Stage::weights, false, [](Deviation& d) { d.quirks.normal = Normal::none; }});
    return out;
}
Forms exp2(const Replay& /*r*/) {
    return {{"", Stage::weights, false, [](Deviation& d) { d.quirks.normal = Normal::base_two; }}};
}

Forms softcap_after_mask(const Replay& /*r*/) {
    return {{"", Stage::capped_scores, false, [](Deviation& d) { d.quirks.cap_after_mask = true; }}};
}
Forms no_softcap(const Replay& /*r*/) {
    return {{"", Stage::capped_scores, false, [](Deviation& d) { d.plan.softcap.reset(); }}};
}

/// Which weights were dropped is not known: it is read from the numbers (dropout_seen.cpp).
Forms nothing(const Replay& /*r*/) { return {}; }

/// Scores or weights in 16 bits.
Forms rounded(const Replay& /*r*/) {
    Forms out;
    for (const DType type : {DType::bfloat16, DType::float16}) {
        const auto form = [&](std::string detail, Stage first, std::array<bool, 4> which) {
            out.push_back({std::move(detail), first, false,
                           [type, which](Deviation& d) {
                               d.quirks.round = Rounding(type);
                               d.quirks.round_products = which[0];
                               d.quirks.round_scores = which[1];
                               d.quirks.round_weights = which[2];
                               d.quirks.round_all = which[3];
                           },
                           type == DType::bfloat16 ? ":bf16" : ":f16"});
        };
        form("the scores", Stage::scores, {true, false, false, false});
        form("the scores up to the softmax", Stage::scores, {true, true, false, false});
        form("the weights", Stage::weights, {false, false, true, false});
        form("scores and weights", Stage::scores, {true, true, true, false});
        form("every stage", Stage::normed_embeddings, {true, true, true, true});
    }
    return out;
}

/// Stages of a plan of half precision that are not rounded.
Forms kept_in_float32(const Replay& r) {
    const Plan& plan = r.plan();
    const auto bits_of = [&](auto&& is_in) {
        std::uint64_t bits = 0;
        for (const PlannedStage& s : plan.stages)
            if (is_in(s)) bits |= std::uint64_t{1} << static_cast<unsigned>(s.stage);
        return bits;
    };
    const std::uint64_t scores = bits_of([](const PlannedStage&s) { return is_score(s.stage); }),
                        weights = bits_of([](const PlannedStage&s) {
                            return info_of(s.stage).phase == Phase::cells && is_weights(s.stage);
                        });
    const Stage result = std::find_if(plan.stages.rbegin(), plan.stages.rend(), [](const PlannedStage& s) {
                             return !info_of(s.stage).on_request;
                         })->stage;
    Forms out;
    const auto form = [&](std::string detail, Stage first, std::uint64_t bits, std::string of) {
        out.push_back({std::move(detail), first, false, [bits](Deviation& d) { d.quirks.unrounded = bits; },
                       std::move(of)});
    };
    form("the scores up to the softmax", Stage::scores, scores, ":scores");
    form("the weights that meet the values", Stage::weights, weights, ":weights");
    form("scores and weights: only the context is rounded", Stage::scores, scores | weights, ":cells");
    const auto everywhere = [&](std::string detail, bool but_result, std::string of) {
        out.push_back({std::move(detail), Stage::normed_embeddings, false,
                       [but_result, result](Deviation& d) {
                           if (but_result) {
                               d.quirks.round = d.plan.rounding;
                               d.quirks.round_only = result;
                           }
                           d.plan.rounding = Rounding();
                       },
                       std::move(of)});
    };
    everywhere("every stage but the last", true, ":stages");
    everywhere("every stage", false, ":all");
    return out;
}

}  // namespace make
}  // namespace attn
