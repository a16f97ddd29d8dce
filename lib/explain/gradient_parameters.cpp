// Gradients of inputs and of parameters: sums over all their uses.
#include <algorithm>
#include <utility>

#include "lib/explain/gradients.hpp"

namespace attn::explain {
namespace {

/// A number of a parameter's tensor, and the sums that its gradient is made of.
class Parameter {
  public:
    Parameter(Writer& w, std::size_t tensor, Index flat, Sent& sent)
        : w_(w), plan_(w.plan), tensor_(tensor), flat_(flat), sent_(sent) {}

    void add() {
        layers();
        norms();
        appended();
        if (plan_.additive == tensor_) additive();
        if (plan_.conv) convolutions();
        if (plan_.state) rates();
        if (plan_.differential && !plan_.differential->lambda) lambda_vectors();
        if (plan_.position_bias && plan_.position_bias->tensor == tensor_) position_bias();
    }

  private:
    using Term = std::function<Expr(Index batch, Index row)>;

    /// Over batch items and rows of each.
    void sum_over(Index rows, const Term& term) {
        sent_.add(w_.sum_of(plan_.batch * rows, [&](Index k) { return term(k / rows, k % rows); }));
    }

    void layers() {
        for (const Layer& l : layers_of(w_)) {
            for (const WeightPiece& p : plan_.projection(l.role).weight) {
                if (p.tensor != tensor_ || flat_ < p.base) continue;
                const Index columns = plan_.tensors[tensor_].shape.back(), at = flat_ - p.base;
                const Index i = p.out_in ? at % columns : at / columns,
                            o = (p.out_in ? at / columns : at % columns) - p.source_begin;
                if (o < 0 || o >= p.outputs || i >= plan_.projection(l.role).d_in) continue;
                sum_over(l.rows, [&](Index b, Index t) {
                    return product({l.x(b, t, i), l.dy(b, t, p.target_begin + o)});
                });
            }
            for (const WeightPiece& p : plan_.projection(l.role).bias) {
                const Index o = flat_ - p.source_begin;
                if (p.tensor != tensor_ || o < 0 || o >= p.outputs) continue;
                sum_over(l.rows, [&](Index b, Index t) { return l.dy(b, t, p.target_begin + o); });
            }
        }
    }

    void norms() {
        for (const PlannedStage& s : plan_.stages) {
            if (!s.name.starts_with("normed_")) continue;
            const PlannedNorm& norm = plan_.norm_of(s.stage);
            const bool of_weight = norm.weight == tensor_;
            if (!of_weight && norm.bias != tensor_) continue;
            const NormBack any(w_, s.stage, 0, 0);
            const Index dim = any.dim(), heads = norm.by_head ? 1 : any.heads(),
                        rows = s.shape[s.shape.size() - 2];
            sum_over(rows * heads, [&](Index b, Index k) {
                const Index h = norm.by_head ? flat_ / dim : k / rows, t = k % rows, c = flat_ % dim;
                const RowOf row{s.stage, b, h, t};
                const bool own = !norm.over_width && any.heads() > 1;
                const std::string of =
                    plan_.norms_key_embeddings && is_embeddings(s.stage) ? " of " + s.name : "";
                const Scope scope(w_, b, own ? std::optional{h} : std::nullopt, w_.row_label(row) + of);
                const NormBack back(w_, s.stage, b, t);
                std::vector<Expr> factors{back.dy(h, c)};
                if (of_weight) factors.push_back(back.normed(h, c));
                if (of_weight && norm.factor != 1)
                    factors.push_back(difference(constant(1), constant(plan_.differential->init)));
                return product(std::move(factors));
            });
        }
    }

    void appended() {
        for (const bool keys : {true, false}) {
            if ((keys ? plan_.bias_k : plan_.bias_v) != tensor_) continue;
            const Index dim = keys ? plan_.dim : plan_.value_dim;
            sum_over(1, [&](Index b, Index) {
                return w_.gradient(keys ? Stage::all_keys : Stage::all_values, b, flat_ / dim,
                                   plan_.given_keys(), flat_ % dim);
            });
        }
    }

    void additive() {
        const Index dim = plan_.dim, c = flat_ % dim, each = plan_.queries * plan_.keys;
        const bool by_head = *element_count(plan_.tensors[tensor_].shape) > dim;
        const Index heads = by_head ? 1 : plan_.heads;
        sum_over(heads * each, [&](Index b, Index k) {
            const Index h = by_head ? flat_ / dim : k / each, i = k % each / plan_.keys, j = k % plan_.keys;
            return product(
                {w_.gradient(Stage::scores, b, h, i, j),
                 function(Expr::Kind::tanh, sum({w_.at(w_.query_stage(), b, h, i, c),
                                                 w_.at(w_.key_stage(), b, plan_.kv_head_of(h), j, c)}))});
        });
    }

