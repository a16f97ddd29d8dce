#include "lib/render/pictures/page_rules.hpp"

#include <algorithm>

#include "lib/explain/writer.hpp"
#include "lib/render/pictures/page_ruler.hpp"

namespace attn {
namespace page_rules {
namespace {

/// key - query of the first key and the last query: the list of buckets begins with it.
Index first_distance(const Plan& plan) {
    return 1 - plan.queries - *std::max_element(plan.offsets.begin(), plan.offsets.end());
}

}  // namespace

void Ruler::scores(const PlannedStage& s) {
    Text q = cell(s.reads.front(), "h", "i", "d");
    const Text k = cell(s.reads.at(1), kv_of("h"), "j", "d"), n = digits(plan.dim);
    if (plan.projects(WeightRole::score))
        q = "as(\"query · W_score\", " +
            projected(WeightRole::score, "d", cell(s.reads.front(), "h", "i", "k")) + ")";
    if (!plan.additive) return out.result("sum(d, 0, " + n + ", " + q + " * " + k + ")");
    const bool own = *element_count(plan.tensors[*plan.additive].shape) > plan.dim;
    out.result("sum(d, 0, " + n + ", " + input(*plan.additive, own ? "h*" + n + "+d" : "d") + " * tanh(" + q +
               " + " + k + "))");
}

void Ruler::biased(const PlannedStage& s) {
    Text e = before(s);
    if (plan.has_appended()) out.when("j >= " + digits(plan.given_keys()), e, "appended: no bias");
    if (!plan.alibi.empty()) e += " - slope[h] * (int(i + offset[b]) - j)";
    if (plan.position_bias) {
        const PlannedBias& bias = *plan.position_bias;
        const Shape& shape = plan.tensors[bias.tensor].shape;
        const Text item = shape.size() == 4 && shape[0] > 1 ? "b*" + digits(plan.heads) + "+h" : "h";
        e += " + " + input(bias.tensor, bias.buckets
                                            ? "bucket[j-i-offset[b]+" + digits(-first_distance(plan)) + "]*" +
                                                  digits(plan.heads) + "+h"
                                            : "((" + item + ")*" + digits(plan.queries) + "+i)*" +
                                                  digits(plan.given_keys()) + "+j");
    }
    out.result(e);
}

void Ruler::masked(const PlannedStage& s) {
    const bool scores = s.stage == Stage::masked_scores;
    out.fixed("hidden(b,h,i,j)", scores ? "-inf" : "0", "hidden");
    Text added;
    if (scores)
        for (const MaskRule& m : plan.masks)
            if (m.kind == MaskKind::add) added += " + " + broadcast(m.tensor);
    if (!added.empty()) out.when("j < " + digits(plan.given_keys()), before(s) + added);
    out.result(before(s), "visible");
}

void Ruler::empty_rows(const Text& condition) {
    const Text say = plan.empty_rows == EmptyRows::zero  ? "0"
                     : plan.empty_rows == EmptyRows::nan ? "0 / 0"
                                                         : "1 / " + digits(plan.keys);
    out.when(condition, say, "empty row: no key is visible");
}

void Ruler::softmax(const PlannedStage& s) {
    const Text x = before(s), other = before(s, "k");
    out.when(x + " == -inf & m < inf", "0", "e^(-inf) is 0");
    out.let("e", "e^*", "exp(" + x + " - m)");
    out.let("total", "sum",
            "sum" + over_keys(other + " > -inf", "as(\"e^\", exp(" + other + " - m))") +
                (plan.sinks.empty() ? "" : " + as(\"e^sink\", exp(sink[h] - m))"));
    out.result("e / total");
}

void Ruler::weights(const PlannedStage& s) {
    const Text x = before(s), other = before(s, "k");
    out.let("m", plan.normalize == Normalize::softmax ? "maximum" : "", "largest" + over_keys("", other));
    if (plan.masked && plan.mask_at != MaskAt::weights && !plan.has_appended()) empty_rows("m == -inf");
    switch (plan.normalize) {
        case Normalize::softmax:
            return softmax(s);
        case Normalize::sum:
            out.when(x + " == -inf", "0", "hidden: no part in the sum");
            out.let("total", "sum", "sum" + over_keys(other + " > -inf", other));
            return out.result(x + " / total");
        case Normalize::sigmoid:
            return out.result("1 / (1 + exp(-" + x + "))");
    }
}

void Ruler::renormalized(const PlannedStage& s) {
    empty_rows("sum" + over_keys("hidden(b,h,i,k) == 0", "1") + " == 0");
    out.let("total", "sum", "sum" + over_keys("", before(s, "k")));
    out.result(before(s) + " / total");
}

void Ruler::dropped(const PlannedStage& s) {
    const double p = plan.dropout->p;
    if (p == 1) return out.result(before(s) + " * 0", "dropped");
    out.when(before(s) + " != 0 & own == 0", before(s) + " * 0", "dropped");
    out.result(before(s) + " / (1 - " + digits(p) + ")", "kept");
}

void Ruler::lambda() {
    const PlannedDifferential& pairs = *plan.differential;
    const auto power = [&](std::size_t first) {
        return "exp(sum(k, 0, " + digits(pairs.width) + ", " + input(pairs.vectors[first], "k") + " * " +
               input(pairs.vectors[first + 1], "k") + "))";
    };
    out.let("lambda", "lambda",
            pairs.lambda ? digits(*pairs.lambda) : power(0) + " - " + power(2) + " + " + digits(pairs.init));
}

void Ruler::differential(const PlannedStage& s) {
    const PlannedDifferential& pairs = *plan.differential;
    lambda();
    const bool halves = pairs.pairing == Pairing::halves;
    const auto half = [&](bool second) {
        const Text of = halves   ? second ? "h+" + digits(plan.context_heads()) : Text("h")
                          : second ? Text("2*h+1")
                                 : Text("2*h");
        return cell(s.reads.front(), of, "i", "j");
    };
    out.result(half(false) + " - lambda * " + half(true));
}

void Ruler::context(const PlannedStage& s) {
    if (plan.state) return state_context();
    const Text w = cell(s.reads.front(), "h", "i", "k");
    out.result("sum" + over_keys(w + " != 0", w + " * " + cell(s.reads.at(1), values_of("h"), "k", "j")));
}

void Ruler::gate() {
    const Gate& gate = *plan.gate;
    const Text o = gate.from_queries ? "h*" + digits(2 * plan.query_dim) + "+" + digits(plan.query_dim) + "+j"
                   : plan.gate_by_head ? Text("h")
                                       : "h*" + digits(plan.value_dim) + "+j";
    out.let("g", "gate",
            projected(gate.from_queries ? WeightRole::query : WeightRole::gate, o,
                      embedded(*plan.query_input, "i", "k")));
}

Text Ruler::opening() const {
    switch (plan.gate->activation) {
        case GateActivation::sigmoid:
            return "1 / (1 + exp(-g))";
        case GateActivation::silu:
            return "g / (1 + exp(-g))";
        case GateActivation::softplus:
            break;
    }
    return "ln(1 + exp(g))";
}

void Ruler::gated(const PlannedStage& s) {
    gate();
    const Text x = cell(s.reads.front(), "h", "i", "j");
    switch (plan.gate->activation) {
        case GateActivation::sigmoid:
            return out.result(x + " / (1 + exp(-g))");
        case GateActivation::silu:
            return out.result(x + " * g / (1 + exp(-g))");
        case GateActivation::softplus:
            out.when("g > 30", x + " * g", "ln(1 + e^g) is g for a large g");
            return out.result(x + " * ln(1 + exp(g))");
    }
}

Text Ruler::query_factor() const {
    const PlannedQueryScale& scale = *plan.query_scale;
    const Text item = scale.items > 1 ? "b" : "0", head = scale.heads > 1 ? "h" : "0";
    return "query_scale[(" + item + "*" + digits(scale.heads) + "+" + head + ")*" + digits(scale.queries) +
           "+i]";
}

void Ruler::lse(const PlannedStage& s) {
    const Text score = cell(s.reads.front(), "h", "j", "k"), sink = "sink[h]";
    const Text most = "largest" + over_keys("", score);
    out.let("m", "maximum", plan.sinks.empty() ? most : "max(" + most + ", " + sink + ")");
    out.fixed("m == -inf", "-inf", "no key is visible: log 0");
    out.let("total", "sum",
            "sum" + over_keys(score + " > -inf", "exp(" + score + " - m)") +
                (plan.sinks.empty() ? "" : " + exp(" + sink + " - m)"));
    out.result("m + ln(total)");
}

void Ruler::write(const PlannedStage& s) {
    if (s.of != StageOf::forward) return gradient(s);
    switch (s.stage) {
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
            return projection(s);
        case Stage::query_latent:
            return out.result(
                projected(WeightRole::query_latent, "j", embedded(*plan.query_input, "i", "k")));
        case Stage::latent:
            return out.result(projected(WeightRole::latent, "j", embedded(*plan.key_input, "i", "k")));
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return convolved(s);
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
        case Stage::normed_context:
        case Stage::normed_concat:
            return norm(s);
        case Stage::rope_keys:
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            return rotation(s);
        case Stage::tempered_queries:
            return out.result(before(s) + " * " + query_factor());
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return feature_map(s);
        case Stage::decay:
        case Stage::beta:
            return per_key(s);
        case Stage::all_keys:
        case Stage::all_values:
            return joined(s);
        case Stage::scores:
            return scores(s);
        case Stage::scaled_scores:
            return out.result(before(s) + (plan.scale_root > 0 ? " / sqrt(" + digits(plan.scale_root) + ")"
                                                               : " * " + digits(plan.scale)));
        case Stage::capped_scores:
            return out.result(digits(*plan.softcap) + " * tanh(" + before(s) + " / " + digits(*plan.softcap) +
                              ")");
        case Stage::biased_scores:
            return biased(s);
        case Stage::masked_scores:
        case Stage::masked_weights:
            return masked(s);
        case Stage::weights:
            return weights(s);
        case Stage::renormalized_weights:
            return renormalized(s);
        case Stage::dropped_weights:
            return dropped(s);
        case Stage::differential_weights:
            return differential(s);
        case Stage::context:
            return context(s);
        case Stage::state:
            return out.result(cell(Stage::states, "h", "i", "j", digits(plan.keys - 1)));
        case Stage::states:
            return states();
        case Stage::gated_context:
            return gated(s);
        case Stage::concat:
            return out.result(
                cell(s.reads.front(), "j//" + digits(plan.value_dim), "i", "j%" + digits(plan.value_dim)));
        case Stage::head_outputs:
            return out.result("sum(k, 0, " + digits(plan.value_dim) + ", " +
                              cell(s.reads.front(), "h", "i", "k") + " * W(" +
                              quoted_role(WeightRole::output) + ", h*" + digits(plan.value_dim) + "+k, j))");
        case Stage::output:
            return out.result(projected(WeightRole::output, "j", cell(s.reads.front(), "0", "i", "k")));
        case Stage::lse:
            return lse(s);
        case Stage::mean_weights:
            return out.result("sum(k, 0, " + digits(plan.context_heads()) + ", " +
                              cell(s.reads.front(), "k", "i", "j") + ") / " + digits(plan.context_heads()));
    }
}

}  // namespace page_rules

namespace {

using page_rules::digits;
using page_rules::Ruler;
using page_rules::Text;

Text pieces_json(const Plan& plan, WeightRole role, const std::vector<WeightPiece>& pieces, bool bias) {
    Text list;
    for (const WeightPiece& p : pieces) {
        JsonMembers m{{"tensor", digits(static_cast<Index>(p.tensor))},
                      {"transposed", p.out_in ? "true" : "false"},
                      {"source", digits(p.source_begin)},
                      {"target", digits(p.target_begin)},
                      {"outputs", digits(p.outputs)},
                      {"base", digits(p.base)}};
        if (plan.tensors[p.tensor].kind == TensorSource::Kind::drawn_weight)
            m.emplace_back("name",
                           json_string(explain::name_of_drawn(plan, role, p.target_begin, p.outputs, bias)));
        list += (list.empty() ? "" : ", ") + json_object(m);
    }
    return "[" + list + "]";
}

Text numbers_json(const std::vector<double>& list) {
    Text text;
    for (const double v : list) text += (text.empty() ? "" : ", ") + json_number(v);
    return "[" + text + "]";
}

/// What hides a cell: the rules in the order of Mask in lib/run, as explain::rule_of tells them.
Text hides_json(const Plan& plan) {
    Text list;
    const auto add = [&](const Text& when, const Text& text) {
        list += (list.empty() ? "" : ", ") +
                json_object({{"when", json_string(when)}, {"text", json_string(text)}});
    };
    const bool moved = std::any_of(plan.offsets.begin(), plan.offsets.end(), [](Index o) { return o != 0; });
    const Text diagonal = "i + offset[b]", given = "j < " + digits(plan.given_keys()) + " & ",
               query = moved ? "query {i} + {int(offset[b])}" : "query {i}";
    // No prefix and no block shows it anyway.
    Text by_place = given;
    if (!plan.prefix.empty()) by_place += "j >= prefix[b] & ";
    if (!plan.token_blocks.empty()) {
        const Text own = "[b*" + digits(plan.queries) + "+i]";
        by_place += "(j < block_from" + own + " | j >= block_to" + own + ") & ";
    }
    if (plan.causal) add(by_place + "j > " + diagonal, "key {j} > " + query);
    if (plan.window && plan.window->left)
        add(by_place + "j < " + diagonal + " - " + digits(*plan.window->left),
            "window: key {j} < " + query + " - " + digits(*plan.window->left));
    if (plan.window && plan.window->right)
        add(by_place + "j > " + diagonal + " + " + digits(*plan.window->right),
            "window: key {j} > " + query + " + " + digits(*plan.window->right));
    if (plan.chunk) {
        const Text size = " // " + digits(*plan.chunk), of_query = "(" + diagonal + ")" + size;
        add(by_place + "j" + size + " != " + of_query, "chunk: key {j} is in chunk {int(j" + size + ")}, " +
                                                           query + " in chunk {int(" + of_query + ")}");
    }
    if (plan.key_lengths)
        add(given + "j >= key_length[b]", "key {j} is past the key length {int(key_length[b])}");
    for (const MaskRule& m : plan.masks) {
        const Text cell = Ruler(plan).broadcast(m.tensor);
        switch (m.kind) {
            case MaskKind::drop:
                add(given + cell + " != 0", "{" + cell + "} drops it");
                break;
            case MaskKind::keep:
                add(given + cell + " == 0", "{" + cell + "} does not keep it");
                break;
            case MaskKind::add:
                add(given + cell + " == -inf", "{" + cell + "} is -inf");
                break;
        }
    }
    return "[" + list + "]";
}

}  // namespace

std::string rule_json(const Plan& plan, const PlannedStage& stage) {
    Ruler ruler(plan);
    ruler.write(stage);
    return ruler.out.json();
}

JsonMembers rule_facts(const Plan& plan) {
    JsonMembers weights, lists;
    for (std::size_t k = 0; k < plan.projections.size(); ++k) {
        const Projection& p = plan.projections[k];
        const auto role = static_cast<WeightRole>(k);
        if (p.weight.empty()) continue;
        weights.emplace_back(std::to_string(k),
                             json_object({{"weight", pieces_json(plan, role, p.weight, false)},
                                          {"bias", pieces_json(plan, role, p.bias, true)}}));
    }
    lists.emplace_back("offset", json_indices(plan.offsets));
    if (plan.key_lengths) lists.emplace_back("key_length", json_indices(*plan.key_lengths));
    if (!plan.prefix.empty()) lists.emplace_back("prefix", json_indices(plan.prefix));
    if (!plan.token_blocks.empty()) {
        std::vector<Index> from, to;
        for (Index item = 0; item < plan.batch; ++item)
            for (Index i = 0; i < plan.queries; ++i) {
                const TokenBlock own = plan.own_block(item, i + plan.offsets[idx(item)]);
                from.push_back(own.from);
                to.push_back(own.to);
            }
        lists.emplace_back("block_from", json_indices(from));
        lists.emplace_back("block_to", json_indices(to));
    }
    if (plan.position_bias && plan.position_bias->buckets) {
        const Index most = plan.given_keys() - *std::min_element(plan.offsets.begin(), plan.offsets.end());
        std::vector<Index> buckets;
        for (Index d = page_rules::first_distance(plan); d < most; ++d)
            buckets.push_back(bucket_of(d, plan.position_bias->rows, *plan.position_bias->buckets));
        lists.emplace_back("bucket", json_indices(buckets));
    }
    lists.emplace_back("slope", numbers_json(plan.alibi));
    lists.emplace_back("sink", numbers_json(plan.sinks));
    if (plan.query_scale) lists.emplace_back("query_scale", numbers_json(plan.query_scale->numbers));
    if (plan.rope) {
        lists.emplace_back("query_position", numbers_json(plan.rope->query_positions.numbers));
        lists.emplace_back("key_position", numbers_json(plan.rope->key_positions.numbers));
        lists.emplace_back("frequency_factor", numbers_json(plan.rope->frequency_factors));
    }
    return {{"weights", json_object(weights)}, {"lists", json_object(lists)}, {"hides", hides_json(plan)}};
}

}  // namespace attn
