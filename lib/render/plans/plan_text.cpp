#include "lib/render/plans/plan_text.hpp"

#include <algorithm>
#include <array>

#include "lib/input/choices.hpp"
#include "lib/plan/half.hpp"
#include "lib/plan/inputs.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// "W_query, W_key, W_value read as [d_in, d_out], x · W": weights of one layout together.
std::vector<std::string> weight_parts(const Plan& plan) {
    std::vector<std::string> parts;
    if (plan.init) {
        const bool bias = !plan.projection(WeightRole::query).bias.empty();
        parts.push_back("weights drawn: " + std::string(choice_name(plan.init->kind)) +
                        (plan.init->doubles ? ", float64, " : ", ") +
                        seed_words(plan, plan.init->shared, plan.init->seed) +
                        (bias ? ", with bias" : ", no bias"));
        if (plan.has_output) parts.emplace_back("output projection");
        return parts;
    }
    if (!plan.weights_from.empty()) parts.push_back(visible(plan.weights_from));
    std::vector<std::string> layouts;
    for (const WeightNote& n : plan.weight_notes)
        if (n.layout != "[d_out]" && std::find(layouts.begin(), layouts.end(), n.layout) == layouts.end())
            layouts.push_back(n.layout);
    for (const std::string& layout : layouts) {
        std::vector<std::string> names;
        for (const WeightNote& n : plan.weight_notes)
            if (n.layout == layout && std::find(names.begin(), names.end(), n.name) == names.end())
                names.push_back(n.name);
        std::string list;
        for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
        parts.push_back(list + ": " + layout);
    }
    return parts;
}

/// "set: causal=true": what the command line has put into the document.
std::vector<std::string> override_parts(const Plan& plan) {
    std::vector<std::string> parts;
    for (const std::string& one : plan.overrides)
        parts.push_back((parts.empty() ? "set: " : "") + attn::clip(visible(one), 80));
    return parts;
}

std::string rope_part(const PlannedRope& rope) {
    std::string out = "rope: " + how_many(rope.dims, "column", "columns") + ", pairs " +
                      (rope.interleaved ? "interleaved" : "half");
    if (rope.cos) {
        out += std::string(", given cos and sin") + (rope.by_column ? " of each column" : "");
    } else {
        out += ", base " + short_number(rope.base);
        if (rope.scaling != RopeScalingType::none)
            out += ", scaled: " + std::string(choice_name(rope.scaling));
        if (!rope.factor_not_read.empty()) out += " (factor not read: " + rope.factor_not_read + ")";
        if (rope.amplitude != 1) out += ", cos and sin times " + short_number(rope.amplitude);
        if (rope.query_positions.items > 1 || rope.key_positions.items > 1)
            out += ", positions by batch item";
    }
    return out + (rope.reverse ? ", turned back" : "");
}

/// The type, and where a plan of half precision rounds.
std::vector<std::string> dtype_parts(const Plan& plan) {
    std::vector<std::string> out{name_of(plan.dtype)};
    if (!plan.rounding.changes()) return out;
    out.front() += ": sums in float32, each stage rounded";
    for (const std::string_view step : rounded_steps(plan))
        out.push_back((out.size() == 1 ? "rounded as well: " : "") + std::string(step));
    return out;
}