    void convolutions() {
        const PlannedConv& conv = *plan_.conv;
        for (const Stage s : {Stage::convolved_queries, Stage::convolved_keys, Stage::convolved_values}) {
            if (!plan_.find(s)) continue;
            const PlannedConv::Part& part = conv.of(s);
            const PlannedStage& made = *plan_.find(s);
            const Index dim = made.shape.back(), rows = made.shape[2], channels = dim * made.shape[1];
            for (Index channel = 0; channel < channels; ++channel) {
                const auto dz = [&](Index b, Index t) {
                    return convolution_back(w_, s, b, channel / dim, t, channel % dim);
                };
                if (part.bias == tensor_ && part.first + channel == flat_) sum_over(rows, dz);
                if (part.weight != tensor_) continue;
                for (Index k = 0; k < conv.taps; ++k) {
                    if (conv.tap(part, channel, k) != flat_) continue;
                    const Index none = conv.past ? 0 : conv.taps - 1 - k;  // before the first token
                    if (none >= rows) continue;
                    sum_over(rows - none, [&](Index b, Index n) {
                        const Index t = n + none, from = t + k + 1 - conv.taps;
                        Expr x = from >= 0 ? w_.at(w_.read_by(s), b, channel / dim, from, channel % dim)
                                           : w_.tensor(*conv.past, conv.before(part, b, channel, t, k));
                        return product({dz(b, t), std::move(x)});
                    });
                }
            }
        }
    }

    void rates() {
        const PlannedState& state = *plan_.state;
        const bool speed = state.log_rate == tensor_;
        if (!speed && state.bias != tensor_) return;
        const PlannedStage& decay = *plan_.find(Stage::decay);
        const Index each = decay.family == StageShape::key_dim ? decay.shape.back() : 1;
        const Index rows = plan_.new_keys;
        for (const Layer& l : layers_of(w_)) {
            if (l.role != WeightRole::decay) continue;
            sum_over(rows * each, [&](Index b, Index k) {
                const Index t = k / each, c = k % each;
                if (!speed) return l.dy(b, t, flat_ * each + c);
                const bool by_column = decay.family == StageShape::key_dim;
                const Index row = by_column ? t : 0, column = by_column ? c : t;
                return product({w_.gradient(Stage::decay, b, flat_, row, column),
                                w_.at(Stage::decay, b, flat_, row, column)});
            });
        }
    }

    void lambda_vectors() {
        const PlannedDifferential& pairs = *plan_.differential;
        for (std::size_t v = 0; v < 4; ++v) {
            if (pairs.vectors[v] != tensor_) continue;
            const std::size_t first = v < 2 ? 0 : 2, partner = v % 2 == 0 ? v + 1 : v - 1;
            const Expr d = w_.between_once({}, "d_lambda", [&] {
                Sent sent;
                add_lambda(w_, sent);
                return sum(std::move(sent.parts));
            });
            const Expr power = w_.between_once({}, first == 0 ? "e^(q1·k1)" : "e^(q2·k2)", [&] {
                return function(Expr::Kind::exp, w_.sum_of(pairs.width, [&](Index k) {
                    return product(
                        {w_.tensor(pairs.vectors[first], k), w_.tensor(pairs.vectors[first + 1], k)});
                }));
            });
            Expr e = product({d, power, w_.tensor(pairs.vectors[partner], flat_)});
            sent_.add(first == 0 ? std::move(e) : negative(std::move(e)));
        }
    }

    void position_bias() {
        struct Biased {
            Index batch, head, query, key;
        };
        std::vector<Biased> pairs;
        for (Index b = 0; b < plan_.batch; ++b)
            for (Index h = 0; h < plan_.heads; ++h)
                for (Index i = 0; i < plan_.queries; ++i)
                    for (Index j = 0; j < plan_.given_keys(); ++j)
                        if (plan_.bias_number(b, h, i, j) == flat_) pairs.push_back({b, h, i, j});
        if (pairs.empty()) sent_.note = "no pair has this bucket";
        if (!pairs.empty())
            sent_.add(w_.sum_of(static_cast<Index>(pairs.size()), [&](Index k) {
                const Biased& p = pairs[idx(k)];
                return w_.gradient(Stage::biased_scores, p.batch, p.head, p.query, p.key);
            }));
    }

  public:
    /// -d · the second half's weights, of all pairs.
    static void add_lambda(Writer& w, Sent& sent) {
        const Plan& plan = w.plan;
        const Index heads = plan.context_heads(), cells = plan.queries * plan.keys;
        const Stage weights = w.read_by(Stage::differential_weights);
        Expr all = w.sum_of(plan.batch * heads * cells, [&](Index n) {
            const Index b = n / (heads * cells), h = n / cells % heads, i = n % cells / plan.keys,
                        j = n % plan.keys;
            return product({w.gradient(Stage::differential_weights, b, h, i, j),
                            w.at(weights, b, plan.differential->half_of(h, true, heads), i, j)});
        });
        sent.add(negative(std::move(all)));
    }

