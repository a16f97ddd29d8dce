// Projections, norms, rotations and convolutions backwards.
#include <cmath>
#include <utility>

#include "lib/explain/gradients.hpp"

namespace attn::explain {
namespace {

Expr slope_of_gate(GateActivation activation, const Expr& z) {
    switch (activation) {
        case GateActivation::sigmoid:
            return product({sigmoid(z), difference(constant(1), sigmoid(z))});
        case GateActivation::silu:
            return slope_of_silu(z);
        case GateActivation::softplus:
            break;
    }
    return sigmoid(z);
}

/// The gradient of the number that opens a gate, before its activation.
Expr gate_back(Writer& w, Index batch, Index query, Index head, Index column) {
    const Plan& plan = w.plan;
    const Scope scope(w, batch, head, w.query_label(query));
    const std::string d = plan.gate_by_head ? "" : " " + column_label(column);
    const Cell own{Stage::gated_context, batch, head, query, column};
    return w.between_once(own, "d_gate" + d, [&] {
        const Expr z = gate_of(w, batch, head, query, column, "gate" + d);
        const Stage read = w.read_by(Stage::gated_context);
        const auto at = [&](Index c) {
            return product(
                {w.gradient(Stage::gated_context, batch, head, query, c), w.at(read, batch, head, query, c)});
        };
        Expr open = plan.gate_by_head ? w.sum_of(plan.value_dim, at) : at(column);
        return product({std::move(open), slope_of_gate(plan.gate->activation, z)});
    });
}

/// decay = -e^A_log · softplus(z + bias), beta = factor · sigmoid(z): the gradient of z.
Expr rate_back(Writer& w, Stage stage, Index batch, Index token, Index output) {
    const Plan& plan = w.plan;
    const PlannedState& state = *plan.state;
    const bool decay = stage == Stage::decay, by_column = plan.find(stage)->family == StageShape::key_dim;
    const WeightRole role = decay ? WeightRole::decay : WeightRole::beta;
    const Index each = by_column ? plan.find(stage)->shape.back() : 1, head = output / each,
                c = output % each;
    const Scope scope(w, batch, head, w.key_label(token));
    const std::string n =
        std::string(decay ? " of decay" : " of beta") + (by_column ? " " + column_label(c) : "");
    const Cell own{stage, batch, head, token, c};
    return w.between_once(own, "dz" + n, [&] {
        Expr z = w.between_once(own, "z" + n, [&] {
            Expr x = w.projected(role, output,
                                 [&](Index i) { return w.embedding(*plan.key_input, batch, token, i); });
            return decay && state.bias ? sum({std::move(x), w.tensor(*state.bias, head)}) : x;
        });
        Expr d =
            by_column ? w.gradient(stage, batch, head, token, c) : w.gradient(stage, batch, head, 0, token);
        if (decay) {
            std::vector<Expr> factors{std::move(d)};
            if (state.log_rate) factors.push_back(function(Expr::Kind::exp, w.tensor(*state.log_rate, head)));
            factors.push_back(sigmoid(z));
            return negative(product(std::move(factors)));
        }
        std::vector<Expr> factors{std::move(d)};
        if (state.beta_factor != 1) factors.push_back(constant(state.beta_factor));
        factors.push_back(sigmoid(z));
        factors.push_back(difference(constant(1), sigmoid(z)));
        return product(std::move(factors));
    });
}

/// Of what is clamped nothing goes on where it was beyond the bound.
bool is_clamped(const Writer& w, Stage stage, const Expr& unclamped) {
    const std::optional<double> limit = w.plan.limit_of(stage);
    return limit && std::abs(evaluate(unclamped)) > *limit;
}

Expr clamped_away() {
    Expr zero = constant(0);
    zero.place = "clamped";
    return zero;
}

}  // namespace

Expr slope_of_silu(const Expr& z) {
    return product({sigmoid(z), sum({constant(1), product({z, difference(constant(1), sigmoid(z))})})});
}

void Sent::add(Expr e) {
    if (e.kind != Expr::Kind::sum || e.minus) return parts.push_back(std::move(e));
    for (Expr& p : e.parts) parts.push_back(std::move(p));
}

Scope::Scope(Writer& w, Index batch, std::optional<Index> head, const std::string& token)
    : w_(w), before_(w.scope()) {
    std::string name;
    if (w.plan.batch > 1) name = "item " + std::to_string(batch) + ", ";
    if (head && w.plan.heads > 1) name += "head " + std::to_string(*head) + ", ";
    w.scope(name + token);
}

std::vector<Layer> layers_of(Writer& w) {
    const Plan& plan = w.plan;
    std::vector<Layer> out;
    using Role = WeightRole;
    using Numbers = std::function<Expr(Index, Index, Index)>;
    const auto embedded = [&](Role role, std::size_t tensor, Index rows, Numbers dy) {
        Layer l{role, plan.normed_input(tensor), {}, rows, {}, std::move(dy)};
        if (!l.stage) l.tensor = tensor;
        l.x = [&w, tensor](Index b, Index t, Index i) { return w.embedding(tensor, b, t, i); };
        out.push_back(std::move(l));
    };
    const auto reading = [&](Role role, Stage stage, Index rows, Numbers dy) {
        out.push_back({role,
                       stage,
                       {},
                       rows,
                       [&w, stage](Index b, Index t, Index i) { return w.at(stage, b, 0, t, i); },
                       std::move(dy)});
    };
    const auto source = [&](Role role, Stage stage, const std::optional<std::size_t>& input, Index rows) {
        if (plan.projected_given || !plan.find(stage) || !input) return;
        const bool twice = stage == Stage::queries && plan.gate && plan.gate->from_queries;
        const Index dim = plan.find(stage)->shape.back(), each = twice ? 2 * dim : dim;
        // A latent, or embeddings: what the stage reads.
        const std::vector<Stage>& reads = plan.find(stage)->reads;
        const bool narrow = !reads.empty() && !is_embeddings(reads.front());
        const std::optional<Stage> from = narrow ? std::optional{reads.front()} : std::nullopt;
        const std::size_t tensor = *input;
        const Numbers x = [&w, from, tensor](Index b, Index t, Index i) {
            return from ? w.at(*from, b, 0, t, i) : w.embedding(tensor, b, t, i);
        };
        const Numbers dy = [&w, role, stage, dim, each, x](Index b, Index t, Index o) {
            const Index h = o / each, c = o % each;
            if (c >= dim) return gate_back(w, b, t, h, c - dim);
            if (w.plan.limit_of(stage) &&
                is_clamped(w, stage, w.projected(role, o, [&](Index i) { return x(b, t, i); })))
                return clamped_away();
            return w.gradient(stage, b, h, t, c);
        };
        if (narrow) return reading(role, *from, rows, dy);
        embedded(role, tensor, rows, dy);
    };
    source(Role::query, Stage::queries, plan.query_input, plan.queries);
    source(Role::key, Stage::keys, plan.key_input, plan.new_keys);
    source(Role::value, Stage::values, plan.value_input, plan.new_keys);
    if (plan.past_latent)
        for (const bool keys : {true, false}) {
            const Stage all = keys ? Stage::all_keys : Stage::all_values;
            const Index dim = keys ? plan.key_dim : plan.value_dim;
            const std::size_t past = *plan.past_latent;
            out.push_back({keys ? Role::key : Role::value,
                           {},
                           past,
                           plan.past,
                           [&w, past](Index b, Index t, Index i) { return w.input(past, b, 0, 1, t, i); },
                           [&w, all, dim](Index b, Index t, Index o) {
                               return w.gradient(all, b, o / dim, t, o % dim);
                           }});
        }
    if (plan.gate && !plan.gate->from_queries) {
        const Index width = plan.gate_by_head ? 1 : plan.value_dim;
        embedded(Role::gate, *plan.query_input, plan.queries,
                 [&w, width](Index b, Index t, Index o) { return gate_back(w, b, t, o / width, o % width); });
    }
    for (const Stage s : {Stage::query_latent, Stage::latent}) {
        if (!plan.find(s)) continue;
        const bool of_queries = s == Stage::query_latent;
        embedded(of_queries ? Role::query_latent : Role::latent,
                 of_queries ? *plan.query_input : *plan.key_input, of_queries ? plan.queries : plan.new_keys,
                 [&w, s](Index b, Index t, Index o) { return w.gradient(s, b, 0, t, o); });
    }
    if (plan.projects(Role::rope_key))
        embedded(Role::rope_key, *plan.key_input, plan.new_keys, [&w](Index b, Index t, Index o) {
            const Scope scope(w, b, {}, w.key_label(w.plan.past + t));
            const Cell own{Stage::rope_keys, b, 0, t, o};
            return w.between_once(own, "d of unrotated " + column_label(o),
                                  [&] { return turned_back(w, Stage::rope_keys, 0, false, own); });
        });
    for (const Stage s : {Stage::decay, Stage::beta}) {
        const Role role = s == Stage::decay ? Role::decay : Role::beta;
        if (!plan.find(s) || !plan.projects(role)) continue;
        embedded(role, *plan.key_input, plan.new_keys,
                 [&w, s](Index b, Index t, Index o) { return rate_back(w, s, b, t, o); });
    }
    if (plan.projects(Role::score)) {
        // Of all heads, one after another.
        const Stage from = w.query_stage(), keys = w.key_stage();
        const Index n = plan.queries;
        out.push_back({Role::score,
                       from,
                       {},
                       plan.heads * n,
                       [&w, from, n](Index b, Index t, Index i) { return w.at(from, b, t / n, t % n, i); },
                       [&w, keys, n](Index b, Index t, Index o) {
                           const Index h = t / n, i = t % n;
                           const Scope scope(w, b, h, w.query_label(i));
                           return w.between_once(
                               Cell{Stage::scores, b, h, i, o}, "d(query·W_score) " + column_label(o), [&] {
                                   return w.sum_of(w.plan.keys, [&](Index j) {
                                       return product({w.gradient(Stage::scores, b, h, i, j),
                                                       w.at(keys, b, w.plan.kv_head_of(h), j, o)});
                                   });
                               });
                       }});
    }
    if (plan.has_output)
        reading(Role::output, w.read_by(Stage::output), plan.queries,
                [&w](Index b, Index t, Index o) { return w.gradient(Stage::output, b, 0, t, o); });
    return out;
}

Expr through(Writer& w, const Layer& layer, Index batch, Index row, Index i) {
    if (!w.plan.projects(layer.role)) return layer.dy(batch, row, i);
    return w.sum_of(w.plan.projection(layer.role).d_out, [&](Index o) {
        return product({layer.dy(batch, row, o), w.weight(layer.role, i, o)});
    });
}

void add_layers(Writer& w, std::optional<Stage> stage, std::optional<std::size_t> tensor, Index batch,
                Index row, Index i, Sent& to) {
    for (const Layer& l : layers_of(w))
        if (l.stage == stage && l.tensor == tensor && row < l.rows) to.add(through(w, l, batch, row, i));
}

NormBack::NormBack(Writer& w, Stage made, Index batch, Index row)
    : w_(w), made_(made), batch_(batch), row_(row), norm_(w.plan.norm_of(made)) {
    const PlannedStage& stage = *w.plan.find(made);
    heads_ = has_heads(stage.family) ? stage.shape[1] : 1;
    dim_ = stage.shape.back();
}

Expr NormBack::x(Index head, Index column) const {
    if (!is_embeddings(made_)) return w_.at(w_.read_by(made_), batch_, head, row_, column);
    const std::size_t of = made_ == Stage::normed_embeddings ? *w_.plan.query_input : *w_.plan.key_input;
    return w_.input(of, batch_, 0, 1, row_, column);
}

NormParts NormBack::parts(Index head) const {
    const Index count = norm_.over_width ? heads_ * dim_ : dim_;
    return explain_moments(
        w_, {norm_.type, norm_.eps, count,
             [&](Index k) { return x(norm_.over_width ? k / dim_ : head, k % dim_); }, own(head)});
}

Expr NormBack::normed(Index head, Index column) const {
    const NormParts p = parts(head);
    Expr e = x(head, column);
    if (p.mean) e = difference(std::move(e), *p.mean);
    return quotient(std::move(e), p.root);
}

Expr NormBack::dy(Index head, Index column) const {
    if (w_.plan.limit_of(made_)) {
        const Index at = norm_.gain_at(head, column, dim_);
        Expr y = normed(head, column);
        if (norm_.weight) {
            const double gain = w_.tensor(*norm_.weight, at).value + (norm_.plus_one ? 1 : 0);
            y = product({std::move(y), constant(gain * norm_.factor)});
        }
        if (norm_.bias) y = sum({std::move(y), w_.tensor(*norm_.bias, at)});
        if (is_clamped(w_, made_, y)) return clamped_away();
    }
    return w_.gradient(made_, batch_, head, row_, column);
}

Expr NormBack::scaled_back(Index head, Index column) const {
    std::vector<Expr> factors{dy(head, column)};
    if (norm_.weight) {
        Expr g = w_.tensor(*norm_.weight, norm_.gain_at(head, column, dim_));
        factors.push_back(norm_.plus_one ? sum({constant(1), std::move(g)}) : std::move(g));
    }
    if (norm_.factor != 1) factors.push_back(difference(constant(1), constant(w_.plan.differential->init)));
    return product(std::move(factors));
}

/// r (e - n mean(e n)), e the gradient times the weight, n = x r; l2: the sum; layer: less mean(e), too.
Expr NormBack::back(Index head, Index column) const {
    const Index count = norm_.over_width ? heads_ * dim_ : dim_;
    const auto head_of = [&](Index k) { return norm_.over_width ? k / dim_ : head; };
    const NormParts p = parts(head);
    const bool l2 = norm_.type == NormType::l2;
    const auto mean = [&](Expr e) {
        return l2 ? e : quotient(std::move(e), constant(static_cast<double>(count)));
    };
    const Expr along = w_.between_once(own(head), l2 ? "sum of e·n" : "mean of e·n", [&] {
        return mean(w_.sum_of(count, [&](Index k) {
            return product({scaled_back(head_of(k), k % dim_), normed(head_of(k), k % dim_)});
        }));
    });
    std::vector<Expr> parts_of{scaled_back(head, column), product({normed(head, column), along})};
    parts_of[1].minus = true;
    if (norm_.type == NormType::layer) {
        parts_of.push_back(w_.between_once(own(head), "mean of e", [&] {
            return mean(w_.sum_of(count, [&](Index k) { return scaled_back(head_of(k), k % dim_); }));
        }));
        parts_of.back().minus = true;
    }
    return quotient(sum(std::move(parts_of)), p.root);
}

Expr convolution_back(Writer& w, Stage made, Index batch, Index head, Index token, Index column) {
    Expr d = w.gradient(made, batch, head, token, column);
    if (!w.plan.conv->silu) return d;
    const Index place = made == Stage::convolved_queries ? token : token + w.plan.past;
    const Scope scope(w, batch, head,
                      made == Stage::convolved_queries ? w.query_label(place) : w.key_label(place));
    const Cell own{made, batch, head, token, column};
    const PlannedStage& read = *w.plan.find(w.plan.find(made)->reads.front());  // a shorter name
    const std::string n = column_label(column) + " of " + read.name;
    return w.between_once(own, "dz " + n, [&] {
        const Expr z = w.between_once(own, "z " + n, [&] { return convolution(w, own, column); });
        return product({std::move(d), slope_of_silu(z)});
    });
}

Expr turned_back(Writer& w, Stage made, Index first, bool of_queries, const Cell& of) {
    const PlannedRope& rope = *w.plan.rope;
    const auto d = [&](Index c) { return w.gradient(made, of.batch, of.head, of.row, c); };
    const Index k = of.column - first;
    if (k < 0 || k >= rope.dims) return d(of.column);
    const Index pair = rope.pair_of(k), i = rope.first_of(pair), j = rope.second_of(pair);
    const bool is_first = k == i;
    // A column that has a turn of its own: the sine is that of the other one.
    const Turn own = turn_of(w, of, k, of_queries),
               other = rope.by_column ? turn_of(w, of, is_first ? j : i, of_queries) : own;
    Expr along = product({d(of.column), own.cos}),
         across = product({d(first + (is_first ? j : i)), other.sin});
    if (is_first == rope.reverse) return difference(std::move(along), std::move(across));
    return sum({std::move(along), std::move(across)});
}

}  // namespace attn::explain