std::vector<std::string> main_parts(const Plan& plan) {
    std::vector<std::string> parts{std::string(plan.variant->title)};
    const bool same = plan.key_input == plan.query_input && !plan.projected_given;
    if (plan.batch > 1) parts.push_back(how_many(plan.batch, "batch item", "batch items"));
    parts.push_back(same ? how_many(plan.queries, "token", "tokens")
                         : how_many(plan.queries, "query", "queries") + ", " +
                               how_many(plan.keys, "key", "keys"));
    parts.push_back(
        how_many(plan.heads, plan.differential ? "half head" : "head",
                 plan.differential ? "half heads" : "heads") +
        " of " + std::to_string(plan.query_dim) +
        (plan.value_dim != plan.query_dim ? " (values of " + std::to_string(plan.value_dim) + ")" : ""));
    if (plan.head_group > 1)
        parts.push_back("reading " + how_many(plan.query_heads(), "head of queries and keys",
                                              "heads of queries and keys"));
    if (plan.kv_heads != plan.heads)
        parts.push_back("on " +
                        how_many(plan.kv_heads, "head of keys and values", "heads of keys and values") +
                        (plan.kv_interleaved ? "" : ", tiled"));
    if (plan.past > 0) parts.push_back(how_many(plan.past, "cached key", "cached keys"));
    if (plan.bias_k) parts.emplace_back("bias_k and bias_v appended");
    if (plan.zero_key) parts.emplace_back("a key of zeros appended");
    if (plan.embeddings_norm)
        parts.push_back(std::string(choice_name(plan.embeddings_norm->type)) + " norm of embeddings" +
                        (plan.norms_key_embeddings ? " and key_embeddings" : ""));
    if (plan.clip)
        parts.push_back(std::string(plan.clip->after_norm ? "normed " : "") +
                        "queries, keys and values clamped to ±" + short_number(plan.clip->max));
    if (plan.query_norm) {
        parts.push_back(std::string(choice_name(plan.query_norm->type)) + " norm of queries and keys over " +
                        (plan.query_norm->over_width ? "the width" : "each head") +
                        (plan.norm_after_rope ? ", after the rope" : ""));
    }
    if (plan.value_norm) parts.emplace_back("rms norm of values");
    if (plan.latent_norm || plan.query_latent_norm)
        parts.emplace_back(!plan.query_latent_norm ? "rms norm of the latent"
                           : !plan.latent_norm     ? "rms norm of the queries' latent"
                                                   : "rms norms of both latents");
    if (plan.rope) parts.push_back(rope_part(*plan.rope));
    if (plan.query_scale) parts.emplace_back("a factor for each query");
    parts.push_back(plan.scaled ? "scale " + plan.scale_text : "no scale");
    if (plan.conv)
        parts.push_back("convolved over " + how_many(plan.conv->taps, "token", "tokens") +
                        (plan.conv->silu ? ", then silu" : "") +
                        (plan.conv->past ? ", after past_conv" : ""));
    if (plan.state) {
        if (plan.state->feature_map)
            parts.push_back("feature map " + std::string(choice_words(*plan.state->feature_map)) +
                            (plan.state->map_values ? ", of values too" : ""));
        if (plan.state->beta_factor != 1)
            parts.push_back("beta times " + short_number(plan.state->beta_factor));
        if (plan.state->normalizer) parts.emplace_back("normalised");
        parts.emplace_back(plan.causal ? "each query reads the state after its token"
                                       : "each query reads the last state");
        parts.emplace_back(plan.state->past ? "begins with past_state" : "begins with zeros");
    }
    if (plan.softcap) parts.push_back("softcap " + short_number(*plan.softcap));
    if (!plan.alibi.empty()) parts.emplace_back("ALiBi");
    if (plan.position_bias && plan.position_bias->buckets) {
        const Buckets& rule = *plan.position_bias->buckets;
        parts.push_back("position bias from " + std::to_string(plan.position_bias->rows) +
                        " buckets of distance to " + std::to_string(rule.max_distance) +
                        (rule.bidirectional ? ", both directions" : ", back only"));
    } else if (plan.position_bias) {
        parts.emplace_back("position bias");
    }
    if (!plan.sinks.empty()) parts.emplace_back("a sink per head");
    if (const auto& pairs = plan.differential)
        parts.push_back(
            "weights of half heads " + std::string(choice_words(pairs->pairing)) +
            " subtracted with lambda " +
            (pairs->lambda ? short_number(*pairs->lambda)
                           : "from its vectors and " + short_number(pairs->init)) +
            ", contexts normed" +
            (plan.context_norm->factor == 1 ? "" : " times " + short_number(plan.context_norm->factor)));
    if (plan.gate)
        parts.push_back(std::string(!plan.context_norm || plan.differential ? ""
                                    : plan.context_norm->over_width         ? "heads normed together and "
                                                                            : "normed and ") +
                        "gated by " + std::string(choice_words(plan.gate->activation)) +
                        (plan.gate_by_head ? ", a number for each head" : "") +
                        (plan.gate->from_queries ? ", from W_query" : ""));
    if (plan.concat_norm)
        parts.push_back(std::string(choice_name(plan.concat_norm->type)) + " norm of the joined heads");
    if (!plan.state)
        for (const std::string& w : plan.mask_words) parts.push_back(w);
    if (plan.masked && plan.mask_at == MaskAt::scores) parts.emplace_back("masked before the scale");
    if (plan.masked && plan.mask_at == MaskAt::weights)
        parts.emplace_back("masked after the softmax, renormalised");
    if (plan.normalize == Normalize::sigmoid) parts.emplace_back("a sigmoid of each score");
    if (plan.normalize == Normalize::sum) parts.emplace_back("divided by the row sum");
    if (plan.empty_rows == EmptyRows::nan) parts.emplace_back("empty rows become NaN");
    if (plan.empty_rows == EmptyRows::uniform) parts.emplace_back("empty rows become uniform");
    if (plan.dropout) {
        const auto& d = *plan.dropout;
        parts.push_back("dropout " + short_number(d.p) +
                        (d.kind == DropoutKind::given ? std::string(" by a given mask")
                                                      : ", " + seed_words(plan, d.shared, d.seed) + ", " +
                                                            std::string(choice_name(d.kind))));
    }
    if (const auto& g = plan.gradient) {
        std::string part = "backwards";
        if (g->loss != Loss::none) part += " from " + std::string(choice_words(g->loss));
        if (g->output) part += ", a gradient given at " + std::string(info_of(g->result).name);
        if (g->context) part += ", a gradient given at context";
        if (g->state) part += ", a gradient given at state";
        parts.push_back(part);
        if (const auto hidden = hidden_by_gradient(plan)) parts.push_back(*hidden);
    }
    for (std::string& part : dtype_parts(plan)) parts.push_back(std::move(part));
    return parts;
}

}  // namespace

