// Stages before the scores: projections, norms, rotations, caches.
#include <cmath>
#include <utility>

#include "lib/explain/writer.hpp"
#include "lib/input/choices.hpp"
#include "lib/text.hpp"

namespace attn::explain {

Turn turn_of(Writer& w, const RowOf& row, Index column, bool of_queries) {
    const PlannedRope& rope = *w.plan.rope;
    const Index pair = rope.pair_of(column);
    const std::string n = "pair " + std::to_string(pair);
    if (rope.cos) {
        const Shape& s = w.plan.tensors[*rope.cos].shape;
        const Index item = s.size() == 3 && s[0] > 1 ? row.batch : 0;
        const Index flat = (item * s[s.size() - 2] + row.row) * s.back() + (rope.by_column ? column : pair);
        return {w.tensor(*rope.cos, flat), w.tensor(*rope.sin, flat)};
    }
    Expr position = constant(rope.positions(of_queries).at(row.batch, row.row));
    position.place = "position";
    std::vector<Expr> factors{position,
                              power(constant(rope.base), quotient(constant(-2.0 * static_cast<double>(pair)),
                                                                  constant(static_cast<double>(rope.dims))))};
    if (!rope.frequency_factors.empty()) {
        Expr scaling = constant(rope.frequency_factors[idx(pair)]);
        scaling.place = std::string(choice_name(rope.scaling)) + " factor";
        factors.push_back(std::move(scaling));
    }
    const Cell own{of_queries ? Stage::rotated_queries : Stage::rotated_keys, row.batch, 0, row.row};
    const Expr angle = w.between_once(
        own, n + " angle", [&] { return product(std::move(factors)); }, "radians");
    const auto of = [&](Expr::Kind kind, const char* name) {
        Expr e = function(kind, angle);
        if (rope.amplitude != 1) e = product({constant(rope.amplitude), std::move(e)});
        return w.between_once(own, n + name, [&] { return std::move(e); });
    };
    Expr cos = of(Expr::Kind::cos, " cos");
    return {std::move(cos), of(Expr::Kind::sin, " sin")};
}

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

/// The same, clamped where the plan says so.
void calculate_clamped(Writer& w, const RowOf& row, Index c, Expr e) {
    const std::optional<double> limit = w.plan.limit_of(row.stage);
    const double value = limit ? evaluate(e) : 0;
    if (!limit || std::abs(value) <= *limit) return calculate(w, row, c, std::move(e));
    const std::string name = "unclamped " + column_label(c);
    w.between(name, name, std::move(e));
    copy(w, row, c, constant(std::copysign(*limit, value)), "clamped to ±" + significant(*limit, 9));
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
        return {WeightRole::query, *plan.query_input, plan.query_dim * (twice ? 2 : 1), plan.query_heads()};
    if (stage == Stage::keys) return {WeightRole::key, *plan.key_input, plan.key_dim, plan.key_heads()};
    return {WeightRole::value, *plan.value_input, plan.value_dim, plan.value_heads()};
}

/// Calls f(column, first of the pair, second, turn) or, where a column does not turn, still(column), with the
/// angles of every pair written before its first column.
template <class Rotated, class Still>
void each_turned(Writer& w, const RowOf& row, Columns columns, Index first, bool of_queries,
                 const Rotated& rotated, const Still& still) {
    const PlannedRope& rope = *w.plan.rope;
    std::vector<std::optional<Turn>> turns(static_cast<std::size_t>(rope.dims));
    w.each(columns, "columns", [&](Index c) {
        const Index k = c - first;
        if (k < 0 || k >= rope.dims) return still(c);
        const Index pair = rope.pair_of(k);
        auto& turn = turns[idx(rope.by_column ? k : pair)];
        if (!turn) turn = turn_of(w, row, k, of_queries);
        rotated(c, first + rope.first_of(pair), first + rope.second_of(pair), *turn);
    });
}

/// (a, b) becomes (a cos - b sin, a sin + b cos); turned back, the sines have the other sign.
Expr turned(bool is_first, bool back, Expr a, Expr b, const Turn& t) {
    if (!is_first) std::swap(a, b);
    Expr along = product({std::move(a), t.cos}), across = product({std::move(b), t.sin});
    if (is_first != back) return difference(std::move(along), std::move(across));
    if (is_first) return sum({std::move(along), std::move(across)});
    return sum({std::move(across), std::move(along)});
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
            copy(w, row, c, w.embedding(source.tensor, row.batch, row.row, row.head * source.dim + c));
        });
        return;
    }
    w.why(row.stage == Stage::queries ? "what does this token look for?"
          : row.stage == Stage::keys  ? "what does a token offer to be found by?"
                                      : "what does a token pass on when it is found?");
    std::function<Expr(Index)> x = [&](Index i) { return w.embedding(source.tensor, row.batch, row.row, i); };
    // Made from a latent: of the keys, or of the queries.
    const bool narrow = plan.variant->is_latent() && row.stage != Stage::queries;
    if (narrow || plan.projects(WeightRole::query_latent))
        if (row.stage == Stage::queries || narrow)
            x = [&](Index i) { return w.at(w.read_by(row.stage), row.batch, 0, row.row, i); };
    w.each(columns, "columns", [&](Index c) {
        calculate_clamped(w, row, c, w.projected(source.role, row.head * source.dim + c, x));
    });
}

