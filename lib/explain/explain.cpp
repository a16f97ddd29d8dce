#include "lib/explain/explain.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "lib/explain/writer.hpp"
#include "lib/gradient/computation.hpp"
#include "lib/option_words.hpp"

namespace attn::explain {
namespace {

/// More lines of one number's history are for `full`.
constexpr std::size_t most_cell_lines = 240;

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

std::vector<Index> counted_from(Index first, Index n) {
    std::vector<Index> out(static_cast<std::size_t>(n));
    std::iota(out.begin(), out.end(), first);
    return out;
}

/// Only this row is computed, but every stage of it.
void show_all(Plan& plan, Index row) {
    for (PlannedStage& s : plan.stages) s.shown = true;
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

/// Every number of these rows is taken over as it is.
bool copies(const Plan& plan, Stage stage) {
    switch (stage) {
        case Stage::queries:
            return !plan.projects(WeightRole::query);
        case Stage::keys:
            return !plan.projects(WeightRole::key);
        case Stage::values:
            return !plan.projects(WeightRole::value);
        case Stage::all_keys:
        case Stage::all_values:
            return !plan.past_latent;
        default:
            return false;
    }
}

class Story {
  public:
    Story(Plan& plan, const Writer& writer, Explanation& out) : plan_(plan), w_(writer), out_(out) {}

    /// The rows of a stage that belong to a query row, each with all its columns.
    void tell(const PlannedStage& stage, Index head, Index row) {
        const Index b = out_.batch, kv = plan_.kv_head_of(head),
                    t = plan_.state ? state_token(plan_, b, row) : 0;
        const bool full = w_.level == Level::full;
        const std::vector<Index> columns = counted_from(0, stage.shape.back());
        const auto own = [&](Index of) { return Cell{stage.stage, b, of, row, 0, 0}; };
        std::vector<RowOf> rows;
        std::string rest;
        switch (stage.family) {
            case StageShape::query_dim:
            case StageShape::query_key:
                for (const Index of : halves_of(head)) rows.push_back(own(of));
                break;
            case StageShape::grouped_queries:
            case StageShape::paired_queries:
            case StageShape::paired_cells:
                rows.push_back(own(plan_.head_in(stage.family, head)));
                break;
            case StageShape::embedded:
            case StageShape::merged_queries:
            case StageShape::merged:
            case StageShape::merged_cells:
                rows.push_back(own(0));
                break;
            case StageShape::per_query: {
                begin(stage);
                const std::vector<Index> one{row};
                add(Cell{stage.stage, b, head, 0, 0, 0}, one, [](const Cell&) {});
                end();
                return;
            }
            case StageShape::per_key:
                if (full) {
                    rows.push_back(Cell{stage.stage, b, kv, 0, 0, 0});
                } else {
                    begin(stage);
                    const std::vector<Index> one{std::max(t, Index{0})};
                    add(Cell{stage.stage, b, kv, 0, 0, 0}, one, [](const Cell&) {});
                    end(alike(plan_.new_keys - 1, "tokens"));
                    return;
                }
                break;
            case StageShape::key_dim:
            case StageShape::grouped_keys:
            case StageShape::all_key_dim:
            case StageShape::paired_keys:
            case StageShape::paired_all_keys:
            case StageShape::shared_keys:
            case StageShape::merged_keys: {
                const bool all = full || copies(plan_, stage.stage);
                const Index n = stage.shape[stage.shape.size() - 2];
                const Index example = example_key(n, row, row_kind(stage.family) == RowKind::all_keys, t);
                std::vector<Index> heads;
                for (const Index half : halves_of(head)) {
                    const Index of = plan_.head_in(stage.family, half);
                    if (heads.empty() || heads.front() != of) heads.push_back(of);
                }
                for (const Index of : heads)
                    for (Index j = 0; j < n; ++j)
                        if (all || j == example) rows.push_back(Cell{stage.stage, b, of, j, 0, 0});
                if (!all && n > 1) rest = alike(n - 1, "keys");
                break;
            }
            case StageShape::state:
                for (Index i = 0; i < plan_.dim; ++i) rows.push_back(Cell{stage.stage, b, kv, i, 0, 0});
                break;
            case StageShape::states:
                for (Index i = 0; i < plan_.dim && t >= 0; ++i)
                    rows.push_back(Cell{stage.stage, b, kv, i, 0, t});
                break;
            // Of gradients alone, which have no steps.
            case StageShape::past_key_dim:
            case StageShape::paired_past_keys:
            case StageShape::merged_past_keys:
            case StageShape::past_taps:
            case StageShape::vector:
            case StageShape::per_head:
            case StageShape::head_vectors:
            case StageShape::matrix_in_out:
            case StageShape::matrix_out_in:
            case StageShape::matrices_in_out:
            case StageShape::matrices_out_in:
            case StageShape::taps:
            case StageShape::bias_cells:
            case StageShape::item_bias_cells:
            case StageShape::bucket_heads:
                break;
        }
        begin(stage);
        constexpr std::size_t most = 8, first = 5, last = 2;
        for (std::size_t k = 0; k < rows.size(); ++k) {
            if (!full && rows.size() > most && k == first) {
                Line gap;
                gap.more = static_cast<Index>(rows.size() - first - last);
                gap.label = std::to_string(gap.more) + " more rows";
                w_.step().lines.push_back(std::move(gap));
                k = rows.size() - last;
            }
            add(rows[k], columns, [](const Cell&) {});
        }
        if (rows.empty()) w_.why("no token has been read yet");
        end(rest);
    }

    /// A step of rows that are asked for one by one: add() between begin() and end().
    void begin(const PlannedStage& stage) {
        step_ = {};
        step_.number = static_cast<Index>(out_.steps.size()) + 1;
        step_.stage = stage.stage;
        step_.name = std::string(stage.name);
        step_.formula = stage.formula;
        w_.begin(step_);
    }
    /// Some numbers of a row; calls f(cell) for every number of a stage that they are made of.
    template <class F>
    void add(const RowOf& row, const std::vector<Index>& columns, F&& f) {
        const std::size_t first = step_.lines.size();
        w_.scope(scope_of(row));
        explain_stage(w_, row, columns);
        heads_.resize(step_.lines.size(), row.head);
        for (std::size_t k = first; k < step_.lines.size(); ++k)
            if (step_.lines[k].expression)
                each_number(*step_.lines[k].expression, [&](const Expr& leaf) {
                    if (leaf.cell) f(*leaf.cell);
                });
    }
    void end(std::string rest = {}) {
        step_.rest = std::move(rest);
        // Lines of several heads say whose they are.
        if (std::any_of(heads_.begin(), heads_.end(), [&](Index h) { return h != heads_.front(); }))
            for (std::size_t k = 0; k < heads_.size(); ++k) {
                Line& line = step_.lines[k];
                line.group =
                    "head " + std::to_string(heads_[k]) + (line.group.empty() ? "" : " " + line.group);
            }
        heads_.clear();
        out_.steps.push_back(std::move(step_));
    }

  private:
    /// The heads of queries that stand behind a head of contexts: one, or its two halves.
    std::vector<Index> halves_of(Index head) const {
        if (!plan_.differential) return {head};
        const Index of = plan_.context_head_of(head), heads = plan_.context_heads();
        return {plan_.differential->half_of(of, false, heads), plan_.differential->half_of(of, true, heads)};
    }

    static std::string alike(Index n, const std::string& what) {
        if (n <= 0) return "";
        const std::string others = n == 1 ? what.substr(0, what.size() - 1) : std::to_string(n) + " " + what;
        return "the other " + others + " alike: " + option::level + " full";
    }

    /// What tells a row from the others that may stand in its step: its head, its key, its token.
    std::string scope_of(const RowOf& row) const {
        const PlannedStage& stage = *plan_.find(row.stage);
        const RowKind kind = row_kind(stage.family);
        std::string key;
        if (stage.family == StageShape::states)
            key = w_.key_label(row.token);
        else if (kind == RowKind::new_keys || kind == RowKind::all_keys ||
                 stage.family == StageShape::embedded)
            key = w_.row_label(row);
        // Of one row, both halves of a head are told.
        if ((!out_.cell && !plan_.differential) || !has_heads(stage.family) || stage.shape[1] == 1)
            return key;
        return "head " + std::to_string(row.head) + (key.empty() ? "" : ", " + key);
    }

    /// The key whose making is shown: the query's own token where keys are made of the same tokens.
    Index example_key(Index n, Index row, bool with_past, Index state_token) const {
        if (plan_.state) return std::clamp(state_token, Index{0}, n - 1);
        const bool same = plan_.key_input == plan_.query_input && !plan_.projected_given;
        return same ? std::min(n - 1, row + (with_past ? plan_.past : 0)) : 0;
    }

    Plan& plan_;
    Writer w_;
    Explanation& out_;
    Step step_;
    std::vector<Index> heads_;  ///< of the lines of the step
};

}  // namespace

void explain_stage(Writer& w, const RowOf& row, Columns columns) {
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
    show_all(plan, row);
    std::vector<Index> tokens;
    if (plan.state) {
        const Index token = state_token(plan, out.batch, row);
        tokens = {token - 1, token, plan.keys - 1};
    }
    // A norm over the width looks at all heads.
    std::optional<Index> kv_head = plan.kv_head_of(request.head);
    if (plan.differential || (plan.query_norm && plan.query_norm->over_width)) kv_head.reset();
    Values values(plan, tokens, kv_head);
    out.warnings = run(plan, values);
    Story story(plan, Writer(plan, values, request.level), out);
    for (const PlannedStage* s : in_order_of_making(plan))
        if (s->stage == Stage::states || !info_of(s->stage).on_request ||
            (s->stage == Stage::head_outputs && request.level == Level::full))
            story.tell(*s, request.head, row);
    return out;
}

Explanation explain_cell(Plan& plan, const Cell& cell, const Request& request) {
    const StageShape family = plan.find(cell.stage)->family;
    Explanation out;
    out.plan = &plan;
    out.batch = cell.batch;
    out.head = cell.head;
    out.row = row_kind(family) == RowKind::queries ? cell.row
              : family == StageShape::per_query    ? cell.column
                                                   : 0;
    out.cell = cell;
    out.cell_place = cell_name(plan, cell);
    show_all(plan, out.row);
    std::vector<Index> tokens;
    if (plan.state) tokens = counted_from(0, plan.keys);
    Values values(plan, tokens);
    out.warnings = run(plan, values);
    Story story(plan, Writer(plan, values, request.level), out);

    // What a row is made of has a lower place, or is an earlier token: a row is told once, with all its
    // columns.
    const std::vector<const PlannedStage*> order = in_order_of_making(plan);
    const auto place = [&](const Cell& c) {
        const auto found = std::find_if(order.begin(), order.end(),
                                        [&](const PlannedStage* s) { return s->stage == c.stage; });
        return std::tuple{order.end() - found, -c.token, c.head, c.row};
    };
    struct Wanted {
        RowOf row;
        std::set<Index> columns;
    };
    std::map<std::tuple<std::ptrdiff_t, Index, Index, Index>, Wanted> wanted;
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
        const Stage stage = wanted.begin()->second.row.stage;
        if (!enough) story.begin(*plan.find(stage));
        while (!wanted.empty() && wanted.begin()->second.row.stage == stage) {
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
