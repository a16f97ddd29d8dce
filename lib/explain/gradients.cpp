#include "lib/explain/gradients.hpp"

#include <algorithm>
#include <utility>

#include "lib/input/problem.hpp"

namespace attn::explain {
namespace {

void add_entering(Writer& w, const PlannedStage& stage, const Cell& cell, Sent& sent) {
    const PlannedGradient& g = *w.plan.gradient;
    const Index flat = flat_of(stage, cell);
    if (g.output && cell.stage == g.result) sent.add(w.tensor(*g.output, flat));
    if (g.context && cell.stage == Stage::context) sent.add(w.tensor(*g.context, flat));
    if (g.state && cell.stage == Stage::state) sent.add(w.tensor(*g.state, flat));
    if (cell.stage != g.result) return;
    if (g.loss == Loss::sum) sent.add(constant(1));
    if (g.loss != Loss::mean_squared_error) return;
    Expr error =
        difference(w.at(cell.stage, cell.batch, cell.head, cell.row, cell.column), w.tensor(*g.target, flat));
    sent.add(quotient(product({constant(2), std::move(error)}),
                      constant(static_cast<double>(*element_count(stage.shape)))));
}

bool is_cells(const PlannedStage& stage) {
    const Phase phase = info_of(stage.stage).phase;
    return phase == Phase::cells || phase == Phase::paired;
}

/// What a stage that is no projection sends back to one that it reads.
void add_sent_back(Writer& w, const PlannedStage& by, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    const auto d = [&](Index head, Index row, Index column) {
        return w.gradient(by.stage, to.batch, head, row, column);
    };
    if (is_cells(by) || (by.stage == Stage::context && !plan.state)) return add_cells(w, by, to, sent);
    switch (by.stage) {
        case Stage::context:
            return add_states(w, to, sent);
        case Stage::concat:
            return sent.add(d(0, to.row, to.head * plan.value_dim + to.column));
        case Stage::gated_context: {
            if (to.stage != by.reads.front()) return;  // a layer
            const std::string label = plan.gate_by_head ? "gate" : "gate " + column_label(to.column);
            const Expr z = gate_of(w, to.batch, to.head, to.row, to.column, label);
            Expr e = d(to.head, to.row, to.column);
            if (plan.gate->activation == GateActivation::softplus)
                return sent.add(product({std::move(e), softplus(z)}));
            if (plan.gate->activation == GateActivation::silu) e = product({std::move(e), z});
            return sent.add(product({std::move(e), sigmoid(z)}));
        }
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
        case Stage::normed_context:
        case Stage::normed_concat:
            return sent.add(NormBack(w, by.stage, to.batch, to.row).back(to.head, to.column));
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            if (to.stage == Stage::rope_keys)
                return sent.add(w.sum_of(plan.key_heads(),
                                         [&](Index h) { return d(h, to.row, plan.key_dim + to.column); }));
            if (by.reads.size() > 1) return sent.add(d(to.head, to.row, to.column));
            return sent.add(turned_back(w, by.stage,
                                        by.stage == Stage::rotated_queries ? plan.rope->first_query : 0,
                                        by.stage == Stage::rotated_queries, to));
        case Stage::tempered_queries: {
            Expr scale = constant(plan.query_scale->at(to.batch, to.head, to.row));
            scale.place = "query_scale";
            return sent.add(product({d(to.head, to.row, to.column), std::move(scale)}));
        }
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return sent.add(through_map(w, d(to.head, to.row, to.column), w.at(forward_of(to))));
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values: {
            const PlannedConv& conv = *plan.conv;
            const PlannedConv::Part& part = conv.of(by.stage);
            const Index channel = to.head * by.shape.back() + to.column, rows = by.shape[2];
            for (Index k = conv.taps - 1; k >= 0; --k) {
                const Index token = to.row + conv.taps - 1 - k;
                if (token >= rows) break;
                sent.add(product({convolution_back(w, by.stage, to.batch, to.head, token, to.column),
                                  w.tensor(part.weight, conv.tap(part, channel, k))}));
            }
            return;
        }
        case Stage::all_keys:
        case Stage::all_values:
            return sent.add(d(to.head, plan.past + to.row, to.column));
        default:  // layers, and what sends nothing back
            return;
    }
}

}  // namespace

Index flat_of(const PlannedStage& stage, const Cell& cell) {
    const Shape& s = stage.shape;
    const Index heads = has_heads(stage.family) ? s[has_batch(stage.family) ? 1 : 0] : 1;
    const Index rows = has_one_row(stage.family) ? 1 : s[s.size() - 2];
    return ((cell.batch * heads + cell.head) * rows + cell.row) * s.back() + cell.column;
}

Expr softplus(const Expr& x) {
    // For a large x e^x is no number, and ln(1 + e^x) is x.
    if (evaluate(x) > 30) return x;
    return function(Expr::Kind::log, sum({constant(1), function(Expr::Kind::exp, x)}));
}

Cell forward_of(const Cell& cell) {
    Cell out = cell;
    out.gradient = -1;
    return out;
}

Expr through_map(Writer& w, Expr d, const Expr& x) {
    switch (*w.plan.state->feature_map) {
        case FeatureMap::elu1:
            return x.value > 0 ? d : product({std::move(d), function(Expr::Kind::exp, x)});
        case FeatureMap::relu:
            return x.value > 0 ? d : product({std::move(d), constant(0)});
        case FeatureMap::silu:
            return product({std::move(d), slope_of_silu(x)});
        case FeatureMap::identity:
            break;
    }
    return d;
}

void tell(Writer& w, const RowOf& row, Index column, Sent sent) {
    const Cell cell = cell_of(row, column);
    const PlannedStage& stage = planned(w.plan, cell.id());
    const StageShape family = stage.family;
    std::string label = column_label(column), group;
    if (has_key_columns(family)) {
        label = w.key_label(column);
    } else if (family == StageShape::per_head) {
        label = "head " + std::to_string(column);
    } else if (row_kind(family) == RowKind::whole && !has_one_row(family)) {
        label = "[" + std::to_string(row.row) + "," + std::to_string(column) + "]";
        if (family == StageShape::states) group = "after " + w.key_label(row.token);
        if (is_of_parameter(family) && has_heads(family))
            group = std::string(name_of(outer_axis(family))) + " " + std::to_string(row.head);
    }
    if (row_kind(family) != RowKind::whole && !has_all_keys(family)) group = w.row_label(row);
    const bool none = sent.parts.empty();
    if (none && sent.note.empty()) sent.note = "nothing reads it";
    Line& line = w.result(cell, std::move(label), none ? constant(0) : sum(std::move(sent.parts)),
                          std::move(sent.note));
    line.group = std::move(group);
}

void explain_gradient(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedStage& own = planned(plan, row.id());
    if (own.of == StageOf::input) return explain_input_gradient(w, row, columns);
    if (own.of == StageOf::parameter) return explain_parameter_gradient(w, row, columns);
    std::vector<const PlannedStage*> readers;
    for (const PlannedStage& by : plan.stages)
        if (plan.find_gradient(by.stage) && by.stage != Stage::state && by.stage != Stage::states &&
            std::find(by.reads.begin(), by.reads.end(), row.stage) != by.reads.end())
            readers.push_back(&by);
    const bool is_state = row.stage == Stage::state || row.stage == Stage::states;
    if (is_state)
        w.why(
            "each query that reads the state adds scale · its number · the gradient of its context; what "
            "comes after it sends back the rest");
    else if (!readers.empty())
        w.why(why_back(plan, *readers.front(), row.stage));
    else
        w.why("what enters the backward pass");
    w.each(columns, has_key_columns(own.family) ? "keys" : "columns", [&](Index c) {
        const Cell cell = cell_of(row, c);
        Sent sent;
        if (row.stage != Stage::states) add_entering(w, own, cell, sent);
        if (is_state) add_states(w, cell, sent);
        for (const PlannedStage* by : readers) add_sent_back(w, *by, cell, sent);
        const Index layer_row =
            plan.projects(WeightRole::score) && row.stage == w.query_stage() && !plan.state
                ? row.head * plan.queries + row.row
                : row.row;
        add_layers(w, row.stage, {}, row.batch, layer_row, c, sent);
        tell(w, row, c, std::move(sent));
    });
}

std::string why_back(const Plan& plan, const PlannedStage& by, Stage to) {
    switch (by.stage) {
        case Stage::context:
            if (plan.state)
                return "what this token wrote into the state, and what was read with it, comes back";
            return to == by.reads.front()
                       ? "how much would be won if this key weighed more: what comes back, along its value"
                       : "a value has part in each context as far as its weight says, and gets as much back";
        case Stage::weights:
            if (plan.normalize == Normalize::sigmoid)
                return "the slope of the sigmoid: it is flat near 0 and 1";
            if (plan.normalize == Normalize::sum)
                return "the weights of a row sum to 1: all lose the sum D that they share";
            return "the weights of a row sum to 1, so what one gains the others lose: each loses the row's "
                   "sum D, "
                   "and the row sums to 0";
        case Stage::renormalized_weights:
            return "divided by the row's sum: all lose the sum D that they share";
        case Stage::masked_scores:
        case Stage::masked_weights:
            return "what is hidden has no part in the result: no change of it is felt";
        case Stage::dropped_weights:
            return "a dropped weight had no part; the kept ones were larger by 1 / (1 - p)";
        case Stage::differential_weights:
            return "the second half was subtracted lambda times";
        case Stage::capped_scores:
            return "the slope of c · tanh(x / c): the nearer to the cap, the less gets through";
        case Stage::biased_scores:
            return "what was added changes nothing on the way back";
        case Stage::scaled_scores:
            return "what was multiplied is multiplied again";
        case Stage::scores:
            return to == by.reads.front() ? "each score pulls the query along its key"
                                          : "each query that sees the key pulls it along itself";
        case Stage::concat:
            return "each head takes back its own columns";
        case Stage::gated_context:
            return "as much comes back as the gate let through";
        case Stage::output:
            return "each number went into all columns of the output, by its row of W_out";
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            if (by.reads.size() == 1) return "turned back by the same angles: lengths stay";
            return to == Stage::rope_keys ? "all heads read this part: it gets the sum"
                                          : "the head's own part of the key";
        case Stage::tempered_queries:
            return "what was multiplied is multiplied again";
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return "times the slope of the map";
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return "a token went into its own sum and into those after it, by the taps";
        case Stage::all_keys:
        case Stage::all_values:
            return "the new ones among all";
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
        case Stage::normed_context:
        case Stage::normed_concat:
            return "a norm fixes the length: what comes back along the vector itself is taken out";
        default:
            return "what was made of it comes back by the same weights, summed over its uses";
    }
}

}  // namespace attn::explain
