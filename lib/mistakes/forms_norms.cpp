// Norms of queries and keys, the gate, options that are left out.
#include <array>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/mistakes/seen.hpp"

namespace attn {
namespace of_norms {
namespace {

std::string normed(const Replay& r) {
    return unless(r.plan().query_norm.has_value(), "queries and keys have no norm");
}
std::string weighted_norm(const Replay& r) {
    std::string why = normed(r);
    return why.empty() && !r.plan().query_norm->weight && !r.plan().key_norm->weight
               ? "the norms have no weight"
               : why;
}
std::string norm_and_rope(const Replay& r) {
    std::string why = normed(r);
    return why.empty() && !r.plan().rope ? "there is no rotary embedding" : why;
}
std::string norm_of_heads(const Replay& r) {
    std::string why = normed(r);
    return why.empty() && r.plan().heads == 1 ? "there is one head" : why;
}
std::string value_norm(const Replay& r) {
    return unless(r.plan().value_norm.has_value(), "values have no norm");
}
std::string query_scale(const Replay& r) {
    return unless(r.plan().query_scale.has_value(), "queries have no factors of their own");
}
std::string gated(const Replay& r) {
    return unless(r.plan().gate.has_value() && !r.plan().state, "there is no gate");
}
std::string gate_from_queries(const Replay& r) {
    std::string why = gated(r);
    return why.empty() && !r.plan().gate->from_queries ? "the gate has a projection of its own" : why;
}

/// The same change of both norms, or of one.
void change(Plan& plan, bool queries, bool keys, const std::function<void(PlannedNorm&)>& f) {
    if (queries && plan.query_norm) f(*plan.query_norm);
    if (keys && plan.key_norm) f(*plan.key_norm);
}
Form of_norms(std::string detail, bool queries, bool keys, std::function<void(PlannedNorm&)> f) {
    return {std::move(detail), Stage::normed_queries, false,
            [queries, keys, f = std::move(f)](Deviation& d) { change(d.plan, queries, keys, f); }};
}

Forms no_qk_norm(const Replay& /*r*/) {
    Forms out;
    const auto form = [&](std::string detail, bool queries, bool keys) {
        out.push_back({std::move(detail), Stage::normed_queries, false, [queries, keys](Deviation& d) {
                           if (queries) d.plan.query_norm.reset();
                           if (keys) d.plan.key_norm.reset();
                       }});
    };
    form("", true, true);
    form("that of the queries alone", true, false);
    form("that of the keys alone", false, true);
    return out;
}
Forms norm_after_rope(const Replay& r) {
    return {{r.plan().norm_after_rope ? "before it, where it comes after" : "", Stage::normed_queries, false,
             [](Deviation& d) { d.plan.norm_after_rope = !d.plan.norm_after_rope; }}};
}
Forms norm_plus_one(const Replay& r) {
    return {of_norms(r.plan().query_norm->plus_one ? "1 is not added" : "1 is added", true, true,
                     [](PlannedNorm& n) { n.plus_one = !n.plus_one; })};
}
Forms norm_weight(const Replay& r) {
    const PlannedNorm &q = *r.plan().query_norm, &k = *r.plan().key_norm;
    const auto leave_out = [](PlannedNorm& n) {
        n.weight.reset();
        n.bias.reset();
    };
    Forms out{of_norms("left out", true, true, leave_out)};
    if (q.weight) out.push_back(of_norms("that of the queries left out", true, false, leave_out));
    if (k.weight) out.push_back(of_norms("that of the keys left out", false, true, leave_out));
    if (q.bias || k.bias)
        out.push_back(of_norms("the bias left out", true, true, [](PlannedNorm& n) { n.bias.reset(); }));
    const auto numbers = [&](const PlannedNorm& n) { return r.tensor(*n.weight).size(); };
    if (!q.weight || !k.weight || numbers(q) != numbers(k)) return out;
    const auto take = [](const PlannedNorm& from) {
        return [weight = from.weight, bias = from.bias](PlannedNorm& n) {
            n.weight = weight;
            n.bias = bias;
        };
    };
    out.push_back(of_norms("that of the queries for both", false, true, take(q)));
    out.push_back(of_norms("that of the keys for both", true, false, take(k)));
    out.push_back({"those of queries and keys exchanged", Stage::normed_queries, false,
                   [to_queries = take(k), to_keys = take(q)](Deviation& d) {
                       if (d.plan.query_norm) to_queries(*d.plan.query_norm);
                       if (d.plan.key_norm) to_keys(*d.plan.key_norm);
                   }});
    return out;
}
Forms norm_type(const Replay& r) {
    const PlannedNorm& norm = *r.plan().query_norm;
    constexpr std::array types{std::pair{NormType::rms, "RMS"}, std::pair{NormType::layer, "LayerNorm"},
                               std::pair{NormType::l2, "L2"}};
    Forms out;
    for (const auto& [type, name] : types) {
        if (type == norm.type) continue;
        for (const double eps : {norm.eps, 1e-5})
            if (eps == norm.eps || (type == NormType::layer && eps != norm.eps))
                out.push_back(of_norms(std::string(name), true, true, [type = type, eps](PlannedNorm& n) {
                    n.type = type;
                    n.eps = eps;
                }));
    }
    return out;
}
Forms norm_extent(const Replay& r) {
    return {of_norms(r.plan().query_norm->over_width ? "each head by itself" : "all heads together", true,
                     true, [](PlannedNorm& n) { n.over_width = !n.over_width; })};
}
Forms no_value_norm(const Replay& r) {
    // What was clamped after the norm is clamped as it is projected.
    const bool clamped = r.plan().clip && r.plan().clip->after_norm;
    return {{"", clamped ? Stage::values : Stage::normed_values, true,
             [](Deviation& d) { d.plan.value_norm.reset(); }}};
}
Forms no_query_scale(const Replay& /*r*/) {
    return {{"", Stage::tempered_queries, false, [](Deviation& d) { d.plan.query_scale.reset(); }}};
}

Forms no_gate(const Replay& r) {
    Forms out{{"", Stage::gated_context, true, [](Deviation& d) { d.quirks.no_gate = true; }}};
    if (r.plan().context_norm)
        out.push_back({"nor is the context normalised", Stage::normed_context, true,
                       [](Deviation& d) { d.quirks.no_gate = d.quirks.no_context_norm = true; }});
    return out;
}
Forms gate_split(const Replay& /*r*/) {
    Forms out;
    const auto form = [&](std::string detail, GateLayout layout) {
        out.push_back({std::move(detail), Stage::queries, false,
                       [layout](Deviation& d) { d.quirks.gate_layout = layout; }});
    };
    form("all queries, then all gates", GateLayout::halves);
    form("all gates, then all queries", GateLayout::halves_gate_first);
    form("the gate before the queries of each head", GateLayout::gate_first);
    form("queries and gate in turn", GateLayout::alternating);
    return out;
}

// clang-format off
constexpr std::array norm_blind{Blind{"queries and keys have the length that the norm gives them"}};
constexpr std::array after_blind{Blind{"every position is 0", blind::zero_positions}, Blind{"the norms' weights are the same for both columns of each pair"}};
constexpr std::array weight_blind{Blind{"the weights of the norms are 1, or those of queries and keys are the same"}};
constexpr std::array plus_blind{Blind{"the sum of 1 and the weight gives the same weights"}};
constexpr std::array type_blind{Blind{"both norms give the same numbers"}};
constexpr std::array extent_blind{Blind{"all heads of a token have the same length"}};
constexpr std::array values_blind{Blind{"the values have the length that the norm gives them"}};
constexpr std::array factors_blind{Blind{"all factors are 1"}};
constexpr std::array gate_blind{Blind{"the gate is 1"}};
constexpr std::array split_blind{Blind{"both cuts are the same: there is one head"}};

constexpr std::array table{
    MistakeRow{"no_qk_norm", "", "the norm of queries and keys is left out", "scores are as large as queries and keys are long",
     "", "apply q_norm and k_norm after the projections", norm_blind, "queries and keys that are not normed already", normed, no_qk_norm},
    MistakeRow{"norm_after_rope", "", "queries and keys are normed after the rotation, or before it where they are after", "scores differ where the weights of a pair's columns do",
     "marin-community/marin#5114, Meissonic#26", "norm, then rotate: as the model was trained",
     after_blind, "weights of the norm that differ within a pair", norm_and_rope, norm_after_rope},
    MistakeRow{"norm_plus_one", "", "1 is added to the norms' weights, or is not", "normed queries and keys differ by a factor per column",
     "", "Gemma stores weights less 1", plus_blind, "weights of the norm that are not 0", weighted_norm, norm_plus_one},
    MistakeRow{"norm_weight", "", "the norms' weights are left out, or one stands for both", "normed queries or keys differ by a factor per column",
     "", "q_norm.weight for queries, k_norm.weight for keys", weight_blind, "weights of the norms that differ", weighted_norm, norm_weight},
    MistakeRow{"norm_type", "", "another norm: RMS, LayerNorm or L2", "normed queries and keys have another mean or length",
     "", "RMS divides by the root of the mean square, LayerNorm takes off the mean first, L2 divides by the length",
     type_blind, "queries and keys whose mean is not 0", normed, norm_type},
    MistakeRow{"norm_extent", "", "the norm is taken over all heads together, or over each where it is over all", "heads differ by a factor each",
     "Lumina#112", "norm after the heads are split, or before: as the weights are wide", extent_blind, "heads of different lengths", norm_of_heads, norm_extent},
    MistakeRow{"no_value_norm", "", "the norm of the values is left out", "weights are right, the context is not",
     "", "norm the values too", values_blind, "values that are not normed already", value_norm, no_value_norm},
    MistakeRow{"no_query_scale", "", "the queries' own factors are left out", "rows of scores differ by a factor each",
     "ggml-org/llama.cpp#17239", "multiply the queries by their factors", factors_blind, "factors that are not 1", query_scale, no_query_scale},
    MistakeRow{"no_gate", "", "the gate is left out", "the context is not gated",
     "", "multiply the context by the gate before the output projection", gate_blind, "a gate that is not 1", gated, no_gate},
    MistakeRow{"gate_split", "", "queries and gate are cut out of their projection in another way", "queries and gate are permuted",
     "", "each head has its queries and then its gate: view(..., heads, 2 * dim), then chunk(2, -1)", split_blind, "two heads", gate_from_queries, gate_split},
};
// clang-format on

}  // namespace
}  // namespace of_norms

std::span<const MistakeRow> rows_of_norms() { return of_norms::table; }

}  // namespace attn