std::string short_number(double v) { return significant(v, 9); }

std::string said(const std::string& text, const RenderOptions& options) {
    return options.ascii ? in_ascii(text) : text;
}

std::string label_of(const std::string& token, int most, const RenderOptions& options) {
    // Escapes first, then the cut: an escaped character is six columns or more.
    return said(clip(said(visible(token), options), options.ascii ? most - 2 : most), options);
}

std::string joined_lines(const std::vector<std::string>& parts, int width, int indent,
                         const RenderOptions& options) {
    std::string out, start, line;
    const auto end_line = [&](const std::string& text) {
        out += start + text + "\n";
        start.assign(static_cast<std::size_t>(indent), ' ');
    };
    const auto room = [&] { return width - static_cast<int>(start.size()); };
    for (const std::string& p : parts) {
        const std::string part = said(p, options);
        std::string more = line.empty() ? part : line + said(" · ", options) + part;
        if (!line.empty() && display_width(more) > room()) {
            end_line(line);
            more = part;
        }
        line = std::move(more);
        if (display_width(line) <= room()) continue;
        // A part that is too long by itself is broken between words.
        std::vector<std::string> lines = lines_of_words(line, width - indent, room());
        line = std::move(lines.back());
        lines.pop_back();
        for (const std::string& l : lines) end_line(l);
    }
    return out + start + line + "\n";
}

std::string plan_lines(const Plan& plan, const RenderOptions& options) {
    std::string out = joined_lines(main_parts(plan), options.width, 2, options);
    if (!plan.inferred_because.empty())
        out += joined_lines(
            {"variant " + std::string(plan.variant->name) + ", inferred: " + plan.inferred_because},
            options.width, 2, options);
    if (const auto parts = override_parts(plan); !parts.empty())
        out += joined_lines(parts, options.width, 2, options);
    if (const auto parts = weight_parts(plan); !parts.empty())
        out += joined_lines(parts, options.width, 2, options);
    return out;
}

std::string document_heading(const RenderOptions& options) {
    return said("=== " + visible(options.source_name) +
                    (options.document ? ", document " + std::to_string(*options.document) : ""),
                options);
}

std::string named_shape(const PlannedStage& stage, const Shape& shape) {
    std::string out;
    const auto axes = axes_of(stage.family);
    for (std::size_t k = 0; k < axes.size(); ++k) {
        if (shape[k] == 1) continue;
        out += (out.empty() ? "" : ", ") + std::string(name_of(axes[k])) + " " + std::to_string(shape[k]);
    }
    return out.empty() ? "[one number]" : "[" + out + "]";
}

std::string apart(const std::string& left, const std::string& right, int width) {
    const int room = width - display_width(right);
    if (display_width(left) + 2 <= room) return pad_right(left, room) + right;
    std::string lines = joined_lines({left}, width, 2, {});
    if (room >= 0) return lines + pad_left(right, width);
    lines += joined_lines({right}, width, 0, {});
    lines.pop_back();
    return lines;
}

}  // namespace attn
