// States backwards, from the last token to the first.
#include <utility>

#include "lib/explain/gradients.hpp"

namespace attn::explain {
namespace {

/// One head of values of a batch item, whose state goes from token to token.
class StateBack {
  public:
    StateBack(Writer& w, Index batch, Index head)
        : w_(w),
          plan_(w.plan),
          rule_(*w.plan.state),
          b_(batch),
          v_(head),
          key_head_(head / w.plan.head_group) {}

    /// G, the gradient of the state after a token.
    Expr after(Index token, Index i, Index j) const {
        return w_.gradient(Stage::states, b_, v_, i, j, token);
    }
    /// What the queries that read the state after a token send back to it.
    void add_readers(Index token, Index i, Index j, Sent& sent) const {
        const std::vector<Reader> readers = readers_of(token);
        sent.add(w_.sum_of(static_cast<Index>(readers.size()), [&](Index k) {
            const Reader& r = readers[idx(k)];
            Expr e =
                scaled(plan_, product({query(r, i), w_.gradient(Stage::context, b_, r.head, r.query, j)}));
            return rule_.normalizer ? quotient(std::move(e), divisor(r)) : e;
        }));
    }
    /// What the state after the next token, `token`, sends back to the one before it.
    void add_back(Index token, Index i, Index j, Sent& sent) const {
        sent.add(decayed(w_, b_, v_, token, i, before_decay(token, i, j)));
    }
    /// Of what is left of the old state when it has decayed: G, or G - k wᵀ.
    Expr before_decay(Index token, Index i, Index j) const {
        Expr g = after(token, i, j);
        if (!rule_.delta) return g;
        return difference(std::move(g), product({key(token, i), toward(token, j)}));
    }

    void add_value(Index token, Index j, Sent& sent) const {
        Expr e = toward_unrated(token, j);
        const std::optional<Expr> b = rate(token, j);
        sent.add(b ? product({*b, std::move(e)}) : std::move(e));
    }
    void add_key(Index token, Index i, Sent& sent) const {
        sent.add(w_.sum_of(plan_.value_dim, [&](Index j) {
            return product({after(token, i, j), change(token, j)});
        }));
        if (rule_.delta) {
            Expr less = w_.sum_of(plan_.value_dim, [&](Index j) {
                return product({carried(token, i, j), toward(token, j)});
            });
            less.minus = true;
            sent.add(std::move(less));
        }
        if (rule_.normalizer) sent.add(sum_back(token, i));
    }
    /// \param row of the state; none: all of them
    void add_decay(Index token, std::optional<Index> row, Sent& sent) const {
        const Index rows = row ? 1 : plan_.dim, width = plan_.value_dim;
        const auto at = [&](Index k) { return row ? *row : k; };
        sent.add(w_.sum_of(rows * width, [&](Index k) {
            const Index i = at(k / width), j = k % width;
            return product({before_decay(token, i, j), carried(token, i, j)});
        }));
        if (!rule_.normalizer) return;
        sent.add(w_.sum_of(rows, [&](Index k) {
            const Index i = at(k);
            Expr old = number(token > 0 ? key_sum(w_, b_, v_, token - 1, i) : 0);
            old.place = "sum of keys before, " + column_label(i);
            return product({sum_back(token, i), decayed(w_, b_, v_, token, i, std::move(old))});
        }));
    }
    void add_rate(Index token, std::optional<Index> column, Sent& sent) const {
        sent.add(w_.sum_of(column ? 1 : plan_.value_dim, [&](Index k) {
            const Index j = column ? *column : k;
            return product({toward_unrated(token, j), error(token, j)});
        }));
    }
    /// To a column of a query that a head of queries reads with.
    void add_query(Index head, Index query, Index i, Sent& sent) const {
        const Reader r{head, query};
        const Index token = state_token(plan_, b_, query);
        Expr e = scaled(plan_, w_.sum_of(plan_.value_dim, [&](Index j) {
            return product(
                {state_at(w_, b_, v_, token, i, j), w_.gradient(Stage::context, b_, head, query, j)});
        }));
        if (!rule_.normalizer) return sent.add(std::move(e));
        sent.add(quotient(std::move(e), divisor(r)));
        sent.add(product({divisor_back(r), keys_up_to(token, i)}));
    }

  private:
    struct Reader {
        Index head, query;
    };

    std::vector<Reader> readers_of(Index token) const {
        std::vector<Reader> out;
        for (Index i = 0; i < plan_.queries; ++i)
            for (Index h = 0; h < plan_.heads; ++h)
                if (plan_.kv_head_of(h) == v_ && state_token(plan_, b_, i) == token) out.push_back({h, i});
        return out;
    }
    Cell own(Index token) const { return {Stage::states, b_, v_, 0, 0, token}; }

