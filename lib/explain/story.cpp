#include "lib/explain/story.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "lib/option_words.hpp"

namespace attn::explain {
namespace {

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

std::string alike(Index n, const std::string& what) {
    if (n <= 0) return "";
    const std::string others = n == 1 ? what.substr(0, what.size() - 1) : std::to_string(n) + " " + what;
    return "the other " + others + " alike: " + option::level + " full";
}

}  // namespace

std::vector<Index> counted_from(Index first, Index n) {
    std::vector<Index> out(static_cast<std::size_t>(n));
    std::iota(out.begin(), out.end(), first);
    return out;
}

void Story::tell(StageId id, Index head, Index row) {
    const PlannedStage& stage = planned(plan_, id);
    std::string rest;
    const std::vector<RowOf> rows = rows_of(id, head, row, rest);
    // Of numbers of tokens, or of queries, the one of this row.
    const bool one =
        stage.family == StageShape::per_query || (stage.family == StageShape::per_key && !in_full());
    const std::vector<Index> columns =
        one ? std::vector{stage.family == StageShape::per_query ? row : std::max(token_of(row), Index{0})}
            : counted_from(0, stage.shape.back());
    begin(id);
    constexpr std::size_t most = 8, first = 5, last = 2;
    for (std::size_t k = 0; k < rows.size(); ++k) {
        if (!in_full() && rows.size() > most && k == first) {
            Line gap;
            gap.more = static_cast<Index>(rows.size() - first - last);
            gap.label = std::to_string(gap.more) + " more rows";
            w_.step().lines.push_back(std::move(gap));
            k = rows.size() - last;
        }
        add(rows[k], columns, [](const Cell&) {});
    }
    if (rows.empty()) w_.why("no token has been read yet");
    end(std::move(rest));
}

std::vector<RowOf> Story::rows_of(StageId id, Index head, Index row, std::string& rest) const {
    const PlannedStage& stage = planned(plan_, id);
    const Index kv = plan_.kv_head_of(head), t = token_of(row);
    const auto cell = [&](Index of, Index at, Index token = 0) {
        return Cell{id.stage, out_.batch, of, at, 0, token, id.gradient};
    };
    std::vector<RowOf> rows;
    switch (stage.family) {
        case StageShape::query_dim:
        case StageShape::query_key:
            for (const Index of : halves_of(head)) rows.push_back(cell(of, row));
            break;
        case StageShape::grouped_queries:
        case StageShape::paired_queries:
        case StageShape::paired_cells:
            rows.push_back(cell(plan_.head_in(stage.family, head), row));
            break;
        case StageShape::embedded:
        case StageShape::merged_queries:
        case StageShape::merged:
        case StageShape::merged_cells:
            rows.push_back(cell(0, row));
            break;
        case StageShape::per_query:
            rows.push_back(cell(head, 0));
            break;
        case StageShape::per_key:
            rows.push_back(cell(kv, 0));
            if (!in_full()) rest = alike(plan_.new_keys - 1, "tokens");
            break;
        case StageShape::key_dim:
        case StageShape::grouped_keys:
        case StageShape::all_key_dim:
        case StageShape::paired_keys:
        case StageShape::paired_all_keys:
        case StageShape::shared_keys:
        case StageShape::merged_keys:
        case StageShape::past_key_dim:
        case StageShape::paired_past_keys:
        case StageShape::merged_past_keys:
            return rows_of_keys(id, head, row, rest);
        case StageShape::state:
            for (Index i = 0; i < plan_.dim; ++i) rows.push_back(cell(kv, i));
            break;
        case StageShape::states:
            for (Index i = 0; i < plan_.dim && t >= 0; ++i) rows.push_back(cell(kv, i, t));
            break;
        // Of gradients alone: no row of them belongs to a query.
        case StageShape::past_taps:
        case StageShape::vector:
        case StageShape::per_head:
        case StageShape::head_vectors:
        case StageShape::matrix_in_out:
        case StageShape::matrix_out_in:
        case StageShape::matrices_in_out:
        case StageShape::matrices_out_in:
        case StageShape::split_kernel:
        case StageShape::taps:
        case StageShape::bias_cells:
        case StageShape::item_bias_cells:
        case StageShape::bucket_heads:
            rows = rows_of_parameter(id);
            if (!in_full()) {
                rest = alike(static_cast<Index>(rows.size()) - 1, "rows");
                rows.resize(std::min(rows.size(), std::size_t{1}));
            }
            break;
    }
    return rows;
}

std::vector<RowOf> Story::rows_of_keys(StageId id, Index head, Index row, std::string& rest) const {
    const PlannedStage& stage = planned(plan_, id);
    const bool all = in_full() || (id.gradient < 0 && copies(plan_, stage.stage));
    const Index n = stage.shape[stage.shape.size() - 2];
    const Index example = example_key(n, row, row_kind(stage.family) == RowKind::all_keys, token_of(row));
    std::vector<Index> heads;
    for (const Index half : halves_of(head)) {
        const Index of = plan_.head_in(stage.family, half);
        if (heads.empty() || heads.front() != of) heads.push_back(of);
    }
    std::vector<RowOf> rows;
    for (const Index of : heads)
        for (Index j = 0; j < n; ++j)
            if (all || j == example) rows.push_back({id.stage, out_.batch, of, j, 0, 0, id.gradient});
    if (!all && n > 1) rest = alike(n - 1, "keys");
    return rows;
}

/// Every row of a parameter, or of what came before the first token.
std::vector<RowOf> Story::rows_of_parameter(StageId id) const {
    const PlannedStage& stage = planned(plan_, id);
    const Shape& s = stage.shape;
    const bool items = has_batch(stage.family);
    const Index rows = has_one_row(stage.family) ? 1 : s[s.size() - 2];
    const Index heads = has_heads(stage.family) ? s[items ? 1 : 0] : 1;
    std::vector<RowOf> out;
    for (Index h = 0; h < heads; ++h)
        for (Index k = 0; k < rows; ++k)
            out.push_back({id.stage, items ? out_.batch : 0, h, k, 0, 0, id.gradient});
    return out;
}

void Story::begin(StageId id) {
    const PlannedStage& stage = planned(plan_, id);
    step_ = {};
    step_.number = static_cast<Index>(out_.steps.size()) + 1;
    step_.stage = id.stage;
    step_.gradient = id.gradient;
    step_.name = std::string(stage.name);
    step_.formula = stage.formula;
    w_.begin(step_);
}

void Story::add(const RowOf& row, const std::vector<Index>& columns, const Found& f) {
    const std::size_t first = step_.lines.size();
    w_.scope(scope_of(row));
    explain_stage(w_, row, columns);
    // Rows of several queries have a part in a gradient.
    if (of_gradient() && row_kind(planned(plan_, row.id()).family) == RowKind::queries)
        for (std::size_t k = first; k < step_.lines.size(); ++k)
            if (step_.lines[k].group.empty() && row.id() != StageId{Stage::scores})
                step_.lines[k].group = w_.query_label(row.row);
    heads_.resize(step_.lines.size(), row.head);
    items_.resize(step_.lines.size(), row.batch);
    for (std::size_t k = first; k < step_.lines.size(); ++k)
        if (step_.lines[k].expression)
            each_number(*step_.lines[k].expression, [&](const Expr& leaf) {
                if (leaf.cell) f(*leaf.cell);
            });
}

void Story::end(std::string rest) {
    step_.rest = std::move(rest);
    // Lines of several heads, or batch items, say whose they are.
    const auto say = [&](std::vector<Index>& whose, const std::string& what) {
        if (std::any_of(whose.begin(), whose.end(), [&](Index h) { return h != whose.front(); }))
            for (std::size_t k = 0; k < whose.size(); ++k) {
                Line& line = step_.lines[k];
                line.group =
                    what + " " + std::to_string(whose[k]) + (line.group.empty() ? "" : " " + line.group);
            }
        whose.clear();
    };
    say(heads_, "head");
    say(items_, "item");
    out_.steps.push_back(std::move(step_));
}

/// The heads of queries that stand behind a head of contexts: one, or its two halves.
std::vector<Index> Story::halves_of(Index head) const {
    if (!plan_.differential) return {head};
    const Index of = plan_.context_head_of(head), heads = plan_.context_heads();
    return {plan_.differential->half_of(of, false, heads), plan_.differential->half_of(of, true, heads)};
}

/// What tells a row from the others that may stand in its step: its head, its key, its token.
std::string Story::scope_of(const RowOf& row) const {
    const PlannedStage& stage = planned(plan_, row.id());
    if (is_of_parameter(stage.family)) return {};
    const RowKind kind = row_kind(stage.family);
    std::string key;
    const std::string item = of_gradient() && plan_.batch > 1 ? "item " + std::to_string(row.batch) : "";
    const auto named = [&](const std::string& what) {
        return item + (item.empty() || what.empty() ? "" : ", ") + what;
    };
    if (stage.family == StageShape::states)
        key = w_.key_label(row.token);
    else if (kind == RowKind::new_keys || kind == RowKind::all_keys || kind == RowKind::past_keys ||
             stage.family == StageShape::embedded || (of_gradient() && kind == RowKind::queries))
        key = w_.row_label(row);
    // Of one row, both halves of a head are told.
    if ((!out_.cell && !plan_.differential) || !has_heads(stage.family) || stage.shape[1] == 1)
        return named(key);
    return named("head " + std::to_string(row.head) + (key.empty() ? "" : ", " + key));
}

/// The key whose making is shown: the query's own token where keys are made of the same tokens.
Index Story::example_key(Index n, Index row, bool with_past, Index state_token) const {
    if (plan_.state) return std::clamp(state_token, Index{0}, n - 1);
    const bool same = plan_.key_input == plan_.query_input && !plan_.projected_given;
    return same ? std::min(n - 1, row + (with_past ? plan_.past : 0)) : 0;
}

}  // namespace attn::explain
