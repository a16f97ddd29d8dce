#include "lib/explain/explain.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "lib/explain/gradients.hpp"
#include "lib/explain/story.hpp"
#include "lib/explain/writer.hpp"
#include "lib/gradient/computation.hpp"
#include "lib/option_words.hpp"

namespace attn::explain {
namespace {

/// More lines of one number's history are for `full`.
constexpr std::size_t most_cell_lines = 240;
/// Of a run with gradients all numbers are held, some 10 bytes each: a gradient is a sum over all of them.
constexpr double most_held = 50e6;

/// Stages in the order in which their numbers come about: the latent goes before the keys that are made of
/// it, states go before the context that reads them.
std::vector<const PlannedStage*> in_order_of_making(const Plan& plan) {
    std::vector<const PlannedStage*> out;
    for (const PlannedStage& s : plan.stages) {
        const auto made_for = [&](Stage reader) -> std::vector<Stage> {
            if (reader == Stage::queries) return {Stage::query_latent, Stage::normed_query_latent};
            if (reader == Stage::keys) return {Stage::latent, Stage::normed_latent};
            if (reader == Stage::context) return {Stage::states};
            return {};
        };
        const auto is_of = [&](Stage reader) {
            const std::vector<Stage> list = made_for(reader);
            return std::find(list.begin(), list.end(), s.stage) != list.end();
        };
        if (is_of(Stage::queries) || is_of(Stage::keys) || is_of(Stage::context)) continue;
        for (const Stage before : made_for(s.stage))
            if (const PlannedStage* moved = plan.find(before)) out.push_back(moved);
        out.push_back(&s);
    }
    return out;
}

/// Gradients against that order, then those of inputs and of parameters.
std::vector<StageId> gradients_in_order(const Plan& plan) {
    std::vector<StageId> out;
    std::vector<const PlannedStage*> forward = in_order_of_making(plan);
    // The last state gets what the contexts that read it send back.
    const auto place = [&](Stage s) { return std::find(forward.begin(), forward.end(), plan.find(s)); };
    if (plan.state) std::iter_swap(place(Stage::context), place(Stage::state));
    for (auto s = forward.rbegin(); s != forward.rend(); ++s)
        if (const PlannedStage* d = plan.find_gradient((*s)->stage))
            out.push_back({d->stage, static_cast<Index>(d - plan.gradients.data())});
    for (std::size_t k = 0; k < plan.gradients.size(); ++k)
        if (plan.gradients[k].of != StageOf::gradient)
            out.push_back({plan.gradients[k].stage, static_cast<Index>(k)});
    return out;
}

/// Everything, for gradients: they are sums over rows, heads and batch items.
void show_whole(Plan& plan) {
    double numbers = 0;
    for (std::vector<PlannedStage>* list : {&plan.stages, &plan.gradients})
        for (PlannedStage& s : *list) {
            s.shown = true;
            numbers += static_cast<double>(element_count(s.shape).value_or(Index{1} << 60));
        }
    if (numbers > most_held)
        fail("/gradient",
             "makes a run of " + std::to_string(static_cast<Index>(numbers)) +
                 " numbers, and an explanation of gradients holds all of them: at most " +
                 std::to_string(static_cast<Index>(most_held)),
             "without \"gradient\" the forward pass is explained");
    // The path stays as it was chosen: it decides the last bits.
    const Schedule all = whole(plan);
    plan.batch_shown = all.batch_shown;
    plan.heads_shown = all.heads_shown;
    plan.queries_shown = all.queries_shown;
    plan.embeddings_shown = all.embeddings_shown;
    plan.keys_shown = all.keys_shown;
    plan.kv_heads_shown = all.kv_heads_shown;
    plan.value_heads_shown = all.value_heads_shown;
    plan.context_heads_shown = all.context_heads_shown;
    plan.grouped_heads_shown = all.grouped_heads_shown;
    plan.new_keys_shown = all.new_keys_shown;
    plan.past_keys_shown = all.past_keys_shown;
}

/// Only this row is computed, but every stage of it.
void show_all(Plan& plan, Index row) {
    for (PlannedStage& s : plan.stages) s.shown = true;
    for (PlannedStage& s : plan.gradients) s.shown = false;
    plan.queries_shown.asked = true;
    plan.queries_shown.indices.clear();
    // A convolution reads the tokens before, too.
    for (Index i = plan.conv ? std::max(Index{0}, row + 1 - plan.conv->taps) : row; i <= row; ++i)
        plan.queries_shown.indices.push_back(i);
    plan.queries_shown.all = static_cast<Index>(plan.queries_shown.indices.size()) == plan.queries;
    // Keys are made of all tokens.
    plan.embeddings_shown.indices = counted_from(0, plan.queries);
    plan.embeddings_shown.all = true;
}

}  // namespace

void explain_stage(Writer& w, const RowOf& row, Columns columns) {
    if (row.gradient >= 0) return explain_gradient(w, row, columns);
    switch (row.stage) {
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
            return explain_projection(w, row, columns);
        case Stage::query_latent:
        case Stage::latent:
            return explain_latent(w, row, columns);
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return explain_convolved(w, row, columns);
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
        case Stage::normed_context:
        case Stage::normed_concat:
            return explain_norm(w, row, columns);
        case Stage::rope_keys:
            return explain_rope_keys(w, row, columns);
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            return explain_rotation(w, row, columns);
        case Stage::tempered_queries:
            return explain_tempered(w, row, columns);
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return explain_feature_map(w, row, columns);
        case Stage::decay:
        case Stage::beta:
            return explain_per_key(w, row, columns);
        case Stage::all_keys:
        case Stage::all_values:
            return explain_joined(w, row, columns);
        case Stage::scores:
        case Stage::scaled_scores:
        case Stage::capped_scores:
        case Stage::biased_scores:
        case Stage::masked_scores:
            return explain_scores(w, row, columns);
        case Stage::weights:
            return explain_weights(w, row, columns);
        case Stage::masked_weights:
            return explain_masked_weights(w, row, columns);
        case Stage::renormalized_weights:
            return explain_renormalized(w, row, columns);
        case Stage::dropped_weights:
            return explain_dropped(w, row, columns);
        case Stage::differential_weights:
            return explain_differential(w, row, columns);
        case Stage::context:
            return explain_context(w, row, columns);
        case Stage::state:
            return explain_state(w, row, columns);
        case Stage::states:
            return explain_states(w, row, columns);
        case Stage::gated_context:
            return explain_gated(w, row, columns);
        case Stage::concat:
            return explain_concat(w, row, columns);
        case Stage::head_outputs:
            return explain_head_outputs(w, row, columns);
        case Stage::output:
            return explain_output(w, row, columns);
        case Stage::lse:
            return explain_lse(w, row, columns);
        case Stage::mean_weights:
            return explain_mean_weights(w, row, columns);
    }
}

Explanation explain_row(Plan& plan, Index row, const Request& request) {
    Explanation out;
    out.plan = &plan;
    out.batch = plan.batch_shown.indices.front();
    out.head = request.head;
    out.row = row;
    const bool backwards = !plan.gradients.empty();
    if (backwards)
        show_whole(plan);
    else
        show_all(plan, row);
    std::vector<Index> tokens;
    if (plan.state && backwards) {
        tokens = counted_from(0, plan.keys);
    } else if (plan.state) {
        const Index token = state_token(plan, out.batch, row);
        tokens = {token - 1, token, plan.keys - 1};
    }
    // A norm over the width looks at all heads.
    std::optional<Index> kv_head = plan.kv_head_of(request.head);
    if (backwards || plan.differential || (plan.query_norm && plan.query_norm->over_width)) kv_head.reset();
    Values values(plan, tokens, kv_head);
    out.warnings = run(plan, values);
    Story story(plan, Writer(plan, values, request.level), out);
    for (const PlannedStage* s : in_order_of_making(plan))
        if (s->stage == Stage::states || !info_of(s->stage).on_request ||
            (s->stage == Stage::head_outputs && request.level == Level::full))
            story.tell({s->stage}, request.head, row);
    for (const StageId& id : gradients_in_order(plan))
        if (id.stage == Stage::states || !planned(plan, id).on_request) story.tell(id, request.head, row);
    return out;
}

Explanation explain_cell(Plan& plan, const Cell& cell, const Request& request) {
    const StageShape family = planned(plan, cell.id()).family;
    Explanation out;
    out.plan = &plan;
    out.batch = cell.batch;
    out.head = cell.head;
    out.row = row_kind(family) == RowKind::queries ? cell.row
              : family == StageShape::per_query    ? cell.column
                                                   : 0;
    out.cell = cell;
    out.cell_place = cell_name(plan, cell);
    if (cell.gradient >= 0)
        show_whole(plan);
    else
        show_all(plan, out.row);
    std::vector<Index> tokens;
    if (plan.state) tokens = counted_from(0, plan.keys);
    Values values(plan, tokens);
    out.warnings = run(plan, values);
    Story story(plan, Writer(plan, values, request.level), out);

    // What a row is made of has a lower place, or is an earlier token, of a gradient a later one: a row is
    // told once, with all its columns.
    std::vector<StageId> order;
    for (const PlannedStage* s : in_order_of_making(plan)) order.push_back({s->stage});
    for (const StageId& id : gradients_in_order(plan)) order.push_back(id);
    const auto place = [&](const Cell& c) {
        const auto found = std::find(order.begin(), order.end(), c.id());
        return std::tuple{order.end() - found, c.gradient < 0 ? -c.token : c.token, c.batch, c.head, c.row};
    };
    struct Wanted {
        RowOf row;
        std::set<Index> columns;
    };
    std::map<std::tuple<std::ptrdiff_t, Index, Index, Index, Index>, Wanted> wanted;
    const auto want = [&](const Cell& c) {
        Wanted& w = wanted[place(c)];
        w.row = c;
        w.row.column = 0;
        w.columns.insert(c.column);
    };
    want(cell);
    std::size_t lines = 0;
    while (!wanted.empty()) {
        const bool enough = request.level != Level::full && lines > most_cell_lines;
        const StageId stage = wanted.begin()->second.row.id();
        if (!enough) story.begin(stage);
        while (!wanted.empty() && wanted.begin()->second.row.id() == stage) {
            const Wanted next = std::move(wanted.begin()->second);
            wanted.erase(wanted.begin());
            if (enough)
                out.unexplained += static_cast<Index>(next.columns.size());
            else
                story.add(next.row, {next.columns.begin(), next.columns.end()}, want);
        }
        if (enough) continue;
        story.end();
        lines += out.steps.back().lines.size();
    }
    return out;
}

}  // namespace attn::explain
