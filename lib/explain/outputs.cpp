// The context and what follows it.
#include <algorithm>
#include <cmath>

#include "lib/explain/writer.hpp"

namespace attn::explain {
void explain_context(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    if (plan.state) return explain_state_context(w, row, columns);
    const Stage weights = w.read_by(Stage::context);
    const Index kv = plan.values_of(row.head);
    // Keys without weight carry nothing, and there may be many.
    std::vector<Index> keys;
    for (Index j = 0; j < plan.keys; ++j)
        if (w.at(weights, row.batch, row.head, row.row, j).value != 0) keys.push_back(j);
    const Index left_out = plan.keys - static_cast<Index>(keys.size());
    w.why(keys.empty()   ? "no key has a weight"
          : left_out > 0 ? "the average of the values by these weights; keys of weight 0 are left out"
                         : "the average of the values by these weights");
    if (plan.normalize == Normalize::sigmoid || plan.dropout)
        w.why(left_out > 0 ? "the sum of the values times these weights; keys of weight 0 are left out"
                           : "the sum of the values times these weights");
    if (plan.differential) w.why("the sum of the values times these weights");
    w.each(columns, "columns", [&](Index d) {
        w.result(cell_of(row, d), column_label(d), w.sum_of(static_cast<Index>(keys.size()), [&](Index k) {
            const Index j = keys[idx(k)];
            return product(
                {w.at(weights, row.batch, row.head, row.row, j), w.at(w.value_stage(), row.batch, kv, j, d)});
        }));
    });
}

Expr gate_of(Writer& w, Index batch, Index head, Index query, Index column, const std::string& label) {
    const Plan& plan = w.plan;
    const bool from_queries = plan.gate->from_queries;
    const Index o = plan.gate_by_head ? head
                    : from_queries    ? head * 2 * plan.query_dim + plan.query_dim + column
                                      : head * plan.value_dim + column;
    const Cell own{Stage::gated_context, batch, head, query, plan.gate_by_head ? 0 : column};
    return w.between_once(own, label, [&] {
        return w.projected(from_queries ? WeightRole::query : WeightRole::gate, o,
                           [&](Index i) { return w.embedding(*plan.query_input, batch, query, i); });
    });
}

void explain_gated(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const Gate& gate = *plan.gate;
    const Stage from = w.read_by(row.stage);
    w.why(gate.activation == GateActivation::sigmoid
              ? "each number passes as far as its gate opens: 0 closed, 1 open"
          : gate.activation == GateActivation::silu
              ? "each number passes as far as its gate opens: g / (1 + e^-g)"
              : "each number passes as far as its gate opens: ln(1 + e^g)");
    if (plan.gate_by_head) w.why("the whole head passes as far as its one gate opens");
    std::optional<Expr> of_head;
    if (plan.gate_by_head) of_head = gate_of(w, row.batch, row.head, row.row, 0, "gate");
    w.each(columns, "columns", [&](Index d) {
        const Expr g =
            of_head ? *of_head : gate_of(w, row.batch, row.head, row.row, d, "gate " + column_label(d));
        Expr x = w.at(from, row.batch, row.head, row.row, d);
        if (gate.activation == GateActivation::softplus) {
            // For a large g e^g is no number, and ln(1 + e^g) is g.
            Expr open = g.value > 30
                            ? g
                            : function(Expr::Kind::log, sum({constant(1), function(Expr::Kind::exp, g)}));
            w.result(cell_of(row, d), column_label(d), product({std::move(x), std::move(open)}));
            return;
        }
        const Expr open = sum({constant(1), function(Expr::Kind::exp, negative(g))});
        if (gate.activation == GateActivation::silu) x = product({std::move(x), g});
        w.result(cell_of(row, d), column_label(d), quotient(std::move(x), open));
    });
}

void explain_concat(Writer& w, const RowOf& row, Columns columns) {
    const Index width = w.plan.value_dim;
    w.why("the heads' contexts side by side");
    w.each(columns, "columns", [&](Index c) {
        w.result(cell_of(row, c), column_label(c),
                 w.at(w.read_by(row.stage), row.batch, c / width, row.row, c % width))
            .group = "head " + std::to_string(c / width);
    });
}

void explain_head_outputs(Writer& w, const RowOf& row, Columns columns) {
    const Index width = w.plan.value_dim;
    w.why("this head's share of the output; the shares and the bias add up to it");
    w.each(columns, "columns", [&](Index o) {
        w.result(cell_of(row, o), column_label(o), w.sum_of(width, [&](Index d) {
            return product({w.at(w.read_by(row.stage), row.batch, row.head, row.row, d),
                            w.weight(WeightRole::output, row.head * width + d, o)});
        }));
    });
}

void explain_output(Writer& w, const RowOf& row, Columns columns) {
    const bool merged = w.has(Stage::concat);
    w.why(merged ? "mixes what the heads found" : "the context in the width of the model");
    w.each(columns, "columns", [&](Index o) {
        w.result(cell_of(row, o), column_label(o), w.projected(WeightRole::output, o, [&](Index c) {
            return w.at(w.read_by(row.stage), row.batch, 0, row.row, c);
        }));
    });
}

}  // namespace attn::explain