    Expr query(const Reader& r, Index i) const {
        return w_.at(w_.query_stage(), b_, r.head / plan_.head_group, r.query, i);
    }
    Expr key(Index token, Index i) const { return w_.at(w_.key_stage(), b_, key_head_, token, i); }
    Expr value(Index token, Index j) const { return w_.at(w_.value_stage(), b_, v_, token, j); }
    std::optional<Expr> rate(Index token, Index j) const {
        if (!rule_.has_beta) return std::nullopt;
        return rule_.beta_by_column ? w_.at(Stage::beta, b_, v_, token, j)
                                    : w_.at(Stage::beta, b_, v_, 0, token);
    }
    /// S', what is left of the state before a token.
    Expr carried(Index token, Index i, Index j) const {
        return decayed(w_, b_, v_, token, i, state_at(w_, b_, v_, token - 1, i, j));
    }
    /// v - S'ᵀ k
    Expr error(Index token, Index j) const {
        const Scope scope(w_, b_, v_, w_.key_label(token));
        return w_.between_once(own(token), "error " + column_label(j), [&] {
            return difference(value(token, j), w_.sum_of(plan_.dim, [&](Index i) {
                return product({key(token, i), carried(token, i, j)});
            }));
        });
    }
    /// u, what the key's row of the state gains.
    Expr change(Index token, Index j) const {
        if (!rule_.delta) return value(token, j);
        Expr e = error(token, j);
        const std::optional<Expr> b = rate(token, j);
        return b ? product({*b, std::move(e)}) : e;
    }
    /// Gᵀ k, and w = b Gᵀ k.
    Expr toward_unrated(Index token, Index j) const {
        const Scope scope(w_, b_, v_, w_.key_label(token));
        return w_.between_once(own(token), "Gᵀk " + column_label(j), [&] {
            return w_.sum_of(plan_.dim, [&](Index i) {
                return product({after(token, i, j), key(token, i)});
            });
        });
    }
    Expr toward(Index token, Index j) const {
        Expr e = toward_unrated(token, j);
        const std::optional<Expr> b = rate(token, j);
        return b ? product({*b, std::move(e)}) : e;
    }

    // The normaliser: a query divides by n, its product with the sum of the keys.
    Expr keys_up_to(Index token, Index i) const {
        if (token < 0) return constant(0);
        const Scope scope(w_, b_, v_, w_.key_label(token));
        return w_.between_once(own(token), "sum of keys " + column_label(i), [&] {
            if (!rule_.decays) return w_.sum_of(token + 1, [&](Index t) { return key(t, i); });
            Expr old = number(token > 0 ? key_sum(w_, b_, v_, token - 1, i) : 0);
            old.place = "sum of keys before, " + column_label(i);
            return sum({decayed(w_, b_, v_, token, i, std::move(old)), key(token, i)});
        });
    }
    Expr divisor(const Reader& r) const {
        const Scope scope(w_, b_, r.head, w_.query_label(r.query));
        const Index token = state_token(plan_, b_, r.query);
        return w_.between_once(Cell{Stage::context, b_, r.head, r.query}, "divisor", [&] {
            return w_.sum_of(plan_.dim, [&](Index i) {
                return product({query(r, i), keys_up_to(token, i)});
            });
        });
    }
    /// dn = -dO · o / n
    Expr divisor_back(const Reader& r) const {
        const Scope scope(w_, b_, r.head, w_.query_label(r.query));
        return w_.between_once(Cell{Stage::context, b_, r.head, r.query}, "d_divisor", [&] {
            return quotient(
                negative(w_.sum_of(plan_.value_dim,
                                   [&](Index j) {
                                       return product({w_.gradient(Stage::context, b_, r.head, r.query, j),
                                                       w_.at(Stage::context, b_, r.head, r.query, j)});
                                   })),
                divisor(r));
        });
    }
    /// dz, the gradient of the sum of the keys up to a token: it decays like that of the state.
    Expr sum_back(Index token, Index i) const {
        const Scope scope(w_, b_, v_, w_.key_label(token));
        return w_.between_once(own(token), "d of the sum of keys " + column_label(i), [&] {
            const std::vector<Reader> readers = readers_of(token);
            Sent sent;
            sent.add(w_.sum_of(static_cast<Index>(readers.size()), [&](Index k) {
                return product({divisor_back(readers[idx(k)]), query(readers[idx(k)], i)});
            }));
            if (token + 1 < plan_.keys)
                sent.add(decayed(w_, b_, v_, token + 1, i,
                                 w_.unshown("d of the sum of keys after, " + column_label(i),
                                            [&] { return sum_back(token + 1, i); })));
            return sum(std::move(sent.parts));
        });
    }

    Writer& w_;
    const Plan& plan_;
    const PlannedState& rule_;
    Index b_, v_, key_head_;
};

}  // namespace

void add_states(Writer& w, const Cell& to, Sent& sent) {
    const Plan& plan = w.plan;
    const Index last = plan.keys - 1;
    if (planned(plan, to.id()).of == StageOf::input) {  // the past
        const StateBack back(w, to.batch, to.head);
        back.add_readers(-1, to.row, to.column, sent);
        return back.add_back(0, to.row, to.column, sent);
    }
    if (to.stage == Stage::state)
        return StateBack(w, to.batch, to.head).add_readers(last, to.row, to.column, sent);
    if (to.stage == Stage::states) {
        if (to.token == last) return sent.add(w.gradient(Stage::state, to.batch, to.head, to.row, to.column));
        const StateBack back(w, to.batch, to.head);
        back.add_readers(to.token, to.row, to.column, sent);
        return back.add_back(to.token + 1, to.row, to.column, sent);
    }
    if (to.stage == w.query_stage()) {
        for (Index h = to.head * plan.head_group; h < (to.head + 1) * plan.head_group; ++h)
            StateBack(w, to.batch, plan.kv_head_of(h)).add_query(h, to.row, to.column, sent);
        return;
    }
    if (to.stage == w.key_stage()) {
        for (Index v = to.head * plan.head_group; v < (to.head + 1) * plan.head_group; ++v)
            StateBack(w, to.batch, v).add_key(to.row, to.column, sent);
        return;
    }
    const StateBack back(w, to.batch, to.head);
    if (to.stage == w.value_stage()) return back.add_value(to.row, to.column, sent);
    const bool by_column = planned(plan, to.id()).family == StageShape::key_dim;
    const Index token = by_column ? to.row : to.column;
    const std::optional<Index> column = by_column ? std::optional{to.column} : std::nullopt;
    if (to.stage == Stage::decay) return back.add_decay(token, column, sent);
    back.add_rate(token, column, sent);
}

}  // namespace attn::explain
