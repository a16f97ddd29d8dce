// From the last scores to the last weights.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "lib/explain/writer.hpp"

namespace attn::explain {
namespace {

/// A row without visible keys: what was asked for such rows.
void explain_empty(Writer& w, const RowOf& row, Columns columns) {
    const EmptyRows policy = w.plan.empty_rows;
    w.why(policy == EmptyRows::zero  ? "no key is visible: every weight is 0"
          : policy == EmptyRows::nan ? "no key is visible: 0 / 0, as a plain softmax gives"
                                     : "no key is visible: all keys weigh the same");
    w.each(columns, "keys", [&](Index key) {
        Expr e = constant(0);
        if (policy == EmptyRows::nan) e = quotient(constant(0), constant(0));
        if (policy == EmptyRows::uniform)
            e = quotient(constant(1), constant(static_cast<double>(w.plan.keys)));
        w.result(cell_of(row, key), w.key_label(key), std::move(e), "empty row");
    });
}

/// Keys that lines show: the columns, shortened as each() shortens them.
std::vector<Index> all_keys(const Plan& plan) {
    std::vector<Index> keys(static_cast<std::size_t>(plan.keys));
    std::iota(keys.begin(), keys.end(), Index{0});
    return keys;
}

Expr one_part(Expr e) {
    Expr out;
    out.kind = Expr::Kind::sum;
    out.parts.push_back(std::move(e));
    return out;
}

void explain_softmax(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const Stage from = w.read_by(row.stage);
    Index largest = 0;
    bool finite = true;
    for (Index j = 0; j < plan.keys; ++j) {
        const double v = previous(w, row, j).value;
        finite = finite && v < HUGE_VAL;  // also not NaN
        if (v > previous(w, row, largest).value) largest = j;
    }
    std::vector<Index> keys = all_keys(plan);
    // Hidden keys have no part in it; a row that is spoiled is shown as a whole.
    if (finite) std::erase_if(keys, [&](Index j) { return previous(w, row, j).value == -HUGE_VAL; });
    if (keys.empty()) keys = all_keys(plan);
    w.why("the row's maximum is subtracted first: same result, no overflow");
    const Expr max = w.between("maximum", "maximum", previous(w, row, largest),
                               std::string(info_of(from).name) + " of " + w.key_label(largest));
    const auto raised = [&](Index j) {
        return function(Expr::Kind::exp, difference(previous(w, row, j), max));
    };
    std::map<Index, Expr> known;
    const auto power_of = [&](Index j) {
        if (const auto found = known.find(j); found != known.end()) return found->second;
        Expr e = number(evaluate(raised(j)));
        e.place = w.scoped("e^" + w.key_label(j));
        e.hidden_with = StageId{Stage::weights};
        return e;
    };
    w.each(keys, "keys",
           [&](Index j) { known[j] = w.between("e^" + w.key_label(j), "e^" + w.key_label(j), raised(j)); });
    Expr total = w.sum_of(static_cast<Index>(keys.size()), [&](Index k) { return power_of(keys[idx(k)]); });
    if (!plan.sinks.empty()) {
        Expr sink = constant(plan.sinks[idx(row.head)]);
        sink.place = "sinks[" + std::to_string(row.head) + "]";
        const Expr e =
            w.between("e^sink", "e^sink", function(Expr::Kind::exp, difference(std::move(sink), max)),
                      "in the sum, but carries no value");
        total = total.kind == Expr::Kind::sum ? std::move(total) : one_part(std::move(total));
        total.parts.push_back(e);
    }
    const Expr all = w.between("sum", "sum", std::move(total));
    w.each(columns, "keys", [&](Index key) {
        if (std::binary_search(keys.begin(), keys.end(), key)) {
            w.result(cell_of(row, key), w.key_label(key), quotient(power_of(key), all));
        } else {
            w.result(cell_of(row, key), w.key_label(key), constant(0), "e^(-inf) is 0");
        }
    });
}

/// x / sum of x over some keys.
void divide_by_sum(Writer& w, const RowOf& row, Columns columns, const std::vector<Index>& of) {
    const Expr all = w.between("sum", "sum", w.sum_of(static_cast<Index>(of.size()), [&](Index k) {
        return previous(w, row, of[idx(k)]);
    }));
    w.each(columns, "keys", [&](Index key) {
        const Cell cell = cell_of(row, key);
        if (!std::binary_search(of.begin(), of.end(), key)) {
            w.result(cell, w.key_label(key), constant(0), "hidden: no part in the sum");
            return;
        }
        w.result(cell, w.key_label(key), quotient(previous(w, row, key), all));
    });
}

}  // namespace

bool is_empty(const Writer& w, const RowOf& row) {
    if (!w.plan.masked || w.plan.mask_at == MaskAt::weights || w.plan.has_appended()) return false;
    for (Index j = 0; j < w.plan.keys; ++j)
        if (previous(w, row, j).value != -HUGE_VAL) return false;
    return true;
}

Expr sigmoid(const Expr& x) {
    return quotient(constant(1), sum({constant(1), function(Expr::Kind::exp, negative(x))}));
}

void explain_weights(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    if (is_empty(w, row)) return explain_empty(w, row, columns);
    switch (plan.normalize) {
        case Normalize::softmax:
            return explain_softmax(w, row, columns);
        case Normalize::sum: {
            w.why("divided by the sum of the row, so that the weights sum to 1");
            std::vector<Index> seen = all_keys(plan);
            std::erase_if(seen, [&](Index j) { return previous(w, row, j).value == -HUGE_VAL; });
            return divide_by_sum(w, row, columns, seen);
        }
        case Normalize::sigmoid:
            w.why("each score by itself: the weights need not sum to 1");
            w.each(columns, "keys", [&](Index key) {
                w.result(cell_of(row, key), w.key_label(key), sigmoid(previous(w, row, key)));
            });
            return;
    }
}

void explain_masked_weights(Writer& w, const RowOf& row, Columns columns) {
    w.why("the mask comes after the softmax: what is hidden becomes 0");
    w.each(columns, "keys", [&](Index key) {
        const Cell cell = cell_of(row, key);
        if (w.values.is_hidden(cell)) {
            w.result(cell, w.key_label(key), std::nullopt, "hidden: " + rule_of(w, row, key));
        } else {
            w.result(cell, w.key_label(key), previous(w, row, key), "visible");
        }
    });
}

void explain_renormalized(Writer& w, const RowOf& row, Columns columns) {
    std::vector<Index> keys = all_keys(w.plan);
    if (std::all_of(keys.begin(), keys.end(), [&](Index j) { return w.values.is_hidden(cell_of(row, j)); }))
        return explain_empty(w, row, columns);
    w.why("divided by what is left, so that the weights sum to 1 again");
    divide_by_sum(w, row, columns, keys);
}

void explain_dropped(Writer& w, const RowOf& row, Columns columns) {
    const double p = w.plan.dropout->p;
    w.why("some weights are dropped at random, the others grow by 1 / (1 - p): training only");
    w.each(columns, "keys", [&](Index key) {
        const Cell cell = cell_of(row, key);
        Expr x = previous(w, row, key);
        // What a drawn mask did to a weight of 0 cannot be seen, and changes nothing.
        const bool is_zero = x.value == 0;
        const bool dropped = p == 1 || (w.values.at(cell) == 0 && !is_zero);
        if (dropped) {
            w.result(cell, w.key_label(key), product({std::move(x), constant(0)}), "dropped");
        } else {
            w.result(cell, w.key_label(key), quotient(std::move(x), difference(constant(1), constant(p))),
                     is_zero ? "" : "kept");
        }
    });
}

Expr lambda_of(Writer& w) {
    const PlannedDifferential& pairs = *w.plan.differential;
    if (pairs.lambda) {
        Expr lambda = constant(*pairs.lambda);
        lambda.place = "lambda";
        return lambda;
    }
    return w.between_once({}, "lambda", [&] {
        const auto power_of = [&](std::size_t first) {
            return function(Expr::Kind::exp, w.sum_of(pairs.width, [&](Index k) {
                return product({w.tensor(pairs.vectors[first], k), w.tensor(pairs.vectors[first + 1], k)});
            }));
        };
        Expr init = constant(pairs.init);
        init.place = "lambda_init";
        return sum({difference(power_of(0), power_of(2)), std::move(init)});
    });
}

void explain_differential(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedDifferential& pairs = *plan.differential;
    w.why("what both halves of the head look at cancels; weights may be below 0");
    const Expr lambda = lambda_of(w);
    w.each(columns, "keys", [&](Index key) {
        const auto half = [&](bool second) {
            return w.at(w.read_by(row.stage), row.batch,
                        pairs.half_of(row.head, second, plan.context_heads()), row.row, key);
        };
        w.result(cell_of(row, key), w.key_label(key), difference(half(false), product({lambda, half(true)})));
    });
}

void explain_lse(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    w.why("what the softmax divides by, as a logarithm: fused kernels return it");
    w.each(columns, "queries", [&](Index query) {
        const RowOf cells{w.read_by(row.stage), row.batch, row.head, query, 0, 0};
        const auto score = [&](Index j) { return w.at(cells.stage, row.batch, row.head, query, j); };
        std::vector<Index> keys = all_keys(plan);
        std::erase_if(keys, [&](Index j) { return score(j).value == -HUGE_VAL; });
        const Cell cell = cell_of(row, query);
        if (keys.empty() && plan.sinks.empty()) {
            w.result(cell, w.query_label(query), std::nullopt, "no key is visible: log 0");
            return;
        }
        std::vector<Expr> parts;
        for (const Index j : keys) parts.push_back(score(j));
        if (!plan.sinks.empty()) {
            parts.push_back(constant(plan.sinks[idx(row.head)]));
            parts.back().place = "sinks[" + std::to_string(row.head) + "]";
        }
        const auto largest = std::max_element(parts.begin(), parts.end(),
                                              [](const Expr& a, const Expr& b) { return a.value < b.value; });
        const Expr max = w.between("maximum", "maximum", *largest);
        Expr total = w.sum_of(static_cast<Index>(parts.size()), [&](Index k) {
            return function(Expr::Kind::exp, difference(parts[idx(k)], max));
        });
        const Expr all = w.between("sum", "sum", std::move(total));
        w.result(cell, w.query_label(query), sum({max, function(Expr::Kind::log, all)}));
    });
}

void explain_mean_weights(Writer& w, const RowOf& row, Columns columns) {
    const Index heads = w.plan.context_heads();
    w.why("one picture of all heads, as nn.MultiheadAttention returns it");
    w.each(columns, "keys", [&](Index key) {
        w.result(cell_of(row, key), w.key_label(key),
                 quotient(w.sum_of(heads,
                                   [&](Index h) {
                                       return w.at(w.read_by(row.stage), row.batch, h, row.row, key);
                                   }),
                          constant(static_cast<double>(heads))));
    });
}

}  // namespace attn::explain
