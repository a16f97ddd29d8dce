// Variants that carry a state from token to token in place of scores.
#include <cmath>

#include "lib/explain/writer.hpp"

namespace attn::explain {
namespace {

/// The log of the decay of a token: one for all rows of the state, or one for each.
std::optional<Expr> decay_of(const Writer& w, Index batch, Index kv, Index token, Index row) {
    const PlannedState& state = *w.plan.state;
    if (!state.decays) return std::nullopt;
    return state.decay_by_column ? w.at(Stage::decay, batch, kv, token, row)
                                 : w.at(Stage::decay, batch, kv, 0, token);
}

}  // namespace

Expr decayed(const Writer& w, Index batch, Index kv, Index token, Index row, Expr x) {
    const std::optional<Expr> g = decay_of(w, batch, kv, token, row);
    if (!g) return x;
    return product({function(Expr::Kind::exp, *g), std::move(x)});
}

Expr state_at(const Writer& w, Index batch, Index kv, Index token, Index row, Index column) {
    if (token >= 0) return w.at(Cell{Stage::states, batch, kv, row, column, token});
    if (w.plan.state->past) return w.input(*w.plan.state->past, batch, kv, w.plan.kv_heads, row, column);
    Expr zero = constant(0);
    zero.place = "S before the first token";
    return zero;
}

double key_sum(const Writer& w, Index batch, Index kv, Index token, Index row) {
    double z = 0;
    for (Index t = 0; t <= token; ++t) {
        const std::optional<Expr> g = decay_of(w, batch, kv, t, row);
        z = z * (g ? std::exp(g->value) : 1) +
            w.at(w.key_stage(), batch, kv / w.plan.head_group, t, row).value;
    }
    return z;
}

Expr scaled(const Plan& plan, Expr x) {
    if (!plan.scaled) return x;
    if (plan.scale_root > 0)
        return quotient(std::move(x),
                        function(Expr::Kind::root, constant(static_cast<double>(plan.scale_root))));
    return product({constant(plan.scale), std::move(x)});
}

void explain_per_key(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedState& state = *plan.state;
    const bool is_decay = row.stage == Stage::decay;
    const WeightRole role = is_decay ? WeightRole::decay : WeightRole::beta;
    const auto& given = is_decay ? state.decay : state.beta;
    const bool by_column = plan.find(row.stage)->family == StageShape::key_dim;
    const Index width = !by_column ? 1 : is_decay ? plan.dim : plan.value_dim;
    w.why(is_decay ? "the log of the share of the old state that stays: e^0 keeps all of it"
                   : "how much of the correction is written: 0 nothing, 1 all of it");
    const auto times_factor = [&](bool decays, Expr e) {
        if (decays || state.beta_factor == 1) return e;
        return product({constant(state.beta_factor), std::move(e)});
    };
    w.each(columns, by_column ? "columns" : "tokens", [&](Index c) {
        const Index token = by_column ? row.row : c, column = by_column ? c : 0;
        Cell cell = row;
        cell.column = c;
        const std::string label = by_column ? "d" + std::to_string(c) : w.key_label(c);
        const std::string group = by_column ? w.row_label(row) : "";
        if (given) {
            Expr rate = w.tensor(*given, plan.rate_number(*given, row.batch, row.head, token, column));
            w.result(cell, label, times_factor(is_decay, std::move(rate))).group = group;
            return;
        }
        const std::string name = "x of " + label;
        Expr x = w.between(name, name, w.projected(role, row.head * width + column, [&](Index i) {
            return w.embedding(*plan.key_input, row.batch, token, i);
        }));
        if (!is_decay) {
            w.result(cell, label, times_factor(is_decay, sigmoid(x))).group = group;
            return;
        }
        if (state.bias) x = sum({std::move(x), w.tensor(*state.bias, row.head)});
        // ln(1 + e^x) would overflow where x is large, and is x there.
        const bool large = evaluate(x) > 30;
        Expr plus =
            large ? std::move(x)
                  : function(Expr::Kind::log, sum({constant(1), function(Expr::Kind::exp, std::move(x))}));
        if (state.log_rate)
            plus = product({function(Expr::Kind::exp, w.tensor(*state.log_rate, row.head)), std::move(plus)});
        w.result(cell, label, negative(std::move(plus)), large ? "ln(1 + e^x) is x for a large x" : "")
            .group = group;
    });
}

void explain_states(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedState& state = *plan.state;
    const Index b = row.batch, kv = row.head, t = row.token, i = row.row;
    const auto key = [&](Index d) { return w.at(w.key_stage(), b, kv / w.plan.head_group, t, d); };
    const auto value = [&](Index j) { return w.at(w.value_stage(), b, kv, t, j); };
    const std::string label = "S after " + w.key_label(t);
    w.why(state.delta ? "the state forgets, then what it would answer to this key is moved towards the value"
                      : "the state forgets, and the token's key times its value is added");
    if (!state.decays)
        w.why(state.delta ? "what the state would answer to this key is moved towards the value"
                          : "the token's key times its value is added to the state");
    w.each(columns, "columns", [&](Index j) {
        // All rows of the state change by the same numbers, one for each column.
        const Cell own{row.stage, b, kv, 0, j, t};
        Expr change = value(j);
        if (state.delta) {
            const std::string n = std::to_string(j);
            const Expr seen = w.between_once(own, "answer d" + n, [&] {
                return w.sum_of(plan.dim, [&](Index d) {
                    return product({key(d), decayed(w, b, kv, t, d, state_at(w, b, kv, t - 1, d, j))});
                });
            });
            change = w.between_once(own, "change d" + n, [&] {
                Expr e = difference(value(j), seen);
                if (!state.has_beta) return e;
                return product(
                    {state.beta_by_column ? w.at(Stage::beta, b, kv, t, j) : w.at(Stage::beta, b, kv, 0, t),
                     std::move(e)});
            });
        }
        Cell cell = row;
        cell.column = j;
        w.result(cell, "[" + std::to_string(i) + "," + std::to_string(j) + "]",
                 sum({decayed(w, b, kv, t, i, state_at(w, b, kv, t - 1, i, j)),
                      product({key(i), std::move(change)})}))
            .group = label;
    });
}

void explain_state(Writer& w, const RowOf& row, Columns columns) {
    w.why("what the next token would begin with");
    w.each(columns, "columns", [&](Index j) {
        Cell cell = row;
        cell.column = j;
        w.result(cell, "[" + std::to_string(row.row) + "," + std::to_string(j) + "]",
                 state_at(w, row.batch, row.head, w.plan.keys - 1, row.row, j))
            .group = "row " + std::to_string(row.row);
    });
}

void explain_state_context(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const Index b = row.batch, kv = plan.kv_head_of(row.head), t = state_token(plan, b, row.row);
    const auto query = [&](Index d) {
        return w.at(w.query_stage(), b, row.head / w.plan.head_group, row.row, d);
    };
    w.why(t < 0 ? "the query reads the state before the first token"
                : "the query reads the state after " + w.key_label(t));
    std::optional<Expr> divisor;
    if (plan.state->normalizer) {
        std::vector<Expr> sums;
        for (Index d = 0; d < plan.dim; ++d) {
            const std::string name = "keys d" + std::to_string(d);
            if (t < 0) {
                sums.push_back(constant(0));
            } else if (plan.state->decays) {
                Expr old = number(key_sum(w, b, kv, t - 1, d));
                old.place = w.scoped(name + " before");
                old.hidden_with = StageId{Stage::context};
                sums.push_back(w.between(name, name,
                                         sum({decayed(w, b, kv, t, d, std::move(old)),
                                              w.at(w.key_stage(), b, kv / plan.head_group, t, d)}),
                                         "the sum of keys, decayed like the state"));
            } else {
                sums.push_back(w.between(name, name, w.sum_of(t + 1, [&](Index s) {
                    return w.at(w.key_stage(), b, kv / plan.head_group, s, d);
                })));
            }
        }
        divisor = w.between("divisor", "divisor", w.sum_of(plan.dim, [&](Index d) {
            return product({query(d), sums[idx(d)]});
        }));
    }
    w.each(columns, "columns", [&](Index j) {
        Expr e = w.sum_of(plan.dim, [&](Index d) {
            return product({query(d), state_at(w, b, kv, t, d, j)});
        });
        e = scaled(plan, std::move(e));
        if (divisor) e = quotient(std::move(e), *divisor);
        Cell cell = row;
        cell.column = j;
        w.result(cell, "d" + std::to_string(j), std::move(e));
    });
}

}  // namespace attn::explain