void explain_latent(Writer& w, const RowOf& row, Columns columns) {
    const bool of_queries = row.stage == Stage::query_latent;
    w.why(of_queries ? "a narrow summary of the token, from which its queries are made"
                     : "a narrow summary of the token: it is all that a cache has to keep");
    w.each(columns, "columns", [&](Index c) {
        calculate(w, row, c,
                  w.projected(of_queries ? WeightRole::query_latent : WeightRole::latent, c, [&](Index i) {
                      return w.embedding(of_queries ? *w.plan.query_input : *w.plan.key_input, row.batch,
                                         row.row, i);
                  }));
    });
}

NormParts explain_moments(Writer& w, const NormOf& norm) {
    NormParts out;
    const auto between = [&](const char* name, const std::function<Expr()>& e) {
        return norm.once ? w.between_once(*norm.once, name, e) : w.between(name, name, e());
    };
    const Expr n = constant(static_cast<double>(norm.n)), eps = constant(norm.eps);
    if (norm.type == NormType::layer)
        out.mean = between("mean", [&] { return quotient(w.sum_of(norm.n, norm.x), n); });
    const auto squares = [&] {
        return w.sum_of(norm.n, [&](Index k) {
            return function(Expr::Kind::square, out.mean ? difference(norm.x(k), *out.mean) : norm.x(k));
        });
    };
    const Expr size = norm.type == NormType::l2 ? between("sum of squares", squares)
                                                : between(out.mean ? "variance" : "mean of squares",
                                                          [&] { return quotient(squares(), n); });
    out.root = between("root", [&] { return function(Expr::Kind::root, sum({size, eps})); });
    return out;
}

void explain_norm(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedNorm& norm = plan.norm_of(row.stage);
    const PlannedStage& stage = *plan.find(row.stage);
    const auto x_at = [&](Index head, Index column) {
        if (!is_embeddings(row.stage)) return w.at(w.read_by(row.stage), row.batch, head, row.row, column);
        const std::size_t of = row.stage == Stage::normed_embeddings ? *plan.query_input : *plan.key_input;
        return w.input(of, row.batch, 0, 1, row.row, column);
    };
    const Index dim = stage.shape.back(), heads = has_heads(stage.family) ? stage.shape[1] : 1;
    w.why(row.stage == Stage::normed_values    ? "values of one length: a token says no more than others"
          : is_embeddings(row.stage)           ? "tokens of one size: the norm before the attention"
          : row.stage == Stage::normed_context ? "the context of each head at one size, before the gate"
          : row.stage == Stage::normed_concat  ? "the joined heads at one size, before they are mixed"
          : row.stage == Stage::normed_latent || row.stage == Stage::normed_query_latent
              ? "latents of one size"
              : "vectors of one length: only their direction counts in the "
                "product");
    if (row.stage == Stage::normed_context && plan.differential)
        w.why("the context of each head at one size, times 1 - lambda_init");
    if (row.stage == Stage::normed_context && norm.over_width)
        w.why("the contexts of all heads together at one size, before the gate");
    const NormParts parts =
        explain_moments(w, {norm.type, norm.eps, norm.over_width ? heads * dim : dim, [&](Index k) {
                                const Index h = norm.over_width ? k / dim : row.head;
                                return x_at(h, k % dim);
                            }});
    w.each(columns, "columns", [&](Index c) {
        Expr x = x_at(row.head, c);
        if (parts.mean) x = difference(std::move(x), *parts.mean);
        Expr e = quotient(std::move(x), parts.root);
        const Index at = norm.gain_at(row.head, c, dim);
        if (norm.weight) {
            Expr g = w.tensor(*norm.weight, at);
            if (norm.plus_one) g = sum({constant(1), std::move(g)});
            e = product({std::move(e), std::move(g)});
        }
        if (norm.factor != 1)
            e = product({std::move(e), difference(constant(1), constant(plan.differential->init))});
        if (norm.bias) e = sum({std::move(e), w.tensor(*norm.bias, at)});
        calculate_clamped(w, row, c, std::move(e));
    });
}

