// Stages of queries x keys backwards, and what contexts and scores send to queries, keys and values.
#include <cmath>
#include <utility>

#include "lib/explain/gradients.hpp"

namespace attn::explain {
namespace {

/// Queries of heads, those of a sum: pairs whose factor is 0 are left out.
struct Pair {
    Index head, query;
};

/// 0 times a number: no part of a sum. (0 times what is not finite is NaN.)
bool adds_nothing(double factor, double number) { return factor == 0 && std::isfinite(number); }

/// What the scores have sent back, or the weights, of the pairs of a key.
std::vector<Pair> pairs_of_key(const Writer& w, Index heads, const std::function<bool(Index)>& reads,
                               const std::function<bool(Index, Index)>& counts) {
    std::vector<Pair> out;
    for (Index h = 0; h < heads; ++h)
        for (Index i = 0; reads(h) && i < w.plan.queries; ++i)
            if (counts(h, i)) out.push_back({h, i});
    return out;
}

void add_sum(Writer& w, const std::vector<Pair>& pairs, const std::function<Expr(const Pair&)>& term,
             Sent& sent) {
    if (pairs.empty()) {
        sent.note = "no query sees it";
        return;
    }
    sent.add(w.sum_of(static_cast<Index>(pairs.size()), [&](Index k) { return term(pairs[idx(k)]); }));
}

/// A weight's gradient: what its key's value has in common with the gradient of the context.
Expr of_weight(Writer& w, const Cell& to) {
    const Index vh = w.plan.values_of(to.head);
    return w.sum_of(w.plan.value_dim, [&](Index d) {
        return product({w.gradient(Stage::context, to.batch, to.head, to.row, d),
                        w.at(w.value_stage(), to.batch, vh, to.column, d)});
    });
}

void add_to_value(Writer& w, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    const Stage weights = w.read_by(Stage::context);
    const auto pairs = pairs_of_key(
        w, plan.context_heads(), [&](Index h) { return plan.values_of(h) == to.head; },
        [&](Index h, Index i) {
            return !adds_nothing(w.at(weights, to.batch, h, i, to.row).value,
                                 w.gradient(Stage::context, to.batch, h, i, to.column).value);
        });
    add_sum(
        w, pairs,
        [&](const Pair& p) {
            return product({w.at(weights, to.batch, p.head, p.query, to.row),
                            w.gradient(Stage::context, to.batch, p.head, p.query, to.column)});
        },
        sent);
}

/// v · (1 - tanh²) of a pair's column, for additive scores.
Expr slope_of_additive(Writer& w, Index batch, Index head, Index query, Index key, Index column) {
    const Plan& plan = w.plan;
    const Index own = *element_count(plan.tensors[*plan.additive].shape) > plan.dim ? head * plan.dim : 0;
    Expr t =
        function(Expr::Kind::tanh, sum({w.at(w.query_stage(), batch, head, query, column),
                                        w.at(w.key_stage(), batch, plan.kv_head_of(head), key, column)}));
    return product({w.tensor(*plan.additive, own + column),
                    difference(constant(1), function(Expr::Kind::square, std::move(t)))});
}

void add_to_query(Writer& w, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    if (plan.projects(WeightRole::score)) return;  // a layer: through W_score
    const Index kv = plan.kv_head_of(to.head);
    std::vector<Pair> keys;
    for (Index j = 0; j < plan.keys; ++j)
        if (w.gradient(Stage::scores, to.batch, to.head, to.row, j).value != 0) keys.push_back({to.head, j});
    if (keys.empty()) {
        sent.note = "every d_score of its row is 0: it sees one key or none";
        return;
    }
    sent.add(w.sum_of(static_cast<Index>(keys.size()), [&](Index k) {
        const Index j = keys[idx(k)].query;
        Expr d = w.gradient(Stage::scores, to.batch, to.head, to.row, j);
        if (plan.additive)
            return product({std::move(d), slope_of_additive(w, to.batch, to.head, to.row, j, to.column)});
        return product({std::move(d), w.at(w.key_stage(), to.batch, kv, j, to.column)});
    }));
}

void add_to_key(Writer& w, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    const auto d = [&](Index h, Index i) { return w.gradient(Stage::scores, to.batch, h, i, to.row); };
    const auto pairs = pairs_of_key(
        w, plan.heads, [&](Index h) { return plan.kv_head_of(h) == to.head; },
        [&](Index h, Index i) {
            return !adds_nothing(d(h, i).value,
                                 w.at(w.query_stage(), to.batch, h, i, plan.additive ? to.column : 0).value);
        });
    add_sum(
        w, pairs,
        [&](const Pair& p) {
            if (plan.additive)
                return product(
                    {d(p.head, p.query), slope_of_additive(w, to.batch, p.head, p.query, to.row, to.column)});
            const auto q = [&](Index c) { return w.at(w.query_stage(), to.batch, p.head, p.query, c); };
            return product({d(p.head, p.query), plan.projects(WeightRole::score)
                                                    ? w.projected(WeightRole::score, to.column, q)
                                                    : q(to.column)});
        },
        sent);
}

/// From a row of weights to the scores that it is made of.
void add_to_scores(Writer& w, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    const RowOf weights{Stage::weights, to.batch, to.head, to.row};
    if (is_empty(w, weights)) {
        const bool nan = plan.empty_rows == EmptyRows::nan;
        sent.add(nan ? quotient(constant(0), constant(0)) : constant(0));
        sent.note = nan ? "empty row: its weights are 0 / 0" : "empty row: its weights are made of no score";
        return;
    }
    Expr d = w.gradient(Stage::weights, to.batch, to.head, to.row, to.column);
    Expr p = w.at(Stage::weights, to.batch, to.head, to.row, to.column);
    if (plan.normalize == Normalize::sigmoid)
        return sent.add(product({std::move(d), p, difference(constant(1), p)}));
    const bool hidden = w.at(to.stage, to.batch, to.head, to.row, to.column).value == -HUGE_VAL;
    if (hidden && !std::isnan(w.values.at(to))) {  // a row's NaN makes 0 times NaN
        sent.add(constant(0));
        sent.note = "hidden: its weight is 0 whatever the score";
        return;
    }
    Expr less = difference(std::move(d), shared_loss(w, Stage::weights, to.batch, to.head, to.row));
    if (plan.normalize == Normalize::softmax) return sent.add(product({std::move(p), std::move(less)}));
    const Cell row{to.stage, to.batch, to.head, to.row};
    const Expr total = w.between_once(row, "row sum", [&] {
        std::vector<Expr> seen;
        for (Index j = 0; j < plan.keys; ++j) {
            Expr s = w.at(to.stage, to.batch, to.head, to.row, j);
            if (s.value != -HUGE_VAL) seen.push_back(std::move(s));
        }
        return w.sum_of(static_cast<Index>(seen.size()), [&](Index k) { return seen[idx(k)]; });
    });
    sent.add(quotient(std::move(less), total));
}

void add_renormalized(Writer& w, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    const Stage made = Stage::renormalized_weights;
    bool seen = false;
    for (Index j = 0; j < plan.keys; ++j)
        seen = seen || !w.values.is_hidden(Cell{made, to.batch, to.head, to.row, j});
    if (!seen) {
        const bool nan = plan.empty_rows == EmptyRows::nan;
        sent.add(nan ? quotient(constant(0), constant(0)) : constant(0));
        sent.note = "empty row";
        return;
    }
    const Expr shared = shared_loss(w, made, to.batch, to.head, to.row);
    const Expr total = sum_of_weights(w, to.stage, to.batch, to.head, to.row);
    sent.add(quotient(difference(w.gradient(made, to.batch, to.head, to.row, to.column), shared), total));
}

void add_masked(Writer& w, const PlannedStage& by, const Cell& to, Sent& sent) {
    const Cell masked{by.stage, to.batch, to.head, to.row, to.column};
    const double own = w.values.at(to);
    const bool hidden = w.values.is_hidden(masked);
    Expr d = w.gradient(by.stage, to.batch, to.head, to.row, to.column);
    if (!hidden || std::isnan(own)) {
        sent.note = hidden ? "hidden by a number that is added: NaN goes on" : "visible";
        return sent.add(std::move(d));
    }
    sent.note = "hidden: " + rule_of(w, {by.stage, to.batch, to.head, to.row}, to.column);
    sent.add(constant(0));
}

void add_dropped(Writer& w, const Cell& to, Sent& sent) {
    Expr d = w.gradient(Stage::dropped_weights, to.batch, to.head, to.row, to.column);
    // Where nothing comes back, whether the weight was kept cannot be seen, and changes nothing.
    const bool none = d.value == 0;
    if (w.plan.dropout->p == 1 || (w.values.at(to) == 0 && !none)) {
        sent.add(constant(0));
        sent.note = "dropped: it had no part in the result";
        return;
    }
    sent.add(quotient(std::move(d), difference(constant(1), constant(w.plan.dropout->p))));
    if (!none) sent.note = "kept";
}

void add_differential(Writer& w, const Cell& to, Sent& sent) {
    const Index head = w.plan.context_head_of(to.head);
    Expr d = w.gradient(Stage::differential_weights, to.batch, head, to.row, to.column);
    if (to.head == w.plan.differential->half_of(head, false, w.plan.context_heads()))
        return sent.add(std::move(d));
    sent.add(negative(product({lambda_of(w), std::move(d)})));
}

}  // namespace

Expr shared_loss(Writer& w, Stage weights, Index batch, Index head, Index query) {
    return w.between_once(
        Cell{weights, batch, head, query}, "D",
        [&] {
            std::vector<Index> keys;
            for (Index j = 0; j < w.plan.keys; ++j)
                if (!adds_nothing(w.at(weights, batch, head, query, j).value,
                                  w.gradient(weights, batch, head, query, j).value))
                    keys.push_back(j);
            return w.sum_of(static_cast<Index>(keys.size()), [&](Index k) {
                return product({w.gradient(weights, batch, head, query, keys[idx(k)]),
                                w.at(weights, batch, head, query, keys[idx(k)])});
            });
        },
        "the row's sum: what all its weights share");
}

Expr sum_of_weights(Writer& w, Stage weights, Index batch, Index head, Index query) {
    return w.between_once(Cell{weights, batch, head, query}, "row sum", [&] {
        return w.sum_of(w.plan.keys, [&](Index j) { return w.at(weights, batch, head, query, j); });
    });
}

void add_cells(Writer& w, const PlannedStage& by, const Cell& to, Sent& sent) {
    const auto d = [&] { return w.gradient(by.stage, to.batch, to.head, to.row, to.column); };
    switch (by.stage) {
        case Stage::context:
            if (to.stage == by.reads.front()) return sent.add(of_weight(w, to));
            return add_to_value(w, to, sent);
        case Stage::differential_weights:
            return add_differential(w, to, sent);
        case Stage::dropped_weights:
            return add_dropped(w, to, sent);
        case Stage::renormalized_weights:
            return add_renormalized(w, to, sent);
        case Stage::masked_weights:
        case Stage::masked_scores:
            return add_masked(w, by, to, sent);
        case Stage::weights:
            return add_to_scores(w, to, sent);
        case Stage::biased_scores:
            return sent.add(d());
        case Stage::capped_scores: {
            Expr share =
                quotient(w.at(by.stage, to.batch, to.head, to.row, to.column), constant(*w.plan.softcap));
            return sent.add(
                product({d(), difference(constant(1), function(Expr::Kind::square, std::move(share)))}));
        }
        case Stage::scaled_scores:
            return sent.add(scaled(w.plan, d()));
        default:  // scores
            if (to.stage == by.reads.front()) return add_to_query(w, to, sent);
            return add_to_key(w, to, sent);
    }
}

}  // namespace attn::explain