  private:
    Writer& w_;
    const Plan& plan_;
    std::size_t tensor_;
    Index flat_;
    Sent& sent_;
};

void add_sink(Writer& w, Index head, Sent& sent) {
    const Plan& plan = w.plan;
    Expr all = w.sum_of(plan.batch * plan.queries, [&](Index n) {
        const Index b = n / plan.queries, i = n % plan.queries;
        if (is_empty(w, {Stage::weights, b, head, i})) return constant(0);
        const Scope scope(w, b, head, w.query_label(i));
        Expr own = difference(constant(1), sum_of_weights(w, Stage::weights, b, head, i));
        return product({std::move(own), shared_loss(w, Stage::weights, b, head, i)});
    });
    sent.add(negative(std::move(all)));
}

}  // namespace

void explain_input_gradient(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedStage& own = planned(plan, row.id());
    const std::size_t tensor = own.tensors.front();
    const auto is = [&](const std::optional<std::size_t>& t) { return t == tensor; };
    const std::optional<Stage> normed =
        own.family == StageShape::embedded || own.family == StageShape::merged_keys
            ? plan.normed_input(tensor)
            : std::nullopt;
    w.why(normed ? "a norm fixes the length: what comes back along the vector itself is taken out"
          : plan.state && is(plan.state->past)
              ? "what is left before the first token: the gradient of the state that was carried in"
              : "all that was made of it comes back, summed over its uses");
    w.each(columns, "columns", [&](Index c) {
        Sent sent;
        if (normed) {
            sent.add(NormBack(w, *normed, row.batch, row.row).back(0, c));
        } else if (is(plan.past_keys) || is(plan.past_values)) {
            sent.add(w.gradient(is(plan.past_keys) ? Stage::all_keys : Stage::all_values, row.batch, row.head,
                                row.row, c));
        } else if (is(plan.past_rope_keys)) {
            sent.add(w.sum_of(plan.kv_heads, [&](Index h) {
                return w.gradient(Stage::all_keys, row.batch, h, row.row, plan.key_dim + c);
            }));
        } else if (plan.state && is(plan.state->past)) {
            add_states(w, cell_of(row, c), sent);
        } else if (plan.conv && is(plan.conv->past)) {
            add_past_of_convolution(w, cell_of(row, c), sent);
        } else {
            add_layers(w, {}, tensor, row.batch, row.row, c, sent);
        }
        tell(w, row, c, std::move(sent));
    });
}

void add_past_of_convolution(Writer& w, const Cell& cell, Sent& sent) {
    const Plan& plan = w.plan;
    const PlannedConv& conv = *plan.conv;
    const Index flat = (cell.batch * conv.width + cell.row) * (conv.taps - 1) + cell.column;
    for (const Stage s : {Stage::convolved_queries, Stage::convolved_keys, Stage::convolved_values}) {
        const PlannedStage* made = plan.find(s);
        if (!made) continue;
        const PlannedConv::Part& part = conv.of(s);
        const Index dim = made->shape.back(), channel = cell.row - part.past;
        if (channel < 0 || channel >= dim * made->shape[1]) continue;
        for (Index t = 0; t < std::min(conv.taps - 1, made->shape[2]); ++t)
            for (Index k = 0; t + k + 1 < conv.taps; ++k)
                if (conv.before(part, cell.batch, channel, t, k) == flat)
                    sent.add(product({convolution_back(w, s, cell.batch, channel / dim, t, channel % dim),
                                      w.tensor(part.weight, conv.tap(part, channel, k))}));
    }
}

void explain_parameter_gradient(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const PlannedStage& own = planned(plan, row.id());
    w.why(
        own.stage == Stage::weights && own.tensors.empty()
            ? "a sink takes its share 1 - row sum of each row, and carries no value: it loses that share of D"
            : "one number serves every token and batch item: what each of them sends back is added up");
    const Index tensors = std::max(Index{1}, static_cast<Index>(own.tensors.size()));
    const Index each = *element_count(own.shape) / tensors;
    w.each(columns, "columns", [&](Index c) {
        Sent sent;
        const Index flat = flat_of(own, cell_of(row, c));
        if (!own.tensors.empty())
            Parameter(w, own.tensors[idx(flat / each)], own.first + flat % each, sent).add();
        else if (own.stage == Stage::weights)
            add_sink(w, c, sent);
        else
            Parameter::add_lambda(w, sent);
        tell(w, row, c, std::move(sent));
    });
}

}  // namespace attn::explain