void explain_tempered(Writer& w, const RowOf& row, Columns columns) {
    const Stage from = w.read_by(row.stage);
    w.why("a query far along looks more sharply: its scores grow alike");
    Expr by = constant(w.plan.query_scale->at(row.batch, row.head, row.row));
    by.place = "query_scale";
    w.each(columns, "columns", [&](Index c) {
        calculate(w, row, c, product({w.at(from, row.batch, row.head, row.row, c), by}));
    });
}

void explain_rope_keys(Writer& w, const RowOf& row, Columns columns) {
    w.why("one rotated part of the key, shared by all heads");
    const auto raw = [&](Index c) {
        const std::string name = "unrotated d" + std::to_string(c);
        return w.between(name, name, w.projected(WeightRole::rope_key, c, [&](Index i) {
            return w.embedding(*w.plan.key_input, row.batch, row.row, i);
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
            calculate(w, row, c, turned(c == a, w.plan.rope->reverse, x, y, t));
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
    w.why(std::string("pairs of columns turn by ") + (plan.rope->reverse ? "minus " : "") +
          "position · base^(-2n/" + std::to_string(plan.rope->dims) + ")" +
          (plan.rope->frequency_factors.empty() ? "" : " · a factor of the pair") +
          ": a product then depends on the distance");
    if (plan.rope->cos) w.why("pairs of columns turn by the given cosines and sines");
    each_turned(
        w, row, columns, of_queries ? plan.rope->first_query : 0, of_queries,
        [&](Index c, Index a, Index b, const Turn& t) {
            calculate(w, row, c, turned(c == a, plan.rope->reverse, x(a), x(b), t));
        },
        [&](Index c) { copy(w, row, c, x(c), "does not turn"); });
}

Expr convolution(Writer& w, const RowOf& row, Index column) {
    const PlannedConv& conv = *w.plan.conv;
    const PlannedConv::Part& part = conv.of(row.stage);
    const Stage from = w.read_by(row.stage);
    const Index channel = row.head * w.plan.find(row.stage)->shape.back() + column;
    std::vector<Expr> parts;
    for (Index k = 0; k < conv.taps; ++k) {
        const Index token = row.row + k + 1 - conv.taps;
        if (token < 0 && !conv.past) continue;
        Expr x = token >= 0 ? w.at(from, row.batch, row.head, token, column)
                            : w.tensor(*conv.past, conv.before(part, row.batch, channel, row.row, k));
        parts.push_back(product({std::move(x), w.tensor(part.weight, conv.tap(part, channel, k))}));
    }
    if (part.bias) parts.push_back(w.tensor(*part.bias, part.first + channel));
    return sum(std::move(parts));
}

void explain_convolved(Writer& w, const RowOf& row, Columns columns) {
    w.why("the token and those just before it, column by column");
    w.each(columns, "columns", [&](Index c) {
        Expr z = convolution(w, row, c);
        if (!w.plan.conv->silu) return calculate(w, row, c, std::move(z));
        const std::string name = "z of d" + std::to_string(c);
        const Expr named = w.between(name, name, std::move(z));
        calculate(w, row, c, quotient(named, sum({constant(1), function(Expr::Kind::exp, negative(named))})));
    });
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
            case FeatureMap::silu:
                w.why("x times its sigmoid: small negative numbers stay, large ones go to 0");
                calculate(w, row, c, quotient(x, sum({constant(1), function(Expr::Kind::exp, negative(x))})));
                break;
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
            return copy(w, row, c,
                        w.input(past, row.batch, row.head, keys ? plan.kv_heads : plan.value_heads(), t, c));
        }
        const auto& appended = keys ? plan.bias_k : plan.bias_v;
        if (appended && t == plan.given_keys())
            return copy(w, row, c, w.tensor(*appended, row.head * dim + c, keys ? "bias_k" : "bias_v"));
        copy(w, row, c, constant(0));
    });
}

}  // namespace attn::explain
