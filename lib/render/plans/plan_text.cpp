#include "lib/render/plans/plan_text.hpp"

#include <algorithm>
#include <array>

#include "lib/input/choices.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::string counted(Index n, const std::string& one, const std::string& many) {
    return std::to_string(n) + " " + (n == 1 ? one : many);
}

/// "W_query, W_key, W_value read as [d_in, d_out], x · W": weights of one layout together.
std::vector<std::string> weight_parts(const Plan& plan) {
    std::vector<std::string> parts;
    if (plan.init) {
        const bool bias = !plan.projection(WeightRole::query).bias.empty();
        parts.push_back("weights drawn: " + std::string(choice_name(plan.init->kind)) + ", seed " +
                        std::to_string(plan.init->seed) + (bias ? ", with bias" : ", no bias"));
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

std::vector<std::string> main_parts(const Plan& plan) {
    std::vector<std::string> parts{std::string(plan.variant->title)};
    const bool same = plan.key_input == plan.query_input && !plan.projected_given;
    if (plan.batch > 1) parts.push_back(counted(plan.batch, "batch item", "batch items"));
    parts.push_back(same ? counted(plan.queries, "token", "tokens")
                         : counted(plan.queries, "query", "queries") + ", " +
                               counted(plan.keys, "key", "keys"));
    parts.push_back(
        counted(plan.heads, "head", "heads") + " of " + std::to_string(plan.query_dim) +
        (plan.value_dim != plan.query_dim ? " (values of " + std::to_string(plan.value_dim) + ")" : ""));
    if (plan.kv_heads != plan.heads)
        parts.push_back("on " +
                        counted(plan.kv_heads, "head of keys and values", "heads of keys and values") +
                        (plan.kv_interleaved ? "" : ", tiled"));
    if (plan.past > 0) parts.push_back(counted(plan.past, "cached key", "cached keys"));
    if (plan.bias_k) parts.emplace_back("bias_k and bias_v appended");
    if (plan.zero_key) parts.emplace_back("a key of zeros appended");
    if (plan.qk_norm) {
        parts.push_back(std::string(choice_name(plan.qk_norm->type)) + " norm of queries and keys over " +
                        (plan.qk_norm->over_width ? "the width" : "each head"));
    }
    if (plan.rope)
        parts.push_back("rope: " + counted(plan.rope->dims, "column", "columns") + ", pairs " +
                        (plan.rope->interleaved ? "interleaved" : "half") +
                        (plan.rope->cos ? ", given cos and sin" : ", base " + short_number(plan.rope->base)));
    parts.push_back(plan.scaled ? "scale " + plan.scale_text : "no scale");
    if (plan.state) {
        if (plan.state->feature_map)
            parts.push_back("feature map " + std::string(choice_words(*plan.state->feature_map)));
        if (plan.state->normalizer) parts.emplace_back("normalised");
        parts.emplace_back(plan.causal ? "each query reads the state after its token"
                                       : "each query reads the last state");
        parts.emplace_back(plan.state->past ? "begins with past_state" : "begins with zeros");
    }
    if (plan.softcap) parts.push_back("softcap " + short_number(*plan.softcap));
    if (!plan.alibi.empty()) parts.emplace_back("ALiBi");
    if (plan.position_bias) parts.emplace_back("position bias");
    if (!plan.sinks.empty()) parts.emplace_back("a sink per head");
    if (plan.gate)
        parts.push_back(std::string(plan.gate->norm ? "normed and " : "") + "gated by " +
                        (plan.gate->silu ? "silu" : "a sigmoid") +
                        (plan.gate->from_queries ? ", from W_query" : ""));
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
                        (d.kind == DropoutKind::given
                             ? std::string(" by a given mask")
                             : ", seed " + std::to_string(d.seed) + ", " + std::string(choice_name(d.kind))));
    }
    parts.emplace_back(name_of(plan.dtype));
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
