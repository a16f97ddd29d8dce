// Stages before the scores: projections, norms, rotations, caches.
#include <cmath>

#include "lib/explain/writer.hpp"

namespace attn::explain {
namespace {

/// A number taken over from another place.
void copy(Writer& w, const RowOf& row, Index c, Expr from, std::string note = {}) {
    Cell cell = row;
    cell.column = c;
    w.result(cell, column_label(c), std::move(from), std::move(note)).group = w.row_label(row);
}

void calculate(Writer& w, const RowOf& row, Index c, Expr e) {
    Cell cell = row;
    cell.column = c;
    w.result(cell, column_label(c), std::move(e)).group = w.row_label(row);
}

struct Source {
    WeightRole role;
    std::size_t tensor;
    Index dim;  ///< columns of a head in the projection
    Index heads;
};

Source source_of(const Plan& plan, Stage stage) {
    const bool twice = plan.gate && plan.gate->from_queries;
    if (stage == Stage::queries)
        return {WeightRole::query, *plan.query_input, plan.query_dim * (twice ? 2 : 1), plan.heads};
    if (stage == Stage::keys) return {WeightRole::key, *plan.key_input, plan.key_dim, plan.kv_heads};
    return {WeightRole::value, *plan.value_input, plan.value_dim, plan.kv_heads};
}

/// Cosine and sine of a pair at a token.
struct Turn {
    Expr cos, sin;
};

Turn turn_of(Writer& w, const RowOf& row, Index pair, bool of_queries) {
    const PlannedRope& rope = *w.plan.rope;
    const std::string n = "pair " + std::to_string(pair);
    if (rope.cos) {
        const Shape& s = w.plan.tensors[*rope.cos].shape;
        const Index item = s.size() == 3 && s[0] > 1 ? row.batch : 0;
        const Index flat = (item * s[s.size() - 2] + row.row) * (rope.dims / 2) + pair;
        return {w.tensor(*rope.cos, flat), w.tensor(*rope.sin, flat)};
    }
    const std::vector<double>& positions = of_queries ? rope.query_positions : rope.key_positions;
    Expr position = constant(positions[idx(row.row)]);
    position.place = "position";
    const Expr angle = w.between(
        n + " angle", n + " angle",
        product({position, power(constant(rope.base), quotient(constant(-2.0 * static_cast<double>(pair)),
                                                               constant(static_cast<double>(rope.dims))))}),
        "radians");
    return {w.between(n + " cos", n + " cos", function(Expr::Kind::cos, angle)),
            w.between(n + " sin", n + " sin", function(Expr::Kind::sin, angle))};
}

/// Calls f(column, pair, other column, is the first of the pair) or, where a column does not turn, f(column,
/// -1, ...), with the angles of every pair written before its first column.
template <class Rotated, class Still>
void each_turned(Writer& w, const RowOf& row, Columns columns, Index first, bool of_queries,
                 const Rotated& rotated, const Still& still) {
    const PlannedRope& rope = *w.plan.rope;
    const Index pairs = rope.dims / 2;
    std::vector<std::optional<Turn>> turns(static_cast<std::size_t>(pairs));
    const auto pair_of = [&](Index k) { return rope.interleaved ? k / 2 : k % pairs; };
    w.each(columns, "columns", [&](Index c) {
        const Index k = c - first;
        if (k < 0 || k >= rope.dims) return still(c);
        const Index pair = pair_of(k);
        auto& turn = turns[idx(pair)];
        if (!turn) turn = turn_of(w, row, pair, of_queries);
        const Index a = first + (rope.interleaved ? 2 * pair : pair), b = a + (rope.interleaved ? 1 : pairs);
        rotated(c, a, b, *turn);
    });
}

/// (a, b) becomes (a cos - b sin, a sin + b cos).
Expr turned(bool is_first, Expr a, Expr b, const Turn& t) {
    if (is_first) return difference(product({std::move(a), t.cos}), product({std::move(b), t.sin}));
    return sum({product({std::move(a), t.sin}), product({std::move(b), t.cos})});
}

}  // namespace

void explain_projection(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const Source source = source_of(plan, row.stage);
    if (!plan.projects(source.role)) {
        w.why(plan.projected_given ? "given in the document"
                                   : "no projection: the embeddings themselves are compared");
        if (row.stage == Stage::values && !plan.projected_given)
            w.why("no projection: the embeddings themselves are averaged");
        w.each(columns, "columns", [&](Index c) {
            if (plan.projected_given)
                return copy(w, row, c, w.input(source.tensor, row.batch, row.head, source.heads, row.row, c));
            copy(w, row, c, w.input(source.tensor, row.batch, 0, 1, row.row, row.head * source.dim + c));
        });
        return;
    }
    w.why(row.stage == Stage::queries ? "what does this token look for?"
          : row.stage == Stage::keys  ? "what does a token offer to be found by?"
                                      : "what does a token pass on when it is found?");
    std::function<Expr(Index)> x = [&](Index i) {
        return w.input(source.tensor, row.batch, 0, 1, row.row, i);
    };
    std::vector<Expr> narrow;
    if (plan.variant->is_latent() && row.stage != Stage::queries) {
        x = [&](Index i) { return w.at(Stage::latent, row.batch, 0, row.row, i); };
    } else if (row.stage == Stage::queries && plan.projects(WeightRole::query_latent)) {
        for (Index m = 0; m < plan.projection(WeightRole::query_latent).d_out; ++m)
            narrow.push_back(w.between("latent " + std::to_string(m), "query latent " + std::to_string(m),
                                       w.projected(WeightRole::query_latent, m, x)));
        x = [&](Index i) { return narrow[idx(i)]; };
    }
    w.each(columns, "columns",
           [&](Index c) { calculate(w, row, c, w.projected(source.role, row.head * source.dim + c, x)); });
}

void explain_latent(Writer& w, const RowOf& row, Columns columns) {
    w.why("a narrow summary of the token: it is all that a cache has to keep");
    w.each(columns, "columns", [&](Index c) {
        calculate(w, row, c, w.projected(WeightRole::latent, c, [&](Index i) {
            return w.input(*w.plan.key_input, row.batch, 0, 1, row.row, i);
        }));
    });
}

NormParts explain_moments(Writer& w, const NormOf& norm) {
    NormParts out;
    const Expr n = constant(static_cast<double>(norm.n)), eps = constant(norm.eps);
    if (norm.type == NormType::layer)
        out.mean = w.between("mean", "mean", quotient(w.sum_of(norm.n, norm.x), n));
    const Expr squares = w.sum_of(norm.n, [&](Index k) {
        return function(Expr::Kind::square, out.mean ? difference(norm.x(k), *out.mean) : norm.x(k));
    });
    const Expr size = norm.type == NormType::l2
                          ? w.between("sum of squares", "sum of squares", squares)
                          : w.between(out.mean ? "variance" : "mean of squares",
                                      out.mean ? "variance" : "mean of squares", quotient(squares, n));
    out.root = w.between("root", "root", function(Expr::Kind::root, sum({size, eps})));
    return out;
}

void explain_norm(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const QkNorm& norm = *plan.qk_norm;
    const bool of_queries = row.stage == Stage::normed_queries;
    const Stage from = w.read_by(row.stage);
    const Index dim = of_queries ? plan.query_dim : plan.key_dim;
    const Index heads = of_queries ? plan.heads : plan.kv_heads;
    w.why("vectors of one length: only their direction counts in the product");
    const NormParts parts =
        explain_moments(w, {norm.type, norm.eps, norm.over_width ? heads * dim : dim, [&](Index k) {
                                const Index h = norm.over_width ? k / dim : row.head;
                                return w.at(from, row.batch, h, row.row, k % dim);
                            }});
    const auto& gain = of_queries ? plan.query_norm : plan.key_norm;
    w.each(columns, "columns", [&](Index c) {
        Expr x = w.at(from, row.batch, row.head, row.row, c);
        if (parts.mean) x = difference(std::move(x), *parts.mean);
        Expr e = quotient(std::move(x), parts.root);
        if (gain) {
            Expr g = w.tensor(*gain, norm.over_width ? row.head * dim + c : c);
            if (norm.plus_one) g = sum({constant(1), std::move(g)});
            e = product({std::move(e), std::move(g)});
        }
        calculate(w, row, c, std::move(e));
    });
}

void explain_rope_keys(Writer& w, const RowOf& row, Columns columns) {
    w.why("one rotated part of the key, shared by all heads");
    const auto raw = [&](Index c) {
        const std::string name = "unrotated d" + std::to_string(c);
        return w.between(name, name, w.projected(WeightRole::rope_key, c, [&](Index i) {
            return w.input(*w.plan.key_input, row.batch, 0, 1, row.row, i);
        }));
    };
    std::vector<std::optional<Expr>> known(static_cast<std::size_t>(w.plan.rope->dims));
    const auto once = [&](Index c) {
        auto& e = known[idx(c)];
        if (!e) e = raw(c);
        return *e;
    };
    each_turned(
        w, row, columns, 0, false,
        [&](Index c, Index a, Index b, const Turn& t) {
            const Expr x = once(a), y = once(b);
            calculate(w, row, c, turned(c == a, x, y, t));
        },
        [](Index) {});
}

void explain_rotation(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const bool of_queries = row.stage == Stage::rotated_queries;
    const Stage from = w.read_by(row.stage);
    const auto x = [&](Index c) { return w.at(from, row.batch, row.head, row.row, c); };
    if (!of_queries && w.has(Stage::rope_keys)) {
        w.why("each head's own part, then the rotated part that all heads share");
        w.each(columns, "columns", [&](Index c) {
            copy(w, row, c,
                 c < plan.key_dim ? x(c) : w.at(Stage::rope_keys, row.batch, 0, row.row, c - plan.key_dim));
        });
        return;
    }
    w.why("pairs of columns turn by position · base^(-2n/" + std::to_string(plan.rope->dims) +
          "): a product then depends on the distance");
    if (plan.rope->cos) w.why("pairs of columns turn by the given cosines and sines");
    each_turned(
        w, row, columns, of_queries ? plan.rope->first_query : 0, of_queries,
        [&](Index c, Index a, Index b, const Turn& t) {
            calculate(w, row, c, turned(c == a, x(a), x(b), t));
        },
        [&](Index c) { copy(w, row, c, x(c), "does not turn"); });
}

void explain_feature_map(Writer& w, const RowOf& row, Columns columns) {
    const Stage from = w.read_by(row.stage);
    w.why("positive numbers, so that sums of them can stand for weights");
    w.each(columns, "columns", [&](Index c) {
        Expr x = w.at(from, row.batch, row.head, row.row, c);
        switch (*w.plan.state->feature_map) {
            case FeatureMap::elu1:
                calculate(
                    w, row, c,
                    x.value > 0 ? sum({std::move(x), constant(1)}) : function(Expr::Kind::exp, std::move(x)));
                break;
            case FeatureMap::relu: {
                Expr e;
                e.kind = Expr::Kind::maximum;
                e.parts = {constant(0), std::move(x)};
                calculate(w, row, c, std::move(e));
                break;
            }
            case FeatureMap::identity:
                w.why("taken as they are");
                copy(w, row, c, std::move(x));
                break;
        }
    });
}

void explain_joined(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const bool keys = row.stage == Stage::all_keys;
    const Index t = row.row, dim = keys ? plan.dim : plan.value_dim;
    w.why("the cache, then the new ones, then what is appended");
    const Stage from = w.read_by(row.stage);
    w.each(columns, "columns", [&](Index c) {
        if (t >= plan.past && t < plan.given_keys())
            return copy(w, row, c, w.at(from, row.batch, row.head, t - plan.past, c));
        if (t < plan.past && plan.past_latent) {
            if (keys && c >= plan.key_dim)
                return copy(w, row, c, w.input(*plan.past_rope_keys, row.batch, 0, 1, t, c - plan.key_dim));
            const Index width = keys ? plan.key_dim : plan.value_dim;
            return calculate(
                w, row, c,
                w.projected(keys ? WeightRole::key : WeightRole::value, row.head * width + c,
                            [&](Index i) { return w.input(*plan.past_latent, row.batch, 0, 1, t, i); }));
        }
        if (t < plan.past) {
            const std::size_t past = keys ? *plan.past_keys : *plan.past_values;
            return copy(w, row, c, w.input(past, row.batch, row.head, plan.kv_heads, t, c));
        }
        const auto& appended = keys ? plan.bias_k : plan.bias_v;
        if (appended && t == plan.given_keys())
            return copy(w, row, c, w.tensor(*appended, row.head * dim + c));
        copy(w, row, c, constant(0));
    });
}

}  // namespace attn::explain
